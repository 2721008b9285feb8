//! Keeps the table `users` in step with the directory: bootstraps from the state topic, then follows the event topic.
//!
//! Usage: `users-consumer BOOTSTRAP_SERVERS PREFIX DATABASE_URL`

use std::collections::HashSet;
use std::error::Error;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use cloudevents::{AttributesReader, Event};
use postgres::types::ToSql;
use postgres::{Client, NoTls, Transaction};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::{BorrowedMessage, Headers, Message};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use serde::Deserialize;
use serde_json::{Map, Value};
use user::{User, UserEvent};
use user_state::StateMetadata;

#[allow(dead_code, clippy::all, reason = "generated")]
mod user {
    include!(concat!(env!("OUT_DIR"), "/user.rs"));
}

#[allow(dead_code, clippy::all, reason = "generated")]
mod user_state {
    include!(concat!(env!("OUT_DIR"), "/user-state.rs"));
}

type Result<T> = std::result::Result<T, Box<dyn Error>>;

const TIMEOUT: Duration = Duration::from_secs(30);

/// A record of the state topic. Its user has the members of an event's user.
#[derive(Deserialize)]
struct State {
    user: User,
    state: StateMetadata,
}

/// A column, the path of the field that it holds, and how to get it.
type Column = (&'static str, &'static str, fn(&User) -> Field);

/// A value for the database, and whether the record has one.
type Field = (Box<dyn ToSql + Sync>, bool);

const COLUMNS: [Column; 9] = [
    ("username", "username", |user| field(user.username.as_ref())),
    ("display_name", "displayName", |user| field(user.display_name.as_ref())),
    ("status", "status", |user| field(user.status.as_ref())),
    ("email", "email.address", |user| field(user.email.as_ref().and_then(|email| email.address.as_ref()))),
    ("email_verified", "email.verified", |user| field(user.email.as_ref().and_then(|email| email.verified.as_ref()))),
    ("phone_region", "phone.region", |user| field(user.phone.as_ref().and_then(|phone| phone.region.as_ref()))),
    ("phone_number", "phone.number", |user| field(user.phone.as_ref().and_then(|phone| phone.number.as_ref()))),
    ("organizational_units", "organizationalUnits", unit_ids),
    ("account_expires_at", "accountExpiresAt", |user| field(user.account_expires_at.as_ref())),
];

fn field<T: ToSql + Sync + Clone + 'static>(value: Option<&T>) -> Field {
    (Box::new(value.cloned()), value.is_some())
}

fn unit_ids(user: &User) -> Field {
    let ids = |units: &Vec<user::OrganizationalUnitMembership>| units.iter().map(|unit| unit.id.clone()).collect();
    field::<Vec<Option<String>>>(user.organizational_units.as_ref().map(ids).as_ref())
}

/// The merge rules, in SQL.
struct Table<'a>(Transaction<'a>);

