//! The record's value, version 1: the structure of the JSON that consumers read.
//!
//! This is the public schema (`schemas/`). Only optional fields may be added.

use std::borrow::Cow;

use serde::Serialize;
use serde::ser::SerializeMap;
use serde_json::value::RawValue;

use super::cleared::write_cleared;
use super::field::{Additional, Field};

type Text<'a> = Field<Cow<'a, str>>;

/// The version of the schema that [`Value`] follows.
pub(crate) const SCHEMA_VERSION: &str = "1.0";

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Value<'a> {
    pub(crate) schema_version: &'static str,
    pub(crate) action: &'static str,
    #[serde(flatten)]
    pub(crate) body: Body<'a>,
    #[serde(skip_serializing_if = "Additional::is_empty")]
    pub(crate) additional: Additional<'a>,
    pub(crate) origin: Origin<'a>,
}

/// The content of a record: exactly one member, or several for a dead letter or credential.
pub(crate) enum Body<'a> {
    User(Box<User<'a>>),
    OrganizationalUnit(Box<OrganizationalUnit<'a>>),
    Group(Box<Group<'a>>),
    Data(Option<Cow<'a, RawValue>>),
    DeadLetter { reason: &'static str, original: Original<'a> },
    Credential { user_id: &'a str, password: &'a str },
}

/// The original event in a dead letter.
pub(crate) enum Original<'a> {
    /// The event as sent, passwords removed.
    Clear(Cow<'a, RawValue>),
    /// A compact JWE of the event as sent. It is not an object, so it cannot be searched for passwords.
    Sealed(String),
    /// The size in bytes and the SHA-256 in hex, without passwords, of an event that is too large or cannot be
    /// encrypted.
    Fingerprint { size: usize, sha256: String },
}

#[derive(Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct User<'a> {
    pub(crate) id: Cow<'a, str>,
    #[serde(skip_serializing_if = "Field::is_absent")]
    pub(crate) username: Text<'a>,
    #[serde(skip_serializing_if = "Field::is_absent")]
    pub(crate) display_name: Text<'a>,
    #[serde(skip_serializing_if = "Field::is_absent")]
    pub(crate) status: Text<'a>,
    #[serde(skip_serializing_if = "Email::is_absent")]
    pub(crate) email: Email<'a>,
    #[serde(skip_serializing_if = "Phone::is_absent")]
    pub(crate) phone: Phone<'a>,
    #[serde(skip_serializing_if = "Field::is_absent")]
    pub(crate) external_id: Text<'a>,
    #[serde(skip_serializing_if = "Source::is_absent")]
    pub(crate) source: Source<'a>,
    #[serde(skip_serializing_if = "Field::is_absent")]
    pub(crate) password_set: Field<bool>,
    #[serde(skip_serializing_if = "Field::is_absent")]
    pub(crate) primary_organizational_unit_id: Text<'a>,
    #[serde(skip_serializing_if = "Field::is_absent")]
    pub(crate) organizational_units: Field<Vec<Unit<'a>>>,
    #[serde(skip_serializing_if = "Field::is_absent")]
    pub(crate) custom_fields: Field<Vec<CustomField<'a>>>,
    #[serde(skip_serializing_if = "Field::is_absent")]
    pub(crate) description: Text<'a>,
    #[serde(skip_serializing_if = "Field::is_absent")]
    pub(crate) registered_at: Field<String>,
    #[serde(skip_serializing_if = "Field::is_absent")]
    pub(crate) created_at: Field<String>,
    #[serde(skip_serializing_if = "Field::is_absent")]
    pub(crate) updated_at: Field<String>,
    #[serde(skip_serializing_if = "Field::is_absent")]
    pub(crate) account_expires_at: Field<String>,
    #[serde(skip_serializing_if = "Field::is_absent")]
    pub(crate) lock_expires_at: Field<String>,
}

#[derive(Default, Serialize)]
pub(crate) struct Email<'a> {
    #[serde(skip_serializing_if = "Field::is_absent")]
    pub(crate) address: Text<'a>,
    #[serde(skip_serializing_if = "Field::is_absent")]
    pub(crate) verified: Field<bool>,
}

#[derive(Default, Serialize)]
pub(crate) struct Phone<'a> {
    #[serde(skip_serializing_if = "Field::is_absent")]
    pub(crate) region: Text<'a>,
    #[serde(skip_serializing_if = "Field::is_absent")]
    pub(crate) number: Text<'a>,
    #[serde(skip_serializing_if = "Field::is_absent")]
    pub(crate) verified: Field<bool>,
}

/// The system from which an entity was imported.
#[derive(Default, Serialize)]
pub(crate) struct Source<'a> {
    #[serde(rename = "type", skip_serializing_if = "Field::is_absent")]
    pub(crate) kind: Text<'a>,
    #[serde(skip_serializing_if = "Field::is_absent")]
    pub(crate) id: Text<'a>,
}

impl Email<'_> {
    const fn is_absent(&self) -> bool {
        self.address.is_absent() && self.verified.is_absent()
    }
}

impl Phone<'_> {
    const fn is_absent(&self) -> bool {
        self.region.is_absent() && self.number.is_absent() && self.verified.is_absent()
    }
}

impl Source<'_> {
    const fn is_absent(&self) -> bool {
        self.kind.is_absent() && self.id.is_absent()
    }
}

