//! The events that the demo sends, and the record that is expected for each.
//!
//! All events are about one user, one unit and one group, so that their records can be followed through a partition.
//! The expected topics are listed here instead of taken from the bridge, because otherwise the demo would not notice
//! a mistake there.

use idaas_simulator::events::{Event, Generator};
use idaas_simulator::kind::Kind;
use idaas_simulator::payload::{self, Form};
use idaas_simulator::sender::now_ms;
use serde_json::{Value, json};

/// The seed for the simulated users.
const PEOPLE: u64 = 27;

/// Generates the events of one demo.
pub(super) struct EventScript {
    users: Generator,
    ids: Generator,
    created: u64,
    new_users: u64,
}

/// The expected record of an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Awaited {
    /// Its `ce_id`.
    pub(super) event_id: String,
    /// The entity in the topic's name.
    pub(super) entity: &'static str,
    /// The action in `ce_type`.
    pub(super) action: &'static str,
    /// The record key.
    pub(super) key: String,
}

impl EventScript {
    pub(super) fn new() -> Self {
        // The users are always the same, but the events always new, because a real cluster contains those of earlier
        // demos.
        Self { users: Generator::new(PEOPLE), ids: Generator::new(fastrand::u64(..)), created: 0, new_users: 0 }
    }

    /// Returns the next event of this type.
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

    /// Returns an event whose data is truncated.
    pub(super) fn malformed(&mut self) -> Event {
        let mut item = payload::event_value(&self.event(Kind::UserUpdateInfo), Form::Wire);
        if let Value::Object(members) = &mut item {
            members.insert("bizData".to_owned(), json!("{\"userId\":\"user_"));
        }
        Event::given(item)
    }
}

/// Returns the expected record of an event.
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

/// Returns the passwords in an event, at any depth. Each is cut before the first quotation mark or backslash, which
/// JSON would escape.
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