impl Table<'_> {
    /// Records the time of an event, and creates the user if it is new. Returns false if the user was deleted at that
    /// time or later.
    fn upsert(&mut self, id: &str, time: DateTime<Utc>) -> Result<bool> {
        let insert = "INSERT INTO users (id, last_event_time) SELECT $1, $2::timestamptz
            WHERE NOT EXISTS (SELECT FROM deleted_users WHERE id = $1 AND deleted_at >= $2)
            ON CONFLICT (id) DO UPDATE SET last_event_time = greatest(users.last_event_time, EXCLUDED.last_event_time)";
        Ok(self.0.execute(insert, &[&id, &time])? == 1)
    }

    /// Sets the fields that the record carries, and clears those that are null in it, unless a newer event has set
    /// them: the last writer wins, by the time of the event.
    fn set(&mut self, user: &User, cleared: &[String], time: impl Fn(&str) -> Result<DateTime<Utc>>) -> Result<()> {
        for (name, path, value) in &COLUMNS {
            let (value, present) = value(user);
            if present || cleared.iter().any(|cleared| cleared == path) {
                let update = format!(
                    "UPDATE users
                    SET {name} = $2, field_times = field_times || jsonb_build_object('{name}', $3::timestamptz)
                    WHERE id = $1 AND coalesce((field_times ->> '{name}')::timestamptz, '-infinity') <= $3"
                );
                self.0.execute(&update, &[&user.id, &*value, &time(path)?])?;
            }
        }
        Ok(())
    }

    /// Deletes a user and remembers it, unless something newer is known.
    fn delete(&mut self, id: &str, time: DateTime<Utc>) -> Result<()> {
        self.0.execute("DELETE FROM users WHERE id = $1 AND last_event_time <= $2", &[&id, &time])?;
        let insert =
            "INSERT INTO deleted_users SELECT $1, $2::timestamptz WHERE NOT EXISTS (SELECT FROM users WHERE id = $1)
            ON CONFLICT (id) DO UPDATE SET deleted_at = greatest(deleted_users.deleted_at, EXCLUDED.deleted_at)";
        self.0.execute(insert, &[&id, &time])?;
        Ok(())
    }

    /// Records the identity of an event. Returns false if the event was applied before.
    fn is_new(&mut self, source: &str, id: &str) -> Result<bool> {
        let insert = "INSERT INTO applied_events (source, id) VALUES ($1, $2) ON CONFLICT DO NOTHING";
        Ok(self.0.execute(insert, &[&source, &id])? == 1)
    }

    /// Forgets deletions and identities after seven days.
    fn forget(&mut self) -> Result<()> {
        self.0.execute("DELETE FROM deleted_users WHERE deleted_at < now() - interval '7 days'", &[])?;
        self.0.execute("DELETE FROM applied_events WHERE applied_at < now() - interval '7 days'", &[])?;
        Ok(())
    }

    fn store_offset(&mut self, partition: i32, offset: i64) -> Result<()> {
        let insert = "INSERT INTO event_offsets VALUES ($1, $2)
            ON CONFLICT (partition_id) DO UPDATE SET next_offset = EXCLUDED.next_offset";
        self.0.execute(insert, &[&partition, &offset])?;
        Ok(())
    }

    /// Applies a record of the state topic. A record without a value is a deletion.
    fn apply_state(&mut self, message: &BorrowedMessage<'_>) -> Result<()> {
        let Some(value) = message.payload() else {
            let time = headers(message)?["ce_time"].as_str().ok_or("no time")?.parse()?;
            return self.delete(std::str::from_utf8(message.key().unwrap_or_default())?, time);
        };
        let State { user, state } = serde_json::from_slice(value)?;
        let json: Value = serde_json::from_slice(value)?;
        if let Some(time) = state.last_deletion_time {
            self.delete(&user.id, time)?;
        }
        self.upsert(&user.id, state.last_event_time)?;
        self.set(&user, &nulls(&json["user"], ""), |path| match state.field_times.get(path).and_then(Value::as_str) {
            Some(older) => Ok(older.parse()?),
            None => Ok(state.last_event_time),
        })
    }

    /// Applies a record of the event topic.
    fn apply_event(&mut self, message: &BorrowedMessage<'_>) -> Result<()> {
        let mut event = to_event(message)?;
        let data: Value = event.take_data().2.ok_or("no data")?.try_into()?;
        let UserEvent { action, mut user, cleared, .. } = serde_json::from_value(data)?;
        let timestamp = message.timestamp().to_millis().and_then(DateTime::from_timestamp_millis);
        let time = event.time().copied().or(timestamp).ok_or("no time")?;
        if !self.is_new(event.source(), event.id())? {
            return Ok(());
        }
        if action == "deleted" {
            return self.delete(&user.id, time);
        }
        if matches!(action.as_str(), "enabled" | "disabled") && !cleared.iter().any(|path| path == "status") {
            user.status.get_or_insert(action);
        }
        if self.upsert(&user.id, time)? {
            self.set(&user, &cleared, |_| Ok(time))?;
        }
        Ok(())
    }
}

fn headers(message: &BorrowedMessage<'_>) -> Result<Map<String, Value>> {
    let headers = message.headers().into_iter().flat_map(Headers::iter);
    headers
        .map(|header| Ok((header.key.to_owned(), std::str::from_utf8(header.value.unwrap_or_default())?.into())))
        .collect()
}

/// Reads a record in either content mode. The SDK's own binding needs an older rdkafka, and CMake.
fn to_event(message: &BorrowedMessage<'_>) -> Result<Event> {
    let (headers, payload) = (headers(message)?, message.payload().unwrap_or_default());
    let content_type = headers.get("content-type").cloned().unwrap_or_default();
    if content_type.as_str().is_some_and(|text| text.starts_with("application/cloudevents+json")) {
        return Ok(serde_json::from_slice(payload)?);
    }
    let attributes =
        headers.iter().filter_map(|(name, value)| Some((name.strip_prefix("ce_")?.to_owned(), value.clone())));
    let mut event: Map<_, _> = attributes.collect();
    event.insert("datacontenttype".to_owned(), content_type);
    event.insert("data".to_owned(), serde_json::from_slice(payload)?);
    Ok(serde_json::from_value(event.into())?)
}

