//! The event types that the simulator can send: all that IDaaS is known to send, and an unknown one.
//!
//! The bridge has its own list. Neither may be derived from the other, because a mistake would then go unnoticed.

use std::borrow::Cow;

/// The prefix of every IDaaS event type.
pub const PREFIX: &str = "urn:alibaba:idaas:app:event:";

/// One type of event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[expect(missing_docs, reason = "each is the event type of its name")]
pub enum Kind {
    Test,
    UserCreate,
    UserDelete,
    UserUpdateInfo,
    UserUpdatePassword,
    UserDisable,
    UserEnable,
    UserLock,
    UserUnlock,
    UserUpdatePrimaryUnit,
    UnitCreate,
    UnitDelete,
    UnitUpdate,
    UnitUpdateParent,
    UnitAddUser,
    UnitRemoveUser,
    GroupCreate,
    GroupUpdate,
    GroupDelete,
    GroupAddUser,
    GroupRemoveUser,
    UnitPush,
    UserPush,
    GroupPush,
    /// A type that no version of the bridge knows.
    Unknown,
}

/// The subject of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subject {
    /// None: the connection test.
    Connection,
    /// A user account.
    User,
    /// An organizational unit.
    Unit,
    /// A group of users.
    Group,
    /// An entity that the bridge does not know.
    Unknown,
}

impl Kind {
    /// All kinds, in an order in which a new instance could send them: creations first.
    pub const ALL: [Self; 25] = [
        Self::Test,
        Self::UnitCreate,
        Self::UnitUpdate,
        Self::UnitUpdateParent,
        Self::UserCreate,
        Self::UserUpdateInfo,
        Self::UserUpdatePassword,
        Self::UserUpdatePrimaryUnit,
        Self::UserLock,
        Self::UserUnlock,
        Self::UserDisable,
        Self::UserEnable,
        Self::UnitAddUser,
        Self::UnitRemoveUser,
        Self::GroupCreate,
        Self::GroupUpdate,
        Self::GroupAddUser,
        Self::GroupRemoveUser,
        Self::UnitPush,
        Self::UserPush,
        Self::GroupPush,
        Self::UserDelete,
        Self::GroupDelete,
        Self::UnitDelete,
        Self::Unknown,
    ];

    /// Returns the event type without [`PREFIX`], for example `ud:user:create`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Test => "common:test",
            Self::UserCreate => "ud:user:create",
            Self::UserDelete => "ud:user:delete",
            Self::UserUpdateInfo => "ud:user:update_info",
            Self::UserUpdatePassword => "ud:user:update_password",
            Self::UserDisable => "ud:user:disable",
            Self::UserEnable => "ud:user:enable",
            Self::UserLock => "ud:user:lock",
            Self::UserUnlock => "ud:user:unlock",
            Self::UserUpdatePrimaryUnit => "ud:user:update_primary_ou",
            Self::UnitCreate => "ud:organizational_unit:create",
            Self::UnitDelete => "ud:organizational_unit:delete",
            Self::UnitUpdate => "ud:organizational_unit:update",
            Self::UnitUpdateParent => "ud:organizational_unit:update_parent_organizational_unit",
            Self::UnitAddUser => "ud:organizational_unit:add_user",
            Self::UnitRemoveUser => "ud:organizational_unit:remove_user",
            Self::GroupCreate => "ud:group:create",
            Self::GroupUpdate => "ud:group:update",
            Self::GroupDelete => "ud:group:delete",
            Self::GroupAddUser => "ud:group:add_user",
            Self::GroupRemoveUser => "ud:group:remove_user",
            Self::UnitPush => "ud:organizational_unit:push",
            Self::UserPush => "ud:user:push",
            Self::GroupPush => "ud:group:push",
            Self::Unknown => "ud:device:register",
        }
    }

    /// Returns the complete event type, as in `eventType`.
    #[must_use]
    pub fn urn(self) -> String {
        format!("{PREFIX}{}", self.name())
    }

    /// Returns the subject of events of this type.
    #[must_use]
    pub const fn subject(self) -> Subject {
        match self {
            Self::Test => Subject::Connection,
            Self::UserCreate
            | Self::UserDelete
            | Self::UserUpdateInfo
            | Self::UserUpdatePassword
            | Self::UserDisable
            | Self::UserEnable
            | Self::UserLock
            | Self::UserUnlock
            | Self::UserUpdatePrimaryUnit
            | Self::UserPush => Subject::User,
            Self::UnitCreate
            | Self::UnitDelete
            | Self::UnitUpdate
            | Self::UnitUpdateParent
            | Self::UnitAddUser
            | Self::UnitRemoveUser
            | Self::UnitPush => Subject::Unit,
            Self::GroupCreate
            | Self::GroupUpdate
            | Self::GroupDelete
            | Self::GroupAddUser
            | Self::GroupRemoveUser
            | Self::GroupPush => Subject::Group,
            Self::Unknown => Subject::Unknown,
        }
    }
}

