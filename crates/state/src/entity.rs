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
    /// All kinds.
    pub const ALL: [Self; 3] = [Self::User, Self::OrganizationalUnit, Self::Group];

    /// Returns the name in topics, `ce_type`, schema ids and metric labels.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.into()
    }

    /// Returns the name of the member of a record's value that contains the entity.
    #[must_use]
    pub const fn member(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::OrganizationalUnit => "organizationalUnit",
            Self::Group => "group",
        }
    }

    /// Returns true if entities of this kind have members.
    #[must_use]
    pub const fn has_members(self) -> bool {
        match self {
            Self::User => false,
            Self::OrganizationalUnit | Self::Group => true,
        }
    }

    /// Returns true if a member of the entity's object is a field. Lists of members are not fields.
    pub(crate) fn has_field(self, name: &str) -> bool {
        !self.has_members() || !matches!(name, "members" | "addedMembers" | "removedMembers")
    }
}
