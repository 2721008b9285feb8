//! Event records as the bridge publishes them.

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

/// Random events of some users, units and groups: partial, late, repeated, deleted, with members.
pub(super) struct Generator {
    random: fastrand::Rng,
    entities: u64,
    clock: u64,
    last: Vec<TestEvent>,
}

impl Generator {
    pub(super) fn new(seed: u64, entities: u64) -> Self {
        Self { random: fastrand::Rng::with_seed(seed), entities, clock: 0, last: Vec::new() }
    }

    pub(super) fn event(&mut self) -> TestEvent {
        if !self.last.is_empty() && self.random.u8(..20) == 0 {
            return self.last[self.random.usize(..self.last.len())].clone();
        }
        self.clock += 1;
        let late = if self.random.u8(..10) == 0 { self.random.u64(..2000) } else { 0 };
        let millis = i64::try_from(self.clock.saturating_sub(late)).unwrap();
        let time = idaas_state::Time::from_millis(1_767_225_600_000 + millis * 10).to_string();
        let number = self.random.u64(..self.entities);
        let value = format!("v{}", self.random.u64(..1000));
        let (entity, id, (action, fields)) = match number % 10 {
            0 => ("group", format!("group_{number}"), self.of_members(&value)),
            1 => ("organizational-unit", format!("ou_{number}"), self.of_members(&value)),
            _ => ("user", format!("user_{number}"), self.of_user(&value)),
        };
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
        let count = self.random.u64(1..4);
        let members: Vec<_> = (0..count).map(|_| json!({"id": format!("user_{}", self.random.u64(..30))})).collect();
        match self.random.u8(..12) {
            0 => ("deleted", json!({})),
            1 => ("snapshot", json!({"name": value, "members": members})),
            2..6 => ("member_removed", json!({"removedMembers": members})),
            6..11 => ("member_added", json!({"addedMembers": members})),
            _ => ("updated", json!({"name": value})),
        }
    }
}
