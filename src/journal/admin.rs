//! What operators can ask of the journal: a summary, an export, the removal of one thing. The admin listener of a
//! running service and the commands, if no service uses the directory, call the same operations.

mod actions;

use std::collections::BTreeMap;
use std::sync::Arc;

use idaas_callback::record::Record;
use idaas_callback::timestamp::rfc3339;
use outbox::{DiscardOutcome, EventKey, RedriveOutcome, Seq};
use serde_json::{Value, json};

use super::Entry;
use super::handle::{Journal, JournalEvents, Response};
use super::quarantine::{QuarantineId, QuarantineRow};
use super::store::Store;
use super::summary::{EntrySummary, QuarantinedSummary, Summary, SummaryBuilder};
use super::waiting::{LaneHead, WaitingEntry, next_step};
use crate::telemetry::journal::JournalRejection;

/// Maximum number of entries on a page that an operator gets.
pub const ENTRIES_PER_PAGE: usize = 500;

/// Maximum number of quarantined callbacks on a page that an operator gets. They can be large.
pub const CALLBACKS_PER_PAGE: usize = 20;

/// How many rows are read at a time, so that writers do not wait long.
const PAGE_SIZE: usize = 5000;

/// Maximum number of waiting lane heads that are searched for an entry.
const MAX_HEADS: usize = 10_000;

/// The outbox, as the journal's admin operations see it.
pub trait OutboxControl: Send + Sync {
    /// Removes the event from its lane and from the journal, so that the next event of the lane can be published. A
    /// request that still waits for the event gets no final verdict.
    fn discard(&self, seq: Seq, key: EventKey) -> DiscardOutcome;

    /// Tries to publish an event now, without waiting for the end of its back-off.
    fn redrive(&self, key: EventKey) -> RedriveOutcome;

    /// Returns the waiting lane heads, up to this number.
    fn waiting(&self, limit: usize) -> Vec<WaitingEntry>;

    /// Returns the advertised broker addresses that do not respond, as far as they are known.
    fn unreachable_brokers(&self) -> Vec<String>;
}

/// Runs admin operations on a journal.
pub struct JournalAdmin {
    journal: Arc<Journal>,
    outbox: Arc<dyn OutboxControl>,
}

/// Result of looking up or discarding an entry or a callback.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Lookup {
    /// Exactly this entry.
    Event(EntrySummary),
    /// Exactly this entry, but its event is with the producer: nothing was removed.
    InFlight(EntrySummary),
    /// This quarantined callback.
    Callback(QuarantinedSummary),
    /// Nothing has this name.
    Nothing,
    /// Entries of several applications have this id. Contains the candidates as `application/id`.
    Several(Vec<String>),
}

/// Result of an operator's request to retry an entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EntryRedrive {
    /// The entry is retried now.
    Now(EntrySummary),
    /// It is tried automatically: it is with the producer, waits behind another event of its entity, or waits for the
    /// reason in the summary.
    Automatic(EntrySummary),
    /// The name matches no entry, or several.
    NoSingleMatch(Lookup),
}

impl JournalAdmin {
    /// For a journal, and the owner of its lanes.
    #[must_use]
    pub fn new(journal: Arc<Journal>, outbox: Arc<dyn OutboxControl>) -> Self {
        Self { journal, outbox }
    }

    /// Creates the operations for a store that no service uses.
    ///
    /// # Errors
    /// The operating system's error if the journal's thread cannot be started.
    pub fn offline(store: Store) -> std::io::Result<Self> {
        let journal = Arc::new(Journal::start(store, Arc::new(NoopEvents), &Arc::default())?);
        Ok(Self { outbox: Arc::new(OfflineOutbox(Arc::clone(&journal))), journal })
    }

