//! What operators can ask of the journal: a summary, an export, the removal of one thing. The same for a running service,
//! over its admin listener, and for a directory that nobody uses.

use std::sync::Arc;

use serde_json::json;

use super::Entry;
use super::fault::JournalRefusal;
use super::handle::{Answer, Journal, JournalEvents};
use super::quarantine::QuarantineId;
use super::row::Row;
use super::store::Store;
use super::summary::{Held, Summary, Summing, Waiting};
use crate::jose::jwe::ContentKey;
use crate::outbox::{EventKey, Seq};
use crate::prepare::record::Record;

/// How many rows are asked for at a time, so that nobody who writes waits long.
const PORTION: usize = 5000;

/// Who has to know that an operator gives an event up.
pub trait Discards: Send + Sync {
    /// Takes the event out of its lane, so that the next of the lane can go, and has the journal forget it. Nothing is
    /// answered for it any more. Says whether it was waiting: what is with the producer cannot be called back.
    fn discard(&self, seq: Seq, key: EventKey) -> bool;
}

/// Answers operators.
pub struct Desk {
    journal: Arc<Journal>,
    discards: Arc<dyn Discards>,
    key: Arc<ContentKey>,
}

/// What a removal meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// This entry.
    Event(Waiting),
    /// This entry, whose event is with the producer at this moment: nothing was removed.
    InFlight(Waiting),
    /// This callback in quarantine.
    Callback(Held),
    /// Nothing of that name.
    Nothing,
    /// Entries of several applications have this id: `application/id` tells them apart.
    Several(Vec<String>),
}

impl Desk {
    /// For a journal, whoever has its lanes, and the key that seals what is exported.
    #[must_use]
    pub fn new(journal: Arc<Journal>, discards: Arc<dyn Discards>, key: Arc<ContentKey>) -> Self {
        Self { journal, discards, key }
    }

    /// For a store that no service uses.
    ///
    /// # Errors
    /// The operating system's, where it gives no thread.
    pub fn alone(store: Store, key: Arc<ContentKey>) -> std::io::Result<Self> {
        let journal = Arc::new(Journal::start(store, Arc::new(Nobody))?);
        Ok(Self { discards: Arc::new(Alone(Arc::clone(&journal))), journal, key })
    }

    /// Everything at a glance, with up to `longest` of the oldest entries.
    ///
    /// # Errors
    /// [`JournalRefusal`] where the journal cannot be read now.
    pub async fn summary(&self, longest: usize) -> Result<Summary, JournalRefusal> {
        let mut summing = Summing::new(longest);
        let usage = self.journal.usage();
        let mut from = Seq(0);
        loop {
            let rows = heard(self.journal.list(from, PORTION)).await?;
            rows.iter().for_each(|row| summing.add(row));
            match rows.last() {
                Some(last) => from = Seq(last.seq.0.saturating_add(1)),
                None => break,
            }
        }
        Ok(summing.end(&usage, heard(self.journal.quarantined()).await?))
    }

    /// Up to `limit` entries from a place on, one JSON object per line, and the place after them; none at the end.
    /// What events say is in it only sealed.
    ///
    /// # Errors
    /// As [`Desk::summary`].
    pub async fn export(&self, from: u64, limit: usize) -> Result<(String, Option<u64>), JournalRefusal> {
        let entries = heard(self.journal.entries(Seq(from), limit)).await?;
        let next = entries.last().map(|(seq, _)| seq.0.saturating_add(1));
        let mut lines = String::new();
        for (seq, entry) in entries {
            let line = match entry {
                Some(entry) => self.line(&entry),
                None => json!({"seq": seq.0, "damaged": true}),
            };
            lines.push_str(&line.to_string());
            lines.push('\n');
        }
        Ok((lines, next))
    }

    /// The callbacks in quarantine, one JSON object per line, sealed likewise.
    ///
    /// # Errors
    /// As [`Desk::summary`].
    pub async fn export_quarantine(&self) -> Result<String, JournalRefusal> {
        let mut lines = String::new();
        for row in heard(self.journal.quarantined()).await? {
            let callback = heard(self.journal.quarantined_callback(row.id)).await?;
            let mut line = serde_json::to_value(Held::from(&row)).unwrap_or_default();
            if let (Some(line), Some(callback)) = (line.as_object_mut(), callback) {
                line.insert("content".to_owned(), self.key.seal_named(callback.content().as_bytes()).into());
            }
            lines.push_str(&line.to_string());
            lines.push('\n');
        }
        Ok(lines)
    }

