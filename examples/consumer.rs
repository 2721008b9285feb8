//! A consumer that keeps a directory of its own up to date: what every consumer has to do, and nothing else.
//!
//! ```sh
//! cargo run --release --example consumer -- localhost:9092 idaas.user.v1
//! ```
//!
//! `examples/consumer/cloud_event.rs` reads a record in either mode, `examples/consumer/directory.rs` merges it.

#[path = "consumer/cloud_event.rs"]
mod cloud_event;
#[path = "consumer/directory.rs"]
mod directory;

use std::error::Error;
use std::io::Write;

use cloud_event::CloudEvent;
use directory::Directory;
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::message::{Headers, Message};

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
    let mut directory = Directory::default();
    for message in consumer.iter() {
        let message = message?;
        let headers = message.headers().into_iter().flat_map(Headers::iter);
        let headers = headers.filter_map(|header| Some((header.key, header.value?)));
        let timestamp = message.timestamp().to_millis().unwrap_or_default();
        let event = CloudEvent::read(headers, message.payload().unwrap_or_default(), timestamp)?;
        let outcome = directory.apply(&event);
        let (source, id, users) = (&event.source, &event.id, directory.ids().count());
        writeln!(std::io::stdout(), "{source} {id}: {outcome:?}, {users} users")?;
        if let Some(user) =
            event.data.pointer("/user/id").and_then(serde_json::Value::as_str).and_then(|id| directory.user(id))
        {
            writeln!(std::io::stdout(), "  {user}")?;
        }
        // Only now: an event that was not applied comes again.
        consumer.commit_message(&message, CommitMode::Async)?;
    }
    Ok(())
}
