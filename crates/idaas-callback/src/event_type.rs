//! IDaaS event types and what the bridge calls them: entity and action.
//!
//! The lists are closed because topics, schemas and metric labels hang on them; a type that is not listed is
//! `unclassified`, never an error.

/// What a record is about. Each has its own topic and schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, strum::IntoStaticStr)]
#[strum(serialize_all = "kebab-case")]
pub enum Entity {
    /// A person's account.
    User,
    /// A node of the organization's tree.
    OrganizationalUnit,
    /// A group of accounts.
    Group,
    /// The console's connection test.
    Connectivity,
    /// An authentic event of a type that this version does not know.
    Unclassified,
    /// An authentic event that fits no record.
    DeadLetter,
    /// A sealed password.
    Credential,
}

impl Entity {
    /// Every entity.
    pub const ALL: [Self; 7] = [
        Self::User,
        Self::OrganizationalUnit,
        Self::Group,
        Self::Connectivity,
        Self::Unclassified,
        Self::DeadLetter,
        Self::Credential,
    ];

    /// The stable name: in topics, `ce_type`, schema ids and metric labels.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.into()
    }

    /// What belongs to this entity in a table of one thing per entity, in the order of [`Entity::ALL`].
    #[must_use]
    pub const fn pick<T>(self, all: &[T; Self::ALL.len()]) -> &T {
        let [user, organizational_unit, group, connectivity, unclassified, dead_letter, credential] = all;
        match self {
            Self::User => user,
            Self::OrganizationalUnit => organizational_unit,
            Self::Group => group,
            Self::Connectivity => connectivity,
            Self::Unclassified => unclassified,
            Self::DeadLetter => dead_letter,
            Self::Credential => credential,
        }
    }
}

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, strum::IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub enum Action {
    /// The entity is new.
    Created,
    /// The entity is gone.
    Deleted,
    /// Fields of the entity changed.
    Updated,
    /// The account's password changed.
    PasswordChanged,
    /// The account may be used again.
    Enabled,
    /// The account may not be used.
    Disabled,
    /// The account is locked, as after wrong passwords.
    Locked,
    /// The lock is lifted.
    Unlocked,
    /// The entity has another place in the organization's tree.
    Moved,
    /// The entity as it is, pushed by an administrator; nothing need have changed.
    Snapshot,
    /// Somebody joined.
    MemberAdded,
    /// Somebody left.
    MemberRemoved,
    /// The connection test.
    Tested,
    /// Of a type that is not known.
    Unknown,
    /// Could not be made a record.
    Refused,
}

impl Action {
    /// Every action.
    pub const ALL: [Self; 15] = [
        Self::Created,
        Self::Deleted,
        Self::Updated,
        Self::PasswordChanged,
        Self::Enabled,
        Self::Disabled,
        Self::Locked,
        Self::Unlocked,
        Self::Moved,
        Self::Snapshot,
        Self::MemberAdded,
        Self::MemberRemoved,
        Self::Tested,
        Self::Unknown,
        Self::Refused,
    ];

    /// The action of that name.
    #[must_use]
    pub fn of(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|action| action.name() == name)
    }

    /// The stable name: in records, `ce_type` and metric labels.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.into()
    }
}

/// What every IDaaS event type begins with.
pub const PREFIX: &str = "urn:alibaba:idaas:app:event:";

/// The end of each known IDaaS event type, with its entity and action.
pub const KNOWN: [(&str, Entity, Action); 24] = [
    ("common:test", Entity::Connectivity, Action::Tested),
    ("ud:user:create", Entity::User, Action::Created),
    ("ud:user:delete", Entity::User, Action::Deleted),
    ("ud:user:update_info", Entity::User, Action::Updated),
    ("ud:user:update_password", Entity::User, Action::PasswordChanged),
    ("ud:user:disable", Entity::User, Action::Disabled),
    ("ud:user:enable", Entity::User, Action::Enabled),
    ("ud:user:lock", Entity::User, Action::Locked),
    ("ud:user:unlock", Entity::User, Action::Unlocked),
    ("ud:user:update_primary_ou", Entity::User, Action::Moved),
    ("ud:user:push", Entity::User, Action::Snapshot),
    ("ud:organizational_unit:create", Entity::OrganizationalUnit, Action::Created),
    ("ud:organizational_unit:delete", Entity::OrganizationalUnit, Action::Deleted),
    ("ud:organizational_unit:update", Entity::OrganizationalUnit, Action::Updated),
    ("ud:organizational_unit:update_parent_organizational_unit", Entity::OrganizationalUnit, Action::Moved),
    ("ud:organizational_unit:add_user", Entity::OrganizationalUnit, Action::MemberAdded),
    ("ud:organizational_unit:remove_user", Entity::OrganizationalUnit, Action::MemberRemoved),
    ("ud:organizational_unit:push", Entity::OrganizationalUnit, Action::Snapshot),
    ("ud:group:create", Entity::Group, Action::Created),
    ("ud:group:update", Entity::Group, Action::Updated),
    ("ud:group:delete", Entity::Group, Action::Deleted),
    ("ud:group:add_user", Entity::Group, Action::MemberAdded),
    ("ud:group:remove_user", Entity::Group, Action::MemberRemoved),
    ("ud:group:push", Entity::Group, Action::Snapshot),
];

/// The entity and action of an IDaaS event type; an unlisted one is [`Entity::Unclassified`].
#[must_use]
pub fn classify(urn: &str) -> (Entity, Action) {
    urn.strip_prefix(PREFIX)
        .and_then(|end| KNOWN.iter().find(|(known, _, _)| *known == end))
        .map_or((Entity::Unclassified, Action::Unknown), |(_, entity, action)| (*entity, *action))
}
