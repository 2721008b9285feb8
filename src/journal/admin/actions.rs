//! Admin operations on one entry or callback: find, discard and redrive.

use std::collections::HashMap;

use outbox::{DiscardOutcome, EventKey, LaneKey, RedriveOutcome, Seq};

use super::{EntryRedrive, JournalAdmin, Lookup, MAX_HEADS, PAGE_SIZE, or_closed};
use crate::journal::quarantine::QuarantineId;
use crate::journal::row::EntryRow;
use crate::journal::summary::{EntrySummary, QuarantinedSummary};
use crate::journal::waiting::{WaitState, next_step};
use crate::telemetry::journal::JournalRejection;
use crate::telemetry::log_code::LogCode;

/// How many times an entry is looked up after its deletion was requested. Many other deletions can come first.
const MAX_LOOKUPS: usize = 100;

impl JournalAdmin {
    /// Looks up the entry with this event id, or `application/id`.
    ///
    /// # Errors
    /// As for [`JournalAdmin::summary`].
    pub async fn find_entry(&self, name: &str) -> Result<Lookup, JournalRejection> {
        Ok(self.entry_named(name).await?.0)
    }

    /// Looks up a quarantined callback.
    ///
    /// # Errors
    /// As for [`JournalAdmin::summary`].
    pub async fn find_callback(&self, id: QuarantineId) -> Result<Lookup, JournalRejection> {
        let row = or_closed(self.journal.quarantined_row(id)).await?;
        Ok(row.map_or(Lookup::Nothing, |row| Lookup::Callback(QuarantinedSummary::from(&row))))
    }

    /// Removes the entry with this name, if exactly one matches. Returns the result of the lookup. `by` is logged.
    ///
    /// # Errors
    /// As for [`JournalAdmin::summary`], or if the entry is still on the disk afterwards: the next start would publish it.
    pub async fn discard_entry(&self, name: &str, by: &str) -> Result<Lookup, JournalRejection> {
        let (found, event) = self.entry_named(name).await?;
        let (Lookup::Event(waiting), Some((seq, key))) = (&found, event) else { return Ok(found) };
        match self.outbox.discard(seq, key) {
            DiscardOutcome::Discarded => {}
            DiscardOutcome::InFlight => return Ok(Lookup::InFlight(waiting.clone())),
            // It was discarded or published a moment ago, and its deletion is pending.
            DiscardOutcome::Unknown => return self.wait_until_deleted(seq).await.map(|()| Lookup::Nothing),
        }
        tracing::warn!(
            code = LogCode::JournalDiscarded.as_str(),
            event_id = waiting.event_id,
            application = waiting.application,
            topic = waiting.topic,
            by,
            "an operator removed an event from the journal, unpublished"
        );
        self.wait_until_deleted(seq).await?;
        Ok(found)
    }

    /// Waits until an entry is no longer on the disk. Before each lookup, the journal commits pending deletions.
    async fn wait_until_deleted(&self, seq: Seq) -> Result<(), JournalRejection> {
        for _ in 0..MAX_LOOKUPS {
            let rows = or_closed(self.journal.list(seq, 1)).await?;
            if rows.iter().all(|row| row.seq != seq) {
                return Ok(());
            }
        }
        Err(JournalRejection::Failed)
    }

    /// Removes a callback from quarantine. `by` is logged.
    ///
    /// # Errors
    /// As for [`JournalAdmin::summary`].
    pub async fn discard_callback(&self, id: QuarantineId, by: &str) -> Result<Lookup, JournalRejection> {
        let found = self.find_callback(id).await?;
        if let Lookup::Callback(callback) = &found {
            or_closed(self.journal.release(id)).await?;
            tracing::warn!(
                code = LogCode::QuarantineDiscarded.as_str(),
                id = callback.id,
                application = callback.application,
                by,
                "an operator removed a callback from quarantine, unpublished"
            );
        }
        Ok(found)
    }