/// An organizational unit that a user belongs to.
#[derive(Serialize)]
pub(crate) struct Unit<'a> {
    #[serde(skip_serializing_if = "Field::is_absent")]
    pub(crate) id: Text<'a>,
    #[serde(skip_serializing_if = "Field::is_absent")]
    pub(crate) name: Text<'a>,
    #[serde(skip_serializing_if = "Field::is_absent")]
    pub(crate) primary: Field<bool>,
    #[serde(skip_serializing_if = "Additional::is_empty")]
    pub(crate) additional: Additional<'a>,
}

#[derive(Serialize)]
pub(crate) struct CustomField<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) name: Option<Cow<'a, RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) value: Option<Cow<'a, RawValue>>,
    #[serde(skip_serializing_if = "Additional::is_empty")]
    pub(crate) additional: Additional<'a>,
}

#[derive(Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct OrganizationalUnit<'a> {
    pub(crate) id: Cow<'a, str>,
    #[serde(skip_serializing_if = "Field::is_absent")]
    pub(crate) name: Text<'a>,
    #[serde(skip_serializing_if = "Field::is_absent")]
    pub(crate) parent_id: Text<'a>,
    #[serde(skip_serializing_if = "Field::is_absent")]
    pub(crate) external_id: Text<'a>,
    #[serde(skip_serializing_if = "Source::is_absent")]
    pub(crate) source: Source<'a>,
    #[serde(skip_serializing_if = "Field::is_absent")]
    pub(crate) description: Text<'a>,
    #[serde(skip_serializing_if = "Field::is_absent")]
    pub(crate) created_at: Field<String>,
    #[serde(skip_serializing_if = "Field::is_absent")]
    pub(crate) updated_at: Field<String>,
    #[serde(skip_serializing_if = "Field::is_absent")]
    pub(crate) added_members: Field<Vec<Member<'a>>>,
    #[serde(skip_serializing_if = "Field::is_absent")]
    pub(crate) removed_members: Field<Vec<Member<'a>>>,
}

#[derive(Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Group<'a> {
    pub(crate) id: Cow<'a, str>,
    #[serde(skip_serializing_if = "Field::is_absent")]
    pub(crate) name: Text<'a>,
    #[serde(skip_serializing_if = "Field::is_absent")]
    pub(crate) external_id: Text<'a>,
    #[serde(skip_serializing_if = "Field::is_absent")]
    pub(crate) members: Field<Vec<Member<'a>>>,
    #[serde(skip_serializing_if = "Field::is_absent")]
    pub(crate) added_members: Field<Vec<Member<'a>>>,
    #[serde(skip_serializing_if = "Field::is_absent")]
    pub(crate) removed_members: Field<Vec<Member<'a>>>,
}

/// A user in a unit or group.
#[derive(Serialize)]
pub(crate) struct Member<'a> {
    #[serde(skip_serializing_if = "Field::is_absent")]
    pub(crate) id: Text<'a>,
    #[serde(skip_serializing_if = "Field::is_absent")]
    pub(crate) name: Text<'a>,
    #[serde(skip_serializing_if = "Additional::is_empty")]
    pub(crate) additional: Additional<'a>,
}

impl<'a> Member<'a> {
    /// Creates a member of which only the id is known.
    pub(crate) fn with_id(id: Cow<'a, str>) -> Self {
        Self { id: Field::Value(id), name: Field::Absent, additional: Additional::default() }
    }

    /// Returns a copy that borrows nothing.
    pub(crate) fn into_owned(self) -> Member<'static> {
        let owned = |text: Text<'a>| text.map(|text| Cow::Owned(text.into_owned()));
        Member { id: owned(self.id), name: owned(self.name), additional: self.additional.into_owned() }
    }
}

/// The origin of a record: the content of the CloudEvents headers, for consumers that do not read headers.
#[derive(Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Origin<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) event_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) event_type: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) event_time: Option<&'a str>,
    pub(crate) instance_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) ali_uid: Option<&'a str>,
    pub(crate) application_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) biz_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) event_version: Option<&'a str>,
    pub(crate) received_at: &'a str,
}

impl Serialize for Body<'_> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        match self {
            Self::User(user) => {
                map.serialize_entry("user", user)?;
                write_cleared(&mut map, &user.nulls())?;
            }
            Self::OrganizationalUnit(unit) => {
                map.serialize_entry("organizationalUnit", unit)?;
                write_cleared(&mut map, &unit.nulls())?;
            }
            Self::Group(group) => {
                map.serialize_entry("group", group)?;
                write_cleared(&mut map, &group.nulls())?;
            }
            Self::Data(Some(data)) => map.serialize_entry("data", data.as_ref())?,
            Self::Data(None) => {}
            Self::DeadLetter { reason, original } => {
                map.serialize_entry("reason", reason)?;
                match original {
                    Original::Clear(event) => map.serialize_entry("original", event.as_ref())?,
                    Original::Sealed(jwe) => map.serialize_entry("original", jwe)?,
                    Original::Fingerprint { size, sha256 } => {
                        map.serialize_entry("originalSize", size)?;
                        map.serialize_entry("originalSha256", sha256)?;
                    }
                }
            }
            Self::Credential { user_id, password } => {
                map.serialize_entry("user", &serde_json::json!({"id": user_id}))?;
                map.serialize_entry("password", password)?;
            }
        }
        map.end()
    }
}
