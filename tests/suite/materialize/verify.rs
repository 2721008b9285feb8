//! What is in the topics, and what folding the event topics with the model of the merge gives.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

use idaas_state::Entity;
use serde_json::Value;

use super::instance::Deployment;
use super::model::{Model, ModelEvent, Written};
use crate::support::records::{Seen, read_committed as read};

/// How long the instances may take to apply everything.
const CATCH_UP_TIMEOUT: Duration = Duration::from_secs(240);

/// How much was compared.
#[derive(Debug, Default)]
pub(super) struct Report {
    events: usize,
    states: usize,
    tombstones: usize,
}

fn topics(deployment: &Deployment, entity: Entity) -> [String; 2] {
    let prefix = &deployment.prefix;
    [format!("{prefix}.{}.v1", entity.name()), format!("{prefix}.{}.state.v1", entity.name())]
}

/// A state record that the model expects.
struct Expected {
    key: String,
    source: String,
    written: Written,
}

/// The event in a record. `None` if it is none.
fn event(member: &'static str, seen: &Seen) -> Option<(String, ModelEvent)> {
    let value: Value = serde_json::from_slice(&seen.value).ok()?;
    let object = |name: &str| value.get(name).and_then(Value::as_object).cloned();
    let origin = |name: &str| value["origin"][name].as_str().unwrap().to_owned();
    let fields = object(member)?;
    let id = fields["id"].as_str().unwrap().to_owned();
    let event = ModelEvent {
        member,
        event_id: seen.header("ce_id").unwrap().to_owned(),
        event_type: origin("eventType"),
        application_id: origin("applicationId"),
        instance_id: origin("instanceId"),
        action: value["action"].as_str().unwrap().to_owned(),
        time: seen.header("ce_time").unwrap().to_owned(),
        fields,
        additional: object("additional").unwrap_or_default(),
    };
    Some((id, event))
}

/// The state records that the events of one partition give, in their order.
fn fold(entity: Entity, events: &[Seen]) -> Vec<Expected> {
    let mut known: HashMap<String, Model> = HashMap::new();
    let mut records = Vec::new();
    for (id, event) in events.iter().filter_map(|seen| event(entity.member(), seen)) {
        let source = format!("/idaas/{}/{}", event.instance_id, event.application_id);
        if let Some(written) = known.entry(id.clone()).or_default().apply(event) {
            records.push(Expected { key: id, source, written });
        }
    }
    records
}

/// Waits until the state topics have as many records as the fold gives.
pub(super) fn wait_until_applied(deployment: &Deployment) {
    let servers = &deployment.bootstrap_servers;
    let end = Instant::now() + CATCH_UP_TIMEOUT;
    for entity in Entity::ALL {
        let [events, states] = topics(deployment, entity);
        let expected: Vec<_> = read(servers, &events).values().map(|events| fold(entity, events).len()).collect();
        loop {
            let found: Vec<_> = read(servers, &states).values().map(Vec::len).collect();
            if found.iter().zip(&expected).all(|(found, expected)| found >= expected) {
                break;
            }
            assert!(Instant::now() < end, "{states}: {found:?} of {expected:?} records");
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}

/// Checks that the state topics have exactly the records of the fold: none missing, none twice, in order.
pub(super) fn assert_exact(deployment: &Deployment) -> Report {
    let servers = &deployment.bootstrap_servers;
    let mut report = Report::default();
    for entity in Entity::ALL {
        let [events, states] = topics(deployment, entity);
        let (events, states) = (read(servers, &events), read(servers, &states));
        for (partition, events) in events {
            let expected = fold(entity, &events);
            let found = &states[&partition];
            report.events += events.len();
            report.states += found.len();
            for (number, (expected, found)) in expected.iter().zip(found).enumerate() {
                let at = format!("{} {partition}, record {number} at offset {}", entity.name(), found.offset);
                let value = (!found.value.is_empty()).then(|| serde_json::from_slice(&found.value).unwrap());
                assert_eq!(found.key.as_deref(), Some(expected.key.as_bytes()), "{at}");
                assert_eq!(value, expected.written.value, "{at}");
                assert_eq!(texts(&found.headers), headers(entity, expected), "{at}");
                report.tombstones += usize::from(value.is_none());
            }
            assert_eq!(found.len(), expected.len(), "{} {partition}", entity.name());
        }
    }
    report
}

fn texts(headers: &[(String, Vec<u8>)]) -> Vec<(&str, &str)> {
    headers.iter().map(|(name, value)| (name.as_str(), std::str::from_utf8(value).unwrap())).collect()
}

/// The attributes of a state record: CloudEvents 1.0 in binary content mode.
fn headers(entity: Entity, expected: &Expected) -> Vec<(&'static str, &str)> {
    let (kind, schema) = match entity {
        Entity::User => ("com.alibabacloud.idaas.user.state.v1", "urn:idaas-bridge:schema:user-state:v1"),
        Entity::OrganizationalUnit => (
            "com.alibabacloud.idaas.organizational-unit.state.v1",
            "urn:idaas-bridge:schema:organizational-unit-state:v1",
        ),
        Entity::Group => ("com.alibabacloud.idaas.group.state.v1", "urn:idaas-bridge:schema:group-state:v1"),
    };
    let Expected { key, source, written } = expected;
    vec![
        ("content-type", "application/json"),
        ("ce_specversion", "1.0"),
        ("ce_id", &written.event_id),
        ("ce_source", source),
        ("ce_type", kind),
        ("ce_subject", key),
        ("ce_time", &written.time),
        ("ce_dataschema", schema),
        ("ce_partitionkey", key),
    ]
}

/// The newest state record of each entity of one kind.
fn committed(deployment: &Deployment, entity: &str) -> BTreeMap<String, Value> {
    let topic = format!("{}.{entity}.state.v1", deployment.prefix);
    let mut states = BTreeMap::new();
    for seen in read(&deployment.bootstrap_servers, &topic).into_values().flatten() {
        let id = String::from_utf8(seen.key.unwrap()).unwrap();
        if seen.value.is_empty() {
            states.remove(&id);
        } else {
            states.insert(id, serde_json::from_slice(&seen.value).unwrap());
        }
    }
    states
}

/// The newest state of all entities, by kind and id.
pub(super) fn latest(deployment: &Deployment) -> BTreeMap<(String, String), Value> {
    let of = |entity: Entity| {
        let states = committed(deployment, entity.name());
        states.into_iter().map(move |(id, state)| ((entity.name().to_owned(), id), state))
    };
    Entity::ALL.into_iter().flat_map(of).collect()
}