/// An event type to send: a known one, or any other URN.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventType {
    /// The kind that decides the form of `bizData`.
    pub kind: Kind,
    urn: Cow<'static, str>,
}

impl From<Kind> for EventType {
    fn from(kind: Kind) -> Self {
        Self { kind, urn: kind.urn().into() }
    }
}

impl EventType {
    /// Returns the complete event type, as in `eventType`.
    #[must_use]
    pub fn urn(&self) -> &str {
        &self.urn
    }
}

impl std::str::FromStr for EventType {
    type Err = String;

    /// Parses a URN, or the part of a known one after a colon: `user:create`. An unknown URN is accepted, because
    /// IDaaS may add event types.
    fn from_str(text: &str) -> Result<Self, String> {
        let is_end = |kind: &Kind| kind.urn() == text || kind.urn().ends_with(&format!(":{text}"));
        let matching: Vec<Kind> = Kind::ALL.into_iter().filter(is_end).collect();
        match matching.as_slice() {
            [kind] => Ok((*kind).into()),
            [] if text.starts_with("urn:") => Ok(Self { kind: Kind::Unknown, urn: text.to_owned().into() }),
            [] => Err(format!(
                "does not match an event type; use one of {}, or a complete URN",
                Kind::ALL.map(Kind::name).join(", ")
            )),
            several => Err(format!(
                "matches several event types; use one of {}",
                several.iter().map(|kind| kind.name()).collect::<Vec<_>>().join(", ")
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_holds_each_type_once() {
        let names: std::collections::BTreeSet<_> = Kind::ALL.iter().map(|kind| kind.name()).collect();
        assert_eq!(names.len(), 1 + 9 + 6 + 5 + 3 + 1);
    }

    #[test]
    fn a_type_is_found_by_its_urn_and_by_its_end() {
        for text in ["urn:alibaba:idaas:app:event:ud:user:create", "ud:user:create", "user:create"] {
            assert_eq!(text.parse::<EventType>().unwrap().kind, Kind::UserCreate, "{text}");
        }
        assert_eq!("update_password".parse::<EventType>().unwrap().kind, Kind::UserUpdatePassword);
    }

    #[test]
    fn an_end_of_several_types_is_refused_with_their_names() {
        let fault = "create".parse::<EventType>().unwrap_err();
        assert!(fault.contains("ud:user:create") && fault.contains("ud:group:create"), "{fault}");
        assert!("ser:create".parse::<EventType>().is_err());
    }

    #[test]
    fn a_foreign_urn_is_sent_as_it_is() {
        let event_type = "urn:alibaba:idaas:app:event:ud:robot:create".parse::<EventType>().unwrap();
        assert_eq!(event_type.urn(), "urn:alibaba:idaas:app:event:ud:robot:create");
        assert_eq!(event_type.kind, Kind::Unknown);
    }
}
