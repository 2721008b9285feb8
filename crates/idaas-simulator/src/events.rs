//! Generates events of every type as IDaaS sends them, reproducibly from a seed.
//!
//! An event depends on (seed, type, index, time) only, so that many threads can generate the events of one run.

use serde_json::{Value, json};

use super::directory::{self, Directory};
use super::kind::{EventType, Kind, Subject};

/// One event, not yet in a wire format.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// `eventId`: the event's identity, the same in each delivery.
    pub event_id: String,
    /// `eventType`: a URN.
    pub event_type: String,
    /// `bizId`: the id of the event's entity, or the event id for the connection test.
    pub biz_id: String,
    /// `bizData`: the content. Times are strings of milliseconds, as on the wire.
    pub biz_data: Value,
    /// `eventTime`: milliseconds since 1970.
    pub event_time: i64,
    /// The kind for which it was generated. `None` if it was not generated here.
    pub kind: Option<Kind>,
    /// The element of `eventData` to send as it is, if it was given.
    pub given: Option<Value>,
}

impl Event {
    /// A given event, as an element of `eventData`. It is sent as it is; what can be read of it
    /// serves to judge the answer.
    #[must_use]
    pub fn given(item: Value) -> Self {
        let text = |name: &str| item.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
        Self {
            event_id: text("eventId"),
            event_type: text("eventType"),
            biz_id: text("bizId"),
            biz_data: item.get("bizData").cloned().unwrap_or_default(),
            event_time: text("eventTime").parse().unwrap_or_default(),
            kind: None,
            given: Some(item),
        }
    }
}

/// Generates events. The same seed generates the same events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Generator {
    seed: u64,
    passwords: bool,
}

impl Generator {
    /// Creates a generator whose creations and password changes contain passwords, as in an instance that
    /// synchronizes them.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self { seed, passwords: true }
    }

    /// Returns the same generator without passwords, as in an instance that does not synchronize them.
    #[must_use]
    pub const fn without_passwords(self) -> Self {
        Self { passwords: false, ..self }
    }

    /// Generates the event with number `index` of a run. `event_time` is in milliseconds since 1970.
    #[must_use]
    pub fn event(&self, event_type: &EventType, index: u64, event_time: i64) -> Event {
        let kind = event_type.kind;
        let mut random = directory::random(self.seed, "event", index);
        let event_id = format!("evnt_{}", directory::identifier(&mut random, 30));
        let directory = Directory { seed: self.seed, now: event_time };
        // A creation has a new user; all other events can be about a known one.
        let creations = [Kind::UserCreate, Kind::UnitCreate, Kind::GroupCreate];
        let number = if creations.contains(&kind) { index } else { random.u64(0..=index) };
        let biz_data = match kind.subject() {
            Subject::Connection => json!({"eventId": event_id}),
            Subject::User => directory.user_event(kind, number, self.passwords, &mut random),
            Subject::Unit => directory.unit_event(kind, number, &mut random),
            Subject::Group => directory.group_event(kind, number, &mut random),
            Subject::Unknown => directory.unknown_event(number),
        };
        let biz_id = match kind.subject() {
            Subject::Connection => event_id.clone(),
            Subject::User => directory.user_id(number),
            Subject::Unit => directory.unit_id(number),
            Subject::Group => directory.group_id(number),
            Subject::Unknown => directory.device_id(number),
        };
        let event_type = event_type.urn().to_owned();
        Event { event_id, event_type, biz_id, biz_data, event_time, kind: Some(kind), given: None }
    }

    /// Generates one event of every type, in the order of [`Kind::ALL`].
    #[must_use]
    pub fn one_of_each(&self, event_time: i64) -> Vec<Event> {
        (0..).zip(Kind::ALL).map(|(index, kind)| self.event(&kind.into(), index, event_time)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_753_000_000_000;

    fn event(kind: Kind, index: u64) -> Event {
        Generator::new(7).event(&kind.into(), index, NOW)
    }

    #[test]
    fn the_same_seed_makes_the_same_events_and_another_makes_others() {
        assert_eq!(Generator::new(7).one_of_each(NOW), Generator::new(7).one_of_each(NOW));
        assert_ne!(Generator::new(7).one_of_each(NOW), Generator::new(8).one_of_each(NOW));
    }

    #[test]
    fn simulated_events_have_unique_ids_and_entity_ids() {
        let events = Generator::new(7).one_of_each(NOW);
        let ids: std::collections::BTreeSet<_> = events.iter().map(|event| &event.event_id).collect();
        assert_eq!(ids.len(), Kind::ALL.len());
        for event in &events {
            let member = match event.kind.unwrap().subject() {
                Subject::Connection => "eventId",
                Subject::User => "userId",
                Subject::Unit => "organizationalUnitId",
                Subject::Group => "groupId",
                Subject::Unknown => "deviceId",
            };
            assert_eq!(event.biz_data[member], event.biz_id, "{}", event.event_type);
        }
    }

    #[test]
    fn a_user_deletion_carries_the_id_and_nothing_else() {
        assert_eq!(event(Kind::UserDelete, 3).biz_data.as_object().unwrap().len(), 1);
    }

    #[test]
    fn only_creations_and_password_changes_carry_a_password() {
        for kind in Kind::ALL {
            let carries = event(kind, 5).biz_data.get("password").is_some();
            assert_eq!(carries, matches!(kind, Kind::UserCreate | Kind::UserUpdatePassword), "{kind:?}");
            let quiet = Generator::new(7).without_passwords().event(&kind.into(), 5, NOW);
            assert!(quiet.biz_data.get("password").is_none(), "{kind:?}");
        }
    }

    #[test]
    fn old_names_new_names_and_both_are_seen() {
        let users: Vec<_> = (0..60).map(|index| event(Kind::UserUpdateInfo, index).biz_data).collect();
        let has = |user: &Value, new: bool, old: bool| {
            user.get("userSourceType").is_some() == new && user.get("sourceType").is_some() == old
        };
        assert!(users.iter().any(|user| has(user, true, false)));
        assert!(users.iter().any(|user| has(user, false, true)));
        assert!(users.iter().any(|user| has(user, true, true)));
        assert!(users.iter().any(|user| user.get("phoneNumber").is_none() && user["phoneRegion"] == ""));
        assert!(users.iter().any(|user| !user.to_string().is_ascii()));
        assert!(users.iter().all(|user| user["accountExpireTime"].is_string()));
    }

    #[test]
    fn different_entities_are_met_in_a_run() {
        let ids: std::collections::BTreeSet<_> =
            (0..1000).map(|index| event(Kind::UserUpdateInfo, index).biz_id).collect();
        assert!(ids.len() > 400, "{}", ids.len());
    }
}
