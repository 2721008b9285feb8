//! The simulated directory: its users, units and groups, and their `bizData`.
//!
//! Each entity is a function of (seed, number), so that later events about an entity agree with earlier ones. All of
//! them are invented; addresses use domains and number ranges that are reserved for examples.

use fastrand::Rng;
use serde_json::{Map, Value, json};

use super::kind::Kind;

const NAMES: [(&str, &str); 10] = [
    ("zhangsan", "Zhang San"),
    ("wangwei", "王伟"),
    ("lina", "李娜"),
    ("jose.nunez", "José Ñúñez"),
    ("zoe.mueller", "Zoë Müller"),
    ("fatima", "فاطمة الزهراء"),
    ("anna", "Анна Иванова"),
    ("sato", "佐藤 健"),
    ("o.brien", "Conan O'Brien \"CB\""),
    ("emoji", "Kim 👩🏽‍💻"),
];
const DEPARTMENTS: [&str; 6] = ["R&D Department", "研发部", "Sales <EMEA>", "Qualité", "Vertrieb/Süd", "HR"];
const SOURCES: [&str; 5] = ["build_in", "ding_talk", "ldap", "ad", "we_com"];
const DAY: i64 = 86_400_000;

/// Current member names of a user, each with the older name, which IDaaS still sends.
const OLD_USER_NAMES: [(&str, &str); 6] = [
    ("phoneVerified", "phoneNumberVerified"),
    ("userExternalId", "externalId"),
    ("userSourceType", "sourceType"),
    ("userSourceId", "sourceId"),
    ("updateTime", "lastUpdatedTime"),
    ("organizationalUnits", "userOrganizationalUnits"),
];
/// Current and older member names of an organizational unit.
const OLD_UNIT_NAMES: [(&str, &str); 5] = [
    ("organizationalUnitName", "name"),
    ("organizationalUnitExternalId", "externalId"),
    ("organizationalUnitSourceType", "sourceType"),
    ("organizationalUnitSourceId", "sourceId"),
    ("updateTime", "lastUpdatedTime"),
];

/// Creates a random number generator for one purpose from the run's seed.
pub(super) fn random(seed: u64, purpose: &str, number: u64) -> Rng {
    // FNV-1a separates the purposes; the generator's own initialization mixes the rest.
    let purpose = purpose
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3));
    let start = seed.wrapping_add(purpose).wrapping_add(number.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    Rng::with_seed(Rng::with_seed(start).u64(..))
}

/// Generates the random part of an identifier: lower-case letters and digits, as in IDaaS.
pub(super) fn identifier(random: &mut Rng, length: usize) -> String {
    std::iter::repeat_with(|| random.choice(b"abcdefghijklmnopqrstuvwxyz234567".iter()))
        .take(length)
        .flatten()
        .map(|byte| char::from(*byte))
        .collect()
}

/// Decides which names the members of a record have.
#[derive(Clone, Copy)]
enum Naming {
    Current,
    Older,
    Both,
}

impl Naming {
    fn of(random: &mut Rng) -> Self {
        match random.u8(0..8) {
            0 | 1 => Self::Older,
            2 => Self::Both,
            _ => Self::Current,
        }
    }

    fn apply(self, mut members: Map<String, Value>, names: &[(&str, &str)]) -> Value {
        for (current, older) in names {
            let value = match self {
                Self::Current => None,
                Self::Older => members.remove(*current),
                Self::Both => members.get(*current).cloned(),
            };
            if let Some(value) = value {
                members.insert((*older).to_owned(), value);
            }
        }
        Value::Object(members)
    }
}

/// The users, units and groups of one seed at one moment.
#[derive(Clone, Copy)]
pub(super) struct Directory {
    pub(super) seed: u64,
    /// Milliseconds since 1970.
    pub(super) now: i64,
}

impl Directory {
    pub(super) fn user_id(self, number: u64) -> String {
        format!("user_{}", identifier(&mut random(self.seed, "user id", number), 26))
    }

    pub(super) fn unit_id(self, number: u64) -> String {
        format!("ou_{}", identifier(&mut random(self.seed, "unit id", number), 26))
    }

    pub(super) fn group_id(self, number: u64) -> String {
        format!("group_{}", identifier(&mut random(self.seed, "group id", number), 26))
    }

    pub(super) fn device_id(self, number: u64) -> String {
        format!("device_{}", identifier(&mut random(self.seed, "device id", number), 26))
    }

    fn source_id(self) -> String {
        format!("idaas_{}", identifier(&mut random(self.seed, "source id", 0), 26))
    }

    /// Returns the `bizData` of a user event.
    pub(super) fn user_event(self, kind: Kind, number: u64, passwords: bool, random: &mut Rng) -> Value {
        let id = self.user_id(number);
        let naming = Naming::of(random);
        if kind == Kind::UserDelete {
            return json!({"userId": id});
        }
        let mut members = self.user(number, random);
        let retained: &[&str] = if kind == Kind::UserUpdatePrimaryUnit {
            &["userId", "username", "primaryOrganizationalUnitId", "organizationalUnits"]
        } else if kind == Kind::UserUpdatePassword {
            &["userId", "username", "passwordSet", "updateTime"]
        } else {
            &[]
        };
        members.retain(|name, _| retained.is_empty() || retained.contains(&name.as_str()));
        if passwords && [Kind::UserCreate, Kind::UserUpdatePassword].contains(&kind) {
            members.insert("password".into(), format!("Pä55-{}\"\\", identifier(random, 10)).into());
            members.insert("passwordSet".into(), true.into());
        }
        if kind == Kind::UserDisable {
            members.insert("status".into(), "disabled".into());
        }
        if kind == Kind::UserLock {
            members.insert("lockExpireTime".into(), (self.now + DAY).to_string().into());
        }
        naming.apply(members, &OLD_USER_NAMES)
    }