    /// Has the entry that a name means tried again now. If it cannot be, its summary has the reason.
    ///
    /// # Errors
    /// As for [`JournalAdmin::summary`].
    pub async fn redrive(&self, name: &str, by: &str) -> Result<EntryRedrive, JournalRejection> {
        let (found, event) = self.entry_named(name).await?;
        let (Lookup::Event(entry), Some((_, key))) = (&found, event) else {
            return Ok(EntryRedrive::NoSingleMatch(found));
        };
        let outcome = self.outbox.redrive(key);
        let (event_id, application) = (&entry.event_id, &entry.application);
        tracing::info!(
            code = LogCode::JournalRedriven.as_str(),
            event_id,
            application,
            by,
            now = outcome == RedriveOutcome::Started,
            "an operator requested to publish an event now"
        );
        let summary = |waiting| EntrySummary { waiting, ..entry.clone() };
        Ok(match outcome {
            RedriveOutcome::Started => EntryRedrive::Now(summary(None)),
            RedriveOutcome::NotWaiting => EntryRedrive::Automatic(summary(None)),
            RedriveOutcome::Blocked(head) => {
                let reason = head.reason.code();
                let next_step = next_step(reason, &entry.topic, &self.outbox.unreachable_brokers());
                let state = WaitState { reason: reason.to_owned(), attempts: head.attempts.into(), next_step };
                EntryRedrive::Automatic(summary(Some(state)))
            }
            // It has been published since it was looked up.
            RedriveOutcome::Unknown => EntryRedrive::NoSingleMatch(Lookup::Nothing),
        })
    }

    /// Returns up to `limit` entries, oldest first, whose event has this id (see [`JournalAdmin::find_entry`]) or whose
    /// record key is this id.
    ///
    /// # Errors
    /// As for [`JournalAdmin::summary`].
    pub async fn entries_about(&self, id: &str, limit: usize) -> Result<Vec<EntrySummary>, JournalRejection> {
        let mut from = Seq(0);
        let mut found = Vec::new();
        while found.len() < limit {
            let rows = or_closed(self.journal.list(from, PAGE_SIZE)).await?;
            let Some(last) = rows.last() else { break };
            from = Seq(last.seq.0.saturating_add(1));
            // A lane is identified by the topic and the record key, and the record key is the entity's id.
            let is_about = |row: &&EntryRow| is_named(row, id) || row.lane == LaneKey::of(&row.topic, id);
            found.extend(rows.iter().filter(is_about).map(EntrySummary::from));
        }
        found.truncate(limit);
        self.add_reasons(&mut found);
        Ok(found)
    }

    /// Adds the reason for waiting to each entry that is the head of its lane.
    fn add_reasons(&self, entries: &mut [EntrySummary]) {
        if entries.is_empty() {
            return;
        }
        let heads: HashMap<u64, _> =
            self.outbox.waiting(MAX_HEADS).into_iter().map(|head| (head.seq.0, head)).collect();
        let unreachable = self.outbox.unreachable_brokers();
        for entry in entries {
            entry.waiting = heads.get(&entry.seq).map(|head| WaitState::of(head, &entry.topic, &unreachable));
        }
    }

    pub(super) async fn entry_named(&self, name: &str) -> Result<(Lookup, Option<(Seq, EventKey)>), JournalRejection> {
        let mut from = Seq(0);
        let mut found: Vec<EntryRow> = Vec::new();
        loop {
            let rows = or_closed(self.journal.list(from, PAGE_SIZE)).await?;
            let Some(last) = rows.last() else { break };
            from = Seq(last.seq.0.saturating_add(1));
            found.extend(rows.into_iter().filter(|row| is_named(row, name)));
        }
        Ok(match found.as_slice() {
            [] => (Lookup::Nothing, None),
            [row] => {
                let mut entry = EntrySummary::from(row);
                self.add_reasons(std::slice::from_mut(&mut entry));
                (Lookup::Event(entry), Some((row.seq, row.key)))
            }
            rows => (
                Lookup::Several(rows.iter().map(|row| format!("{}/{}", row.application, row.event_id)).collect()),
                None,
            ),
        })
    }
}

fn is_named(row: &EntryRow, name: &str) -> bool {
    let qualified = name.strip_prefix(row.application.as_str()).and_then(|rest| rest.strip_prefix('/'));
    row.event_id == name || qualified == Some(row.event_id.as_str())
}
