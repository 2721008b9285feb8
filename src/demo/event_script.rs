//! The events that the demo sends, and what must become of each.
//!
//! Everything happens to one person, one unit and one group, so that their records can be followed through a partition.
//! Where an event of each type must arrive is written down here and not asked of the bridge, or a mistake there would
//! be expected here.

use idaas_simulator::events::{Event, Generator};
use idaas_simulator::kind::Kind;
use idaas_simulator::payload::{self, Form};
use idaas_simulator::sender::now_ms;
use serde_json::{Value, json};

/// Who the people of the demo are.
const PEOPLE: u64 = 27;

/// Generates the events of one demo.
pub(super) struct EventScript {
    users: Generator,
    ids: Generator,
    created: u64,
    new_users: u64,
}

/// What a record of an event must be like.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Awaited {
    /// Its `ce_id`.
    pub(super) event_id: String,
    /// The topic's name behind the prefix.
    pub(super) entity: &'static str,
    /// What `ce_type` says happened.
    pub(super) action: &'static str,
    /// Its key.
    pub(super) key: String,
}

impl EventScript {
    pub(super) fn new() -> Self {
        // The people are always the same, and the events always new ones: a real cluster remembers the old.
        Self { users: Generator::new(PEOPLE), ids: Generator::new(fastrand::u64(..)), created: 0, new_users: 0 }
    }

    /// The next event, of this type.
    pub(super) fn event(&mut self, kind: Kind) -> Event {
        self.created += 1;
        let new = self.ids.event(&kind.into(), self.created, now_ms());
        if kind == Kind::Test {
            return new;
        }
        Event { event_id: new.event_id, ..self.users.event(&kind.into(), 0, now_ms()) }
    }

    /// The creation of a new user.
    pub(super) fn new_user(&mut self) -> Event {
        self.new_users += 1;
        let Event { event_id, .. } = self.event(Kind::UserCreate);
        Event { event_id, ..self.users.event(&Kind::UserCreate.into(), self.new_users, now_ms()) }
    }

    /// An event whose data breaks off in the middle.
    pub(super) fn malformed(&mut self) -> Event {
        let mut item = payload::event_value(&self.event(Kind::UserUpdateInfo), Form::Wire);
        if let Value::Object(members) = &mut item {
            members.insert("bizData".to_owned(), json!("{\"userId\":\"user_"));
        }
        Event::given(item)
    }
}

/// The record that an event must become.
pub(super) fn awaited(event: &Event) -> Awaited {
    let Some(kind) = event.kind else {
        let event_id = event.event_id.clone();
        return Awaited { key: event_id.clone(), event_id, entity: "dead-letter", action: "refused" };
    };
    let (entity, action) = published_as(kind);
    Awaited { event_id: event.event_id.clone(), entity, action, key: event.biz_id.clone() }
}

const fn published_as(kind: Kind) -> (&'static str, &'static str) {
    match kind {
        Kind::Test => ("connectivity", "tested"),
        Kind::UserCreate => ("user", "created"),
        Kind::UserDelete => ("user", "deleted"),
        Kind::UserUpdateInfo => ("user", "updated"),
        Kind::UserUpdatePassword => ("user", "password_changed"),
        Kind::UserDisable => ("user", "disabled"),
        Kind::UserEnable => ("user", "enabled"),
        Kind::UserLock => ("user", "locked"),
        Kind::UserUnlock => ("user", "unlocked"),
        Kind::UserUpdatePrimaryUnit => ("user", "moved"),
        Kind::UserPush => ("user", "snapshot"),
        Kind::UnitCreate => ("organizational-unit", "created"),
        Kind::UnitDelete => ("organizational-unit", "deleted"),
        Kind::UnitUpdate => ("organizational-unit", "updated"),
        Kind::UnitUpdateParent => ("organizational-unit", "moved"),
        Kind::UnitAddUser => ("organizational-unit", "member_added"),
        Kind::UnitRemoveUser => ("organizational-unit", "member_removed"),
        Kind::UnitPush => ("organizational-unit", "snapshot"),
        Kind::GroupCreate => ("group", "created"),
        Kind::GroupUpdate => ("group", "updated"),
        Kind::GroupDelete => ("group", "deleted"),
        Kind::GroupAddUser => ("group", "member_added"),
        Kind::GroupRemoveUser => ("group", "member_removed"),
        Kind::GroupPush => ("group", "snapshot"),
        Kind::Unknown => ("unclassified", "unknown"),
    }
}

/// The passwords in an event, as far as JSON writes them without an escape, at any depth.
pub(super) fn passwords(value: &Value) -> Vec<String> {
    match value {
        Value::Object(members) => {
            let own = members.get("password").and_then(Value::as_str).and_then(|text| text.split(['"', '\\']).next());
            own.map(str::to_owned).into_iter().chain(members.values().flat_map(passwords)).collect()
        }
        Value::Array(values) => values.iter().flat_map(passwords).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Vec::new(),
    }
}
