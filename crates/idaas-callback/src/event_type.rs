//! Maps IDaaS event types to an entity and an action.
//!
//! The lists are closed, because topics, schemas and metric labels depend on them. An event type that is not listed
//! is `unclassified`, which is not an error.

/// The subject of a record. Each entity has its own topic and schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, strum::IntoStaticStr)]
#[strum(serialize_all = "kebab-case")]
pub enum Entity {
    /// A user account.
    User,
    /// A node in the organization's tree.
    OrganizationalUnit,
    /// A group of users.
    Group,
    /// The console's connection test.
    Connectivity,
    /// An authentic event of a type that this version does not know.
    Unclassified,
    /// An authentic event that fits no record.
    DeadLetter,
    /// An encrypted password.
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

    /// Returns the stable name, used in topics, `ce_type`, schema ids and metric labels.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.into()
    }

    /// Returns this entity's element of a table that is in the order of [`Entity::ALL`].
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

/// The change that an event reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, strum::IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub enum Action {
    /// The entity was created.
    Created,
    /// The entity was deleted.
    Deleted,
    /// Fields of the entity changed.
    Updated,
    /// The account's password changed.
    PasswordChanged,
    /// The account was enabled.
    Enabled,
    /// The account was disabled.
    Disabled,
    /// The account was locked, for example after wrong passwords.
    Locked,
    /// The account was unlocked.
    Unlocked,
    /// The entity moved to another place in the organization's tree.
    Moved,
    /// The current state of the entity, pushed by an administrator. It may be unchanged.
    Snapshot,
    /// Users were added.
    MemberAdded,
    /// Users were removed.
    MemberRemoved,
    /// The console's connection test.
    Tested,
    /// The event type is unknown.
    Unknown,
    /// The event fits no record.
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

    /// Returns the action with this stable name.
    #[must_use]
    pub fn of(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|action| action.name() == name)
    }

    /// Returns the stable name, used in records, `ce_type` and metric labels.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.into()
    }
}

/// The prefix of every IDaaS event type.
pub const PREFIX: &str = "urn:alibaba:idaas:app:event:";

/// The suffix of each known IDaaS event type, with its entity and action.
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

/// Returns the entity and action of an IDaaS event type. An unlisted type is [`Entity::Unclassified`].
#[must_use]
pub fn classify(urn: &str) -> (Entity, Action) {
    urn.strip_prefix(PREFIX)
        .and_then(|end| KNOWN.iter().find(|(known, _, _)| *known == end))
        .map_or((Entity::Unclassified, Action::Unknown), |(_, entity, action)| (*entity, *action))
}
