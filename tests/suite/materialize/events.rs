//! Event records as the bridge publishes them.

use std::collections::{BTreeSet, HashSet};
use std::ops::Range;
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use serde_json::{Value, json};

/// One event of an entity.
#[derive(Clone)]
pub(super) struct TestEvent {
    entity: &'static str,
    id: String,
    event_id: String,
    time: String,
    value: Value,
}

impl TestEvent {
    pub(super) fn of(entity: &'static str, id: &str, action: &str, time: &str, mut fields: Value) -> Self {
        fields["id"] = json!(id);
        let member = if entity == "organizational-unit" { "organizationalUnit" } else { entity };
        let event_id = format!("evnt_{}", fastrand::u64(..));
        let value = json!({
            "schemaVersion": "1.0", "action": action, member: fields,
            "origin": {"eventId": event_id, "eventType": format!("urn:test:{action}"), "eventTime": time,
                "instanceId": "idaas_1", "applicationId": "app_1", "receivedAt": time},
        });
        Self { entity, id: id.to_owned(), event_id, time: time.to_owned(), value }
    }
}

/// A user with all fields, about as large as real ones.
pub(super) fn full_user(number: usize) -> TestEvent {
    let fields = json!({
        "username": format!("user{number}"), "displayName": format!("User {number}"), "status": "enabled",
        "email": {"address": format!("user{number}@example.com"), "verified": true},
        "phone": {"region": "86", "number": format!("155{number:08}"), "verified": false},
        "externalId": format!("external_{number}"), "source": {"type": "build_in", "id": "idaas_1"},
        "passwordSet": true, "primaryOrganizationalUnitId": "ou_1",
        "organizationalUnits": [{"id": "ou_1", "name": "R&D Department", "primary": true}],
        "customFields": [], "description": null, "registeredAt": "2022-03-29T05:25:53.621Z",
        "createdAt": "2022-03-29T05:25:53.621Z", "updatedAt": "2022-03-29T05:25:53.621Z",
    });
    TestEvent::of("user", &format!("user_{number:026}"), "created", "2026-01-01T00:00:00.000Z", fields)
}

/// Publishes events to the topics of a prefix.
pub(super) struct Publisher {
    producer: BaseProducer,
    prefix: String,
}

impl Publisher {
    pub(super) fn new(bootstrap_servers: &str, prefix: &str) -> Self {
        let mut settings = ClientConfig::new();
        settings
            .set("bootstrap.servers", bootstrap_servers)
            .set("enable.idempotence", "true")
            .set("partitioner", "murmur2_random")
            .set("linger.ms", "5");
        Self { producer: settings.create().unwrap(), prefix: prefix.to_owned() }
    }

    pub(super) fn publish(&self, event: &TestEvent) {
        let source = "/idaas/idaas_1/app_1";
        let attributes = [("ce_id", event.event_id.as_str()), ("ce_source", source), ("ce_time", event.time.as_str())];
        let headers = attributes
            .into_iter()
            .fold(OwnedHeaders::new(), |headers, (key, value)| headers.insert(Header { key, value: Some(value) }));
        let topic = format!("{}.{}.v1", self.prefix, event.entity);
        let value = event.value.to_string();
        self.send(BaseRecord::to(&topic).key(event.id.as_bytes()).payload(value.as_bytes()).headers(headers));
    }

    pub(super) fn publish_raw(&self, entity: &str, key: &[u8], value: &[u8]) {
        let topic = format!("{}.{entity}.v1", self.prefix);
        self.send(BaseRecord::to(&topic).key(key).payload(value));
    }

    fn send(&self, mut record: BaseRecord<'_, [u8], [u8]>) {
        while let Err((_, unsent)) = self.producer.send(record) {
            record = unsent;
            self.producer.poll(Duration::from_millis(10));
        }
        self.producer.poll(Duration::ZERO);
    }

    pub(super) fn flush(&self) {
        self.producer.flush(Duration::from_secs(60)).unwrap();
    }
}

/// Random events of some users, units and groups: partial, late, repeated, deleted, with members, in a full push.
pub(super) struct Generator {
    random: fastrand::Rng,
    entities: u64,
    clock: u64,
    last: Vec<TestEvent>,
    deleted: HashSet<u64>,
    /// The entities that the full push has not sent yet.
    push: Vec<u64>,
    pushed: usize,
}

impl Generator {
    pub(super) fn new(seed: u64, entities: u64) -> Self {
        Self {
            random: fastrand::Rng::with_seed(seed),
            entities,
            clock: 0,
            last: Vec::new(),
            deleted: HashSet::new(),
            push: Vec::new(),
            pushed: 0,
        }
    }