    /// Returns a summary with up to `limit` each of the oldest entries, the waiting lane heads and the oldest
    /// quarantined callbacks.
    ///
    /// # Errors
    /// Returns a [`JournalRejection`] if the journal cannot be read now.
    pub async fn summary(&self, limit: usize) -> Result<Summary, JournalRejection> {
        let mut builder = SummaryBuilder::new(limit);
        let usage = self.journal.usage();
        let mut from = Seq(0);
        loop {
            let rows = or_closed(self.journal.list(from, PAGE_SIZE)).await?;
            rows.iter().for_each(|row| builder.add(row));
            match rows.last() {
                Some(last) => from = Seq(last.seq.0.saturating_add(1)),
                None => break,
            }
        }
        let mut from = Some(QuarantineId::FIRST);
        while let Some(id) = from {
            let rows = or_closed(self.journal.quarantined(id, PAGE_SIZE)).await?;
            rows.iter().for_each(|row| builder.add_quarantined(row));
            from = rows.last().and_then(|row| row.id.next());
        }
        let waiting = self.waiting(limit).await?;
        Ok(builder.finish(&usage, waiting, or_closed(self.journal.old_keys()).await?))
    }

    /// Returns the waiting lane heads, with their data from the journal.
    async fn waiting(&self, limit: usize) -> Result<Vec<LaneHead>, JournalRejection> {
        let mut heads = Vec::new();
        let unreachable = self.outbox.unreachable_brokers();
        for WaitingEntry { seq, reason, attempts, since } in self.outbox.waiting(limit) {
            let rows = or_closed(self.journal.list(seq, 1)).await?;
            // An event without an entry has just been published, or is only in memory.
            let Some(row) = rows.into_iter().find(|row| row.seq == seq) else { continue };
            heads.push(LaneHead {
                next_step: next_step(reason, &row.topic, &unreachable),
                event_id: row.event_id,
                application: row.application,
                topic: row.topic.to_string(),
                reason: reason.to_owned(),
                attempts,
                since: since.unwrap_or(row.received_at),
            });
        }
        Ok(heads)
    }

    /// Returns up to `limit` entries starting at sequence number `from`, one JSON object per line, and the number after
    /// them (`None` at the end). Record values are sealed.
    ///
    /// # Errors
    /// As for [`JournalAdmin::summary`].
    pub async fn export(&self, from: u64, limit: usize) -> Result<(String, Option<u64>), JournalRejection> {
        let entries = or_closed(self.journal.entries(Seq(from), limit)).await?;
        let next = entries.last().map(|(seq, _)| seq.0.saturating_add(1));
        let mut lines = String::new();
        for (seq, entry) in entries {
            let line = match entry {
                Some(entry) => self.entry_line(&entry),
                None => json!({"seq": seq.0, "damaged": true}),
            };
            lines.push_str(&line.to_string());
            lines.push('\n');
        }
        Ok((lines, next))
    }

    /// Returns up to `limit` quarantined callbacks starting at `from`, one JSON object per line, and the id after them
    /// (`None` at the end). Contents are sealed.
    ///
    /// # Errors
    /// As for [`JournalAdmin::summary`].
    pub async fn export_quarantine(
        &self,
        from: QuarantineId,
        limit: usize,
    ) -> Result<(String, Option<QuarantineId>), JournalRejection> {
        let rows = or_closed(self.journal.quarantined(from, limit)).await?;
        let next = rows.last().and_then(|row| row.id.next());
        let mut lines = String::new();
        for row in rows {
            lines.push_str(&self.callback_line(&row).await?.to_string());
            lines.push('\n');
        }
        Ok((lines, next))
    }

    async fn callback_line(&self, row: &QuarantineRow) -> Result<Value, JournalRejection> {
        let callback = or_closed(self.journal.quarantined_callback(row.id)).await?;
        let mut line = serde_json::to_value(QuarantinedSummary::from(row)).unwrap_or_default();
        if let (Some(line), Some(callback)) = (line.as_object_mut(), callback) {
            let sealed = self.journal.sealing_key().seal_named(callback.content().as_bytes());
            line.insert("content".to_owned(), sealed.into());
        }
        Ok(line)
    }

