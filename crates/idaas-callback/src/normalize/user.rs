//! Maps IDaaS's current and older fields of a user to `user`.
//!
//! The password never becomes part of the record. It is returned separately.

use std::borrow::Cow;

use crate::field::{self, Additional, Field};
use crate::json::{self, Members, Raw};
use crate::redact::{SECRET_MEMBER, redacted};
use crate::value::{CustomField, Email, Phone, Source, Unit, User};

/// A user's fields for the record, the fields that do not fit, and the password if one was sent.
pub(super) struct UserFields<'a> {
    pub(super) user: User<'a>,
    pub(super) additional: Additional<'a>,
    pub(super) password: Option<Cow<'a, str>>,
}

/// Fields that were sent under their older name.
#[derive(Default)]
struct OldNames<'a> {
    phone_verified: Field<bool>,
    external_id: Field<Cow<'a, str>>,
    source_type: Field<Cow<'a, str>>,
    source_id: Field<Cow<'a, str>>,
    updated_at: Field<String>,
    organizational_units: Field<Vec<Unit<'a>>>,
}

/// Reads a user's fields. The id is empty if none was sent.
pub(super) fn read<'a>(members: Members<'a>) -> UserFields<'a> {
    let mut user = User::default();
    let mut old = OldNames::default();
    let mut additional = Additional::default();
    let mut password = None;
    for (name, value) in members.into_iter() {
        let additional = &mut additional;
        match &*name {
            "userId" => {
                if let Field::Value(id) = additional.read(name, value, field::identifier) {
                    user.id = id;
                }
            }
            "username" => user.username = additional.read(name, value, field::text),
            "displayName" => user.display_name = additional.read(name, value, field::text),
            SECRET_MEMBER => password = json::text(value).filter(|password| !password.is_empty()),
            "passwordSet" => user.password_set = additional.read(name, value, field::flag),
            "phoneRegion" => user.phone.region = additional.read(name, value, field::text),
            "phoneNumber" => user.phone.number = additional.read(name, value, field::text),
            "phoneVerified" => user.phone.verified = additional.read(name, value, field::flag),
            "phoneNumberVerified" => old.phone_verified = additional.read(name, value, field::flag),
            "email" => user.email.address = additional.read(name, value, field::text),
            "emailVerified" => user.email.verified = additional.read(name, value, field::flag),
            "userExternalId" => user.external_id = additional.read(name, value, field::identifier),
            "externalId" => old.external_id = additional.read(name, value, field::identifier),
            "userSourceType" => user.source.kind = additional.read(name, value, field::text),
            "sourceType" => old.source_type = additional.read(name, value, field::text),
            "userSourceId" => user.source.id = additional.read(name, value, field::identifier),
            "sourceId" => old.source_id = additional.read(name, value, field::identifier),
            "status" => user.status = additional.read(name, value, field::text),
            "accountExpireTime" => user.account_expires_at = additional.read(name, value, field::time),
            "registerTime" => user.registered_at = additional.read(name, value, field::time),
            "lockExpireTime" => user.lock_expires_at = additional.read(name, value, field::time),
            "createTime" => user.created_at = additional.read(name, value, field::time),
            "updateTime" => user.updated_at = additional.read(name, value, field::time),
            "lastUpdatedTime" => old.updated_at = additional.read(name, value, field::time),
            "description" => user.description = additional.read(name, value, field::text),
            "customFields" => user.custom_fields = custom_fields(name, value, additional),
            "primaryOrganizationalUnitId" => {
                user.primary_organizational_unit_id = additional.read(name, value, field::identifier);
            }
            "organizationalUnits" => user.organizational_units = units(name, value, additional),
            "userOrganizationalUnits" => old.organizational_units = units(name, value, additional),
            _ => additional.unknown(name, value),
        }
    }
    UserFields { user: merge_names(user, old, &mut additional), additional, password }
}

/// Merges fields that were sent under two names.
fn merge_names<'a>(user: User<'a>, old: OldNames<'a>, additional: &mut Additional<'a>) -> User<'a> {
    let User { email: Email { .. }, phone, source, .. } = user;
    User {
        phone: Phone { verified: additional.one_of(phone.verified, old.phone_verified), ..phone },
        external_id: additional.one_of(user.external_id, old.external_id),
        source: Source {
            kind: additional.one_of(source.kind, old.source_type),
            id: additional.one_of(source.id, old.source_id),
        },
        updated_at: additional.one_of(user.updated_at, old.updated_at),
        organizational_units: additional.one_of(user.organizational_units, old.organizational_units),
        ..user
    }
}

fn units<'a>(name: Cow<'a, str>, value: Raw<'a>, additional: &mut Additional<'a>) -> Field<Vec<Unit<'a>>> {
    let mut drift = field::Drift::default();
    let units = additional.read(name, value, |value| field::list(value, |members| unit(members, &mut drift)));
    additional.drift.add(drift);
    units
}

fn unit<'a>(members: Members<'a>, drift: &mut field::Drift) -> Unit<'a> {
    let (mut id, mut name, mut old_name, mut primary) = (Field::Absent, Field::Absent, Field::Absent, Field::Absent);
    let mut additional = Additional::default();
    for (member, value) in members.into_iter() {
        match &*member {
            "organizationalUnitId" => id = additional.read(member, value, field::identifier),
            "organizationalUnitName" => name = additional.read(member, value, field::text),
            "name" => old_name = additional.read(member, value, field::text),
            "primary" => primary = additional.read(member, value, field::flag),
            SECRET_MEMBER => {}
            _ => additional.unknown(member, value),
        }
    }
    let name = additional.one_of(name, old_name);
    drift.add(additional.drift);
    Unit { id, name, primary, additional }
}

fn custom_fields<'a>(
    name: Cow<'a, str>,
    value: Raw<'a>,
    additional: &mut Additional<'a>,
) -> Field<Vec<CustomField<'a>>> {
    let mut drift = field::Drift::default();
    let fields = additional.read(name, value, |value| field::list(value, |members| custom_field(members, &mut drift)));
    additional.drift.add(drift);
    fields
}

/// Reads a field that the customer defined. Its value is copied without conversion.
fn custom_field<'a>(members: Members<'a>, drift: &mut field::Drift) -> CustomField<'a> {
    let mut field = CustomField { name: None, value: None, additional: Additional::default() };
    for (member, value) in members.into_iter() {
        match &*member {
            "fieldName" if json::text(value).is_some() => field.name = Some(redacted(value)),
            "fieldName" => field.additional.malformed(member, value),
            "fieldValue" => field.value = Some(redacted(value)),
            SECRET_MEMBER => {}
            _ => field.additional.unknown(member, value),
        }
    }
    drift.add(field.additional.drift);
    field
}

impl PartialEq for Unit<'_> {
    /// Compares the documented fields only, so that additional fields are not reported as a conflict.
    fn eq(&self, other: &Self) -> bool {
        (&self.id, &self.name, &self.primary) == (&other.id, &other.name, &other.primary)
    }
}