    /// Begins a full push: from now on, about every second event is the snapshot of an entity that exists, in any order.
    pub(super) fn begin_full_push(&mut self) {
        self.push = (0..self.entities).collect();
        self.random.shuffle(&mut self.push);
    }

    /// The number of entities that the full push has sent. `None` before its end.
    pub(super) fn pushed(&self) -> Option<usize> {
        self.push.is_empty().then_some(self.pushed)
    }

    pub(super) fn event(&mut self) -> TestEvent {
        if !self.push.is_empty() && self.random.bool() {
            while let Some(number) = self.push.pop() {
                if !self.deleted.contains(&number) {
                    self.pushed += 1;
                    return self.snapshot(number);
                }
            }
        }
        if !self.last.is_empty() && self.random.u8(..20) == 0 {
            return self.last[self.random.usize(..self.last.len())].clone();
        }
        self.clock += 1;
        let late = if self.random.u8(..10) == 0 { self.random.u64(..2000) } else { 0 };
        let millis = i64::try_from(self.clock.saturating_sub(late)).unwrap();
        let time = time(millis);
        let number = self.random.u64(..self.entities);
        let value = format!("v{}", self.random.u64(..1000));
        let (entity, id) = entity(number);
        let (action, fields) = if entity == "user" { self.of_user(&value) } else { self.of_members(&value) };
        if action == "deleted" {
            self.deleted.insert(number);
        } else {
            self.deleted.remove(&number);
        }
        let event = TestEvent::of(entity, &id, action, &time, fields);
        self.last.push(event.clone());
        if self.last.len() > 50 {
            self.last.remove(0);
        }
        event
    }

    fn of_user(&mut self, value: &str) -> (&'static str, Value) {
        match self.random.u8(..12) {
            0 => ("deleted", json!({})),
            1 => ("disabled", json!({})),
            2 => ("updated", json!({"phone": {"number": value}})),
            3 => ("updated", json!({"displayName": null, "email": {"address": value, "verified": false}})),
            _ => ("updated", json!({"username": value, "displayName": value, "status": "enabled"})),
        }
    }

    fn of_members(&mut self, value: &str) -> (&'static str, Value) {
        let members = self.members(1..4);
        match self.random.u8(..12) {
            0 => ("deleted", json!({})),
            1 => ("snapshot", json!({"name": value, "members": members})),
            2..6 => ("member_removed", json!({"removedMembers": members})),
            6..11 => ("member_added", json!({"addedMembers": members})),
            _ => ("updated", json!({"name": value})),
        }
    }

    fn members(&mut self, count: Range<u64>) -> Vec<Value> {
        let numbers: BTreeSet<_> = (0..self.random.u64(count)).map(|_| self.random.u64(..30)).collect();
        numbers.iter().map(|number| json!({"id": format!("user_{number}"), "name": format!("User {number}")})).collect()
    }

    /// All fields of an entity, as a full push sends them. Units are pushed without their members.
    fn snapshot(&mut self, number: u64) -> TestEvent {
        self.clock += 1;
        let (entity, id) = entity(number);
        let value = format!("v{}", self.random.u64(..1000));
        let source = json!({"type": "build_in", "id": "idaas_1"});
        let fields = match entity {
            "user" => json!({
                "username": value, "displayName": value, "status": "enabled", "passwordSet": true, "source": source,
                "email": {"address": format!("{value}@example.com"), "verified": true},
                "phone": {"region": "86", "number": value, "verified": false},
                "primaryOrganizationalUnitId": "ou_1", "customFields": [], "description": null,
                "organizationalUnits": [{"id": "ou_1", "name": "R&D Department", "primary": true}],
            }),
            "group" => json!({"name": value, "externalId": id, "members": self.members(0..20)}),
            _ => json!({"name": value, "parentId": "ou_root", "source": source, "description": ""}),
        };
        TestEvent::of(entity, &id, "snapshot", &time(i64::try_from(self.clock).unwrap()), fields)
    }
}

/// Kind and id of an entity: of ten, one is a group and one a unit.
fn entity(number: u64) -> (&'static str, String) {
    match number % 10 {
        0 => ("group", format!("group_{number}")),
        1 => ("organizational-unit", format!("ou_{number}")),
        _ => ("user", format!("user_{number}")),
    }
}

/// The time after so many hundredths of a second.
fn time(clock: i64) -> String {
    idaas_state::Time::from_millis(1_767_225_600_000 + clock * 10).to_string()
}
