//! A consumer that keeps a directory of its own up to date: what every consumer has to do, and nothing else.
//!
//! ```sh
//! cargo run --release --example consumer -- localhost:9092 idaas.user.v1
//! ```
//!
//! Here the directory and the ids are in memory. In earnest, both belong into one database: apply the event and
//! remember its id in the same transaction, and only then commit the offset.

use std::collections::{BTreeMap, HashSet};
use std::error::Error;
use std::io::Write;

use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::message::{Headers, Message};
use serde_json::{Map, Value};

/// The users by id, as far as events told of them.
type Directory = BTreeMap<String, Map<String, Value>>;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let servers = arguments.next().unwrap_or_else(|| "localhost:9092".to_owned());
    let topic = arguments.next().unwrap_or_else(|| "idaas.user.v1".to_owned());
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", servers)
        .set("group.id", "example-directory")
        .set("enable.auto.commit", "false")
        .set("auto.offset.reset", "earliest")
        .create()?;
    consumer.subscribe(&[&topic])?;
    let (mut directory, mut seen) = (Directory::new(), HashSet::new());
    for message in consumer.iter() {
        let message = message?;
        let id = header(&message, "ce_id").unwrap_or_default();
        // Delivery is at least once: the same event can come twice, and always has the same id.
        if seen.insert(id.clone()) {
            let event = serde_json::from_slice(message.payload().unwrap_or_default())?;
            let what = apply(&mut directory, &event);
            writeln!(std::io::stdout(), "{id}  {what}  ({} users)", directory.len())?;
        }
        consumer.commit_message(&message, CommitMode::Async)?;
    }
    Ok(())
}

fn header(message: &impl Message, name: &str) -> Option<String> {
    let header = message.headers()?.iter().find(|header| header.key == name)?;
    String::from_utf8(header.value?.to_vec()).ok()
}

/// Applies one event, and says what it was.
fn apply(directory: &mut Directory, event: &Value) -> String {
    let action = event.get("action").and_then(Value::as_str).unwrap_or_default();
    let Some(user) = event.get("user").and_then(Value::as_object) else { return "not about a user".to_owned() };
    let id = user.get("id").and_then(Value::as_str).unwrap_or_default();
    match action {
        "deleted" => {
            directory.remove(id);
        }
        // Whatever the action, also one that is added later: what is there counts, what is absent stays as it was.
        _ => {
            let known = directory.entry(id.to_owned()).or_default();
            for (name, value) in user {
                if value.is_null() {
                    known.remove(name);
                } else {
                    known.insert(name.clone(), value.clone());
                }
            }
        }
    }
    format!("{action} {id}")
}