    /// Returns a user with all members that a record can have. Some are unset, in the ways that IDaaS uses.
    fn user(self, number: u64, event: &mut Rng) -> Map<String, Value> {
        let mut random = random(self.seed, "user", number);
        let id = self.user_id(number);
        let (username, display_name) = random.choice(NAMES).unwrap_or(("nobody", "Nobody"));
        let username = format!("{username}.{number}");
        let created = self.now - random.i64(1..2000) * DAY;
        let expires = if random.u8(0..4) == 0 { (self.now + 90 * DAY).to_string() } else { "-1".to_owned() };
        let primary = random.u64(0..20);
        let units: Vec<_> = [primary, primary + 20]
            .iter()
            .map(|unit| {
                json!({"organizationalUnitId": self.unit_id(*unit), "organizationalUnitName": self.unit_name(*unit),
                       "primary": *unit == primary})
            })
            .collect();
        let mut user = json!({
            "userId": id, "username": username, "displayName": display_name, "passwordSet": random.bool(),
            "phoneRegion": "86", "phoneNumber": format!("1550000{:04}", number % 10_000),
            "phoneVerified": random.bool(), "email": format!("{username}@example.com"), "emailVerified": random.bool(),
            "userExternalId": id, "userSourceType": random.choice(SOURCES), "userSourceId": self.source_id(),
            "status": "enabled", "accountExpireTime": expires, "registerTime": created.to_string(),
            "lockExpireTime": "-1", "createTime": created.to_string(), "updateTime": self.now.to_string(),
            "description": "",
            "customFields": [{"fieldName": "test_custom_field", "fieldValue": "test_value"}],
            "primaryOrganizationalUnitId": self.unit_id(primary), "organizationalUnits": units,
        });
        if let Value::Object(members) = &mut user {
            // Unset members can be absent or empty; IDaaS does not document which.
            if random.u8(0..4) == 0 {
                members.remove("phoneNumber");
                members.insert("phoneRegion".into(), "".into());
            }
            if event.u8(0..5) == 0 {
                members.remove("customFields");
                members.remove("description");
            }
            return std::mem::take(members);
        }
        Map::new()
    }

    fn unit_name(self, number: u64) -> &'static str {
        random(self.seed, "unit name", number).choice(DEPARTMENTS).unwrap_or_default()
    }

    /// Returns the `bizData` of an event of an organizational unit.
    pub(super) fn unit_event(self, kind: Kind, number: u64, random: &mut Rng) -> Value {
        let naming = Naming::of(random);
        let mut unit = self.unit(number);
        let has_members = [Kind::UnitAddUser, Kind::UnitRemoveUser].contains(&kind);
        let retained: &[&str] = if kind == Kind::UnitDelete {
            &["organizationalUnitId"]
        } else if kind == Kind::UnitUpdateParent {
            &["organizationalUnitId", "parentId"]
        } else if has_members {
            &["organizationalUnitId", "organizationalUnitName"]
        } else {
            &[]
        };
        unit.retain(|name, _| retained.is_empty() || retained.contains(&name.as_str()));
        if has_members {
            unit.insert("userIds".into(), json!([self.user_id(number), self.user_id(number + 1)]));
        }
        naming.apply(unit, &OLD_UNIT_NAMES)
    }

    fn unit(self, number: u64) -> Map<String, Value> {
        let created = (self.now - 300 * DAY).to_string();
        let unit = json!({
            "organizationalUnitId": self.unit_id(number), "organizationalUnitName": self.unit_name(number),
            "parentId": self.unit_id(number / 4), "organizationalUnitExternalId": format!("dept-{number}"),
            "organizationalUnitSourceType": "build_in", "organizationalUnitSourceId": self.source_id(),
            "createTime": created, "updateTime": self.now.to_string(), "description": "",
        });
        if let Value::Object(members) = unit { members } else { Map::new() }
    }

    /// Returns the `bizData` of a group event.
    pub(super) fn group_event(self, kind: Kind, number: u64, random: &mut Rng) -> Value {
        let (id, name) = (self.group_id(number), format!("{} {number}", self.unit_name(number)));
        let members: Vec<_> = (0..random.u64(1..4))
            .map(|member| json!({"memberId": self.user_id(number + member), "memberName": "成员"}))
            .collect();
        let mut group = Map::from_iter([("groupId".to_owned(), id.into()), ("groupName".to_owned(), name.into())]);
        if [Kind::GroupCreate, Kind::GroupUpdate, Kind::GroupPush].contains(&kind) {
            let external_id = if kind == Kind::GroupPush { String::new() } else { format!("grp-{number}") };
            group.insert("groupExternalId".into(), external_id.into());
        }
        let list = [
            (Kind::GroupAddUser, "addedMembers"),
            (Kind::GroupRemoveUser, "removedMembers"),
            (Kind::GroupPush, "allMembers"),
        ];
        if let Some((_, list)) = list.into_iter().find(|(of, _)| *of == kind) {
            group.insert(list.into(), members.into());
        }
        Value::Object(group)
    }

    /// `bizData` of an unknown type, with a password in an unexpected place.
    pub(super) fn unknown_event(self, number: u64) -> Value {
        json!({
            "deviceId": self.device_id(number), "registerTime": self.now.to_string(), "trusted": true,
            "owner": {"userId": self.user_id(number), "password": "Not-for-anybody-1"},
        })
    }
}
