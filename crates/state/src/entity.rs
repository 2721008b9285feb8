//! The kinds of entities that have a state.

/// A kind of entity. Each has an event topic and a state topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, strum::IntoStaticStr)]
#[strum(serialize_all = "kebab-case")]
pub enum Entity {
    /// A person's account.
    User,
    /// A node of the organization's tree.
    OrganizationalUnit,
    /// A group of accounts.
    Group,
}

impl Entity {
    /// Every kind.
    pub const ALL: [Self; 3] = [Self::User, Self::OrganizationalUnit, Self::Group];

    /// The name in topics, `ce_type`, schema ids and metric labels.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.into()
    }

    /// The member of a record's value that holds the entity.
    #[must_use]
    pub const fn member(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::OrganizationalUnit => "organizationalUnit",
            Self::Group => "group",
        }
    }

    /// Whether entities of this kind have members.
    #[must_use]
    pub const fn has_members(self) -> bool {
        match self {
            Self::User => false,
            Self::OrganizationalUnit | Self::Group => true,
        }
    }

    /// Whether a member of the entity is a field. Lists of members are not fields.
    pub(crate) fn has_field(self, name: &str) -> bool {
        !self.has_members() || !matches!(name, "members" | "addedMembers" | "removedMembers")
    }
}