/// The paths of the members that are null. Events have this list: `cleared`.
fn nulls(object: &Value, prefix: &str) -> Vec<String> {
    let members = object.as_object().into_iter().flatten();
    let paths = members.map(|(name, value)| match value {
        Value::Null => vec![format!("{prefix}{name}")],
        value => nulls(value, &format!("{prefix}{name}.")),
    });
    paths.flatten().collect()
}

fn partitions(consumer: &BaseConsumer, topic: &str) -> Result<Vec<i32>> {
    let metadata = consumer.fetch_metadata(Some(topic), TIMEOUT)?;
    Ok(metadata.topics().iter().flat_map(|topic| topic.partitions()).map(|partition| partition.id()).collect())
}

/// Fills the tables from the state topic, in one transaction with the offsets at which to follow the events.
fn bootstrap(database: &mut Client, consumer: &BaseConsumer, states: &str, events: &str) -> Result<()> {
    let mut table = Table(database.transaction()?);
    table.0.batch_execute("TRUNCATE users, deleted_users, applied_events")?;
    // Events of the last seven days. Those that the state includes change nothing.
    let since = (Utc::now() - TimeDelta::days(7)).timestamp_millis();
    for partition in partitions(consumer, events)? {
        let (_, end) = consumer.fetch_watermarks(events, partition, TIMEOUT)?;
        let mut start = TopicPartitionList::new();
        start.add_partition_offset(events, partition, Offset::Offset(since))?;
        let start = consumer.offsets_for_times(start, TIMEOUT)?;
        // `Offset::End`: there is no event in these seven days.
        let start = start.elements()[0].offset().to_raw().filter(|start| *start >= 0).unwrap_or(end);
        table.store_offset(partition, start.min(end))?;
    }
    let mut unread: HashSet<i32> = partitions(consumer, states)?.into_iter().collect();
    let mut assignment = TopicPartitionList::new();
    for partition in &unread {
        assignment.add_partition_offset(states, *partition, Offset::Beginning)?;
    }
    consumer.assign(&assignment)?;
    while !unread.is_empty() {
        match consumer.poll(TIMEOUT) {
            Some(Ok(message)) => table.apply_state(&message)?,
            Some(Err(KafkaError::PartitionEOF(partition))) => drop(unread.remove(&partition)),
            Some(Err(error)) => return Err(error.into()),
            None => {}
        }
    }
    Ok(table.0.commit()?)
}

/// Applies events without end. A transaction has the events and their offsets.
fn follow(database: &mut Client, consumer: &BaseConsumer, events: &str) -> Result<()> {
    let mut assignment = TopicPartitionList::new();
    for row in database.query("SELECT partition_id, next_offset FROM event_offsets", &[])? {
        assignment.add_partition_offset(events, row.get(0), Offset::Offset(row.get(1)))?;
    }
    consumer.assign(&assignment)?;
    loop {
        let mut table = Table(database.transaction()?);
        let mut wait = Duration::from_secs(1);
        for _ in 0..500 {
            match consumer.poll(wait) {
                Some(Ok(message)) => {
                    table.apply_event(&message)?;
                    table.store_offset(message.partition(), message.offset() + 1)?;
                }
                Some(Err(KafkaError::PartitionEOF(_))) => {}
                Some(Err(error)) => return Err(error.into()),
                None => break,
            }
            wait = Duration::ZERO;
        }
        table.forget()?;
        table.0.commit()?;
    }
}

fn main() -> Result<()> {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let [servers, prefix, url] = arguments.as_slice() else {
        return Err("usage: users-consumer BOOTSTRAP_SERVERS PREFIX DATABASE_URL".into());
    };
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", servers)
        .set("group.id", format!("{prefix}-users")) // Required by the client; the offsets are in the database.
        .set("enable.auto.commit", "false")
        .set("enable.auto.offset.store", "false")
        .set("enable.partition.eof", "true")
        .set("isolation.level", "read_committed")
        // Events between the stored offset and the oldest one in the topic are lost: bootstrap again.
        .set("auto.offset.reset", "error")
        .create()?;
    let mut database = Client::connect(url, NoTls)?;
    // One process at a time; others wait. The lock ends with the connection that writes.
    database.batch_execute("SELECT pg_advisory_lock(hashtext('users'))")?;
    let events = format!("{prefix}.user.v1");
    if database.query("SELECT FROM event_offsets LIMIT 1", &[])?.is_empty() {
        bootstrap(&mut database, &consumer, &format!("{prefix}.user.state.v1"), &events)?;
        println!("bootstrapped");
    }
    follow(&mut database, &consumer, &events)
}