    fn entry_line(&self, entry: &Entry) -> Value {
        let key = self.journal.sealing_key();
        let sealed = |record: &Record| key.seal_named(&record.value);
        json!({
            "seq": entry.seq.0,
            "eventId": entry.event_id,
            "application": entry.application,
            "entity": entry.record.entity.name(),
            "topic": &*entry.record.topic,
            "key": entry.record.key,
            "acceptedAt": rfc3339(entry.received_at),
            "eventTime": entry.event_time.and_then(rfc3339),
            "code": entry.verdict.code(),
            "headers": entry.record.headers.iter().collect::<BTreeMap<_, _>>(),
            "value": sealed(&entry.record),
            "credential": entry.credential.as_ref().map(sealed),
        })
    }

    /// Returns the entry with this event id, or `application/id`, with sealed contents. Returns the result of the
    /// lookup unless exactly one entry matches.
    ///
    /// # Errors
    /// As for [`JournalAdmin::summary`].
    pub async fn entry(&self, name: &str) -> Result<Result<Value, Lookup>, JournalRejection> {
        let (found, event) = self.entry_named(name).await?;
        let (Lookup::Event(summary), Some((seq, _))) = (&found, event) else { return Ok(Err(found)) };
        let entries = or_closed(self.journal.entries(seq, 1)).await?;
        let entry = entries.into_iter().find_map(|(found_seq, entry)| entry.filter(|_| found_seq == seq));
        let mut line = entry.map_or_else(|| damaged_line(summary), |entry| self.entry_line(&entry));
        if let (Some(line), Some(waiting)) = (line.as_object_mut(), &summary.waiting) {
            line.insert("waiting".to_owned(), serde_json::to_value(waiting).unwrap_or_default());
        }
        Ok(Ok(line))
    }

    /// Returns a quarantined callback with sealed content, or [`Lookup::Nothing`].
    ///
    /// # Errors
    /// As for [`JournalAdmin::summary`].
    pub async fn callback(&self, id: QuarantineId) -> Result<Result<Value, Lookup>, JournalRejection> {
        let Some(row) = or_closed(self.journal.quarantined_row(id)).await? else { return Ok(Err(Lookup::Nothing)) };
        Ok(Ok(self.callback_line(&row).await?))
    }
}

/// Returns the line of an entry whose contents cannot be read.
pub(super) fn damaged_line(summary: &EntrySummary) -> Value {
    let mut line = serde_json::to_value(summary).unwrap_or_default();
    if let Some(line) = line.as_object_mut() {
        line.insert("damaged".to_owned(), true.into());
    }
    line
}

/// Waits for a response. A closed journal counts as [`JournalRejection::Failed`].
pub(super) async fn or_closed<T>(answer: Response<T>) -> Result<T, JournalRejection> {
    answer.await.unwrap_or(Err(JournalRejection::Failed))
}

/// Without a service, nothing waits.
struct NoopEvents;

impl JournalEvents for NoopEvents {
    fn written(&self, _: Vec<Seq>) {}

    fn rejected(&self, _: Vec<Seq>, _: JournalRejection) {}

    fn read(&self, _: Vec<(Seq, Option<Entry>)>) {}

    fn unread(&self, _: Vec<Seq>, _: JournalRejection) {}
}

/// Only deletes the entry: there are no lanes offline.
struct OfflineOutbox(Arc<Journal>);

impl OutboxControl for OfflineOutbox {
    fn discard(&self, seq: Seq, _: EventKey) -> DiscardOutcome {
        self.0.delete(vec![seq]);
        DiscardOutcome::Discarded
    }

    /// The service that starts next publishes the event.
    fn redrive(&self, _: EventKey) -> RedriveOutcome {
        RedriveOutcome::NotWaiting
    }

    fn waiting(&self, _: usize) -> Vec<WaitingEntry> {
        Vec::new()
    }

    fn unreachable_brokers(&self) -> Vec<String> {
        Vec::new()
    }
}