    fn line(&self, entry: &Entry) -> serde_json::Value {
        let sealed = |record: &Record| self.key.seal_named(&record.value);
        json!({
            "seq": entry.seq.0,
            "eventId": entry.event_id,
            "application": entry.application,
            "entity": entry.record.entity.name(),
            "topic": &*entry.record.topic,
            "key": entry.record.key,
            "acceptedAt": entry.accepted_at,
            "eventTime": entry.event_time,
            "code": entry.verdict.code(),
            "value": sealed(&entry.record),
            "credential": entry.credential.as_ref().map(sealed),
        })
    }

    /// What a name means: an event's id, `application/id`, or the name of a callback in quarantine.
    ///
    /// # Errors
    /// As [`Desk::summary`].
    pub async fn find(&self, name: &str) -> Result<Found, JournalRefusal> {
        Ok(self.look_up(name).await?.0)
    }

    /// Removes what a name means, where that is one thing, and says what it was.
    ///
    /// # Errors
    /// As [`Desk::summary`].
    pub async fn discard(&self, name: &str) -> Result<Found, JournalRefusal> {
        let (found, event) = self.look_up(name).await?;
        match &found {
            Found::Event(waiting) => {
                if !event.is_some_and(|(seq, key)| self.discards.discard(seq, key)) {
                    return Ok(Found::InFlight(waiting.clone()));
                }
                tracing::warn!(
                    code = "journal_discarded",
                    event_id = waiting.event_id,
                    application = waiting.application,
                    "an event was removed from the journal by order, unpublished"
                );
            }
            Found::Callback(held) => {
                if let Some(id) = QuarantineId::parse(&held.id) {
                    heard(self.journal.release(id)).await?;
                }
                tracing::warn!(
                    code = "quarantine_discarded",
                    id = held.id,
                    application = held.application,
                    "a callback was removed from quarantine by order, unread"
                );
            }
            Found::Nothing | Found::InFlight(_) | Found::Several(_) => {}
        }
        Ok(found)
    }

    async fn look_up(&self, name: &str) -> Result<(Found, Option<(Seq, EventKey)>), JournalRefusal> {
        if let Some(id) = QuarantineId::parse(name) {
            let rows = heard(self.journal.quarantined()).await?;
            if let Some(row) = rows.iter().find(|row| row.id == id) {
                return Ok((Found::Callback(Held::from(row)), None));
            }
        }
        let mut from = Seq(0);
        let mut found: Vec<Row> = Vec::new();
        loop {
            let rows = heard(self.journal.list(from, PORTION)).await?;
            let Some(last) = rows.last() else { break };
            from = Seq(last.seq.0.saturating_add(1));
            found.extend(rows.into_iter().filter(|row| is_named(row, name)));
        }
        Ok(match found.as_slice() {
            [] => (Found::Nothing, None),
            [row] => (Found::Event(Waiting::from(row)), Some((row.seq, row.key))),
            rows => {
                (Found::Several(rows.iter().map(|row| format!("{}/{}", row.application, row.event_id)).collect()), None)
            }
        })
    }
}

fn is_named(row: &Row, name: &str) -> bool {
    let qualified = name.strip_prefix(row.application.as_str()).and_then(|rest| rest.strip_prefix('/'));
    row.event_id == name || qualified == Some(row.event_id.as_str())
}

/// An answer, or that the journal has been closed.
async fn heard<T>(answer: Answer<T>) -> Result<T, JournalRefusal> {
    answer.await.unwrap_or(Err(JournalRefusal::Failed))
}

/// Where no service runs nobody waits for anything.
struct Nobody;

impl JournalEvents for Nobody {
    fn written(&self, _: Vec<Seq>) {}

    fn refused(&self, _: Vec<Seq>, _: JournalRefusal) {}

    fn read(&self, _: Vec<(Seq, Option<Entry>)>) {}

    fn unread(&self, _: Vec<Seq>, _: JournalRefusal) {}
}

/// Where no service runs there are no lanes.
struct Alone(Arc<Journal>);

impl Discards for Alone {
    fn discard(&self, seq: Seq, _: EventKey) -> bool {
        self.0.forget(vec![seq]);
        true
    }
}
