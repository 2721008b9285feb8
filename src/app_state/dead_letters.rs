//! Publishes a dead letter's event again, once a version or configuration can read it.
//!
//! The event passes through decoding, lanes and journal like any other. Only dead letters that the service itself finds
//! on its topics are published, so a caller cannot inject events.

mod letter;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use self::letter::{DeadLetter, Found, Original};
use super::{AppState, Application};
use crate::kafka::history::scan::{Range, Scanned, scan};
use idaas_callback::event_type::Entity;
use idaas_callback::jose::jwe::{ContentKey, Sealed};
use idaas_callback::{Disposition, QuarantinedCallback, QuarantinedContent, RequestContext, from_quarantine};
use outbox::verdict::Verdict;

/// Limit for reading the topics.
const READ_TIMEOUT: Duration = Duration::from_secs(40);

/// Maximum number of records searched per partition, newest first.
const MAX_SEARCHED: u32 = 100_000;

/// The result of publishing a dead letter's event again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "result", rename_all = "snake_case", rename_all_fields = "camelCase")]
pub enum DeadLetterOutcome {
    /// The broker has confirmed the event.
    Published {
        /// The topic of the record.
        topic: String,
        /// `entity.action`.
        event: String,
    },
    /// It was published recently. No second record was written.
    AlreadyPublished,
    /// Kafka has not confirmed the event yet. It is in the journal, and is published automatically.
    Journaled,
    /// The event was not accepted, because a limit is reached. Nothing was published.
    NoRoom,
    /// The event still cannot be converted to a record. Nothing was published.
    StillRefused {
        /// The reason's code.
        reason: String,
    },
    /// The broker rejected the record, and the event was published as a dead letter again.
    RefusedAgain {
        /// The reason's code.
        reason: String,
    },
    /// The application's `skip` contains the event's type. Nothing was published.
    Skipped,
    /// The dead letter contains only a fingerprint of the event.
    NoOriginal {
        /// The reason's code.
        reason: String,
    },
    /// The original is encrypted with a key that is not in `journal.keys`, or is damaged.
    Unreadable,
    /// No application with this id and instance is configured.
    NotConfigured {
        /// The id of the application.
        application_id: String,
    },
    /// Dead letters of several applications have this id.
    Ambiguous {
        /// The ids to choose from.
        ids: Vec<String>,
    },
    /// No dead letter has this id.
    NotFound,
}

impl DeadLetterOutcome {
    /// Returns the stable code, as in the JSON.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Published { .. } => "published",
            Self::AlreadyPublished => "already_published",
            Self::Journaled => "journaled",
            Self::NoRoom => "no_room",
            Self::StillRefused { .. } => "still_refused",
            Self::RefusedAgain { .. } => "refused_again",
            Self::Skipped => "skipped",
            Self::NoOriginal { .. } => "no_original",
            Self::Unreadable => "unreadable",
            Self::NotConfigured { .. } => "not_configured",
            Self::Ambiguous { .. } => "ambiguous",
            Self::NotFound => "not_found",
        }
    }

    /// Returns true if the event is on the broker or in the journal.
    #[must_use]
    pub const fn is_safe(&self) -> bool {
        matches!(self, Self::Published { .. } | Self::AlreadyPublished | Self::Journaled)
    }
}

impl AppState {
    /// Publishes the event of the newest dead letter with this id again. `name` is the event's id, or `application/id`.
    ///
    /// # Errors
    /// A message that says why the dead letters cannot be read.
    pub async fn redrive_dead_letter(&self, name: &str) -> Result<DeadLetterOutcome, String> {
        if self.is_draining() {
            return Err("the service is shutting down".to_owned());
        }
        let Some(cluster) = self.cluster.load_full() else { return Err("the service is starting".to_owned()) };
        // One at a time, because each call reads the topics.
        let Ok(_turn) = self.dead_letters.acquire().await else {
            return Err("the service is shutting down".to_owned());
        };
        let applications = self.applications();
        let mut topics: Vec<String> = Vec::new();
        let mut names = BTreeMap::new();
        for application in applications.by_name.values() {
            topics.push(application.policy.topics.of(Entity::DeadLetter).to_string());
            names.insert(application.policy.application_id.clone(), application.name.clone());
        }
        topics.sort_unstable();
        topics.dedup();
        let wanted = name.to_owned();
        let search = move || {
            let mut found = Found::new(wanted, names);
            let scanned = scan(&cluster, &topics, Range::Newest(MAX_SEARCHED), READ_TIMEOUT, |record| {
                found.add(record);
                true
            });
            (scanned, found)
        };
        let searched = tokio::task::spawn_blocking(search).await.map_err(|_| "the topics cannot be read".to_owned())?;
        let (scanned, found) = searched;
        let scanned = scanned.map_err(|fault| format!("the topics cannot be read: {fault}"))?;
        let ids = found.ids();
        let mut letters = found.newest.into_values();
        match (letters.next(), letters.next()) {
            (None, _) => not_found(&scanned),
            (Some(_), Some(_)) => Ok(DeadLetterOutcome::Ambiguous { ids }),
            (Some(letter), None) => Ok(self.redrive_letter(letter).await),
        }
    }

    async fn redrive_letter(&self, letter: DeadLetter) -> DeadLetterOutcome {
        let DeadLetter { instance_id, application_id, reason, received_at, position, event_id, .. } = &letter;
        let Some(application) = self.application_of(application_id, instance_id) else {
            return DeadLetterOutcome::NotConfigured { application_id: application_id.clone() };
        };
        let payload = match &letter.original {
            Original::Missing => return DeadLetterOutcome::NoOriginal { reason: reason.clone() },
            Original::Clear(text) => Some(letter.payload(text)),
            Original::Sealed(text) => {
                open_sealed(text, &application.policy.journal_keys).map(|text| letter.payload(&text))
            }
        };
        let Some(payload) = payload else { return DeadLetterOutcome::Unreadable };
        let callback = QuarantinedCallback {
            instance_id: instance_id.clone(),
            application_id: None,
            content: QuarantinedContent::Plain(payload),
        };
        let request = RequestContext { received_at: *received_at, traceparent: None };
        let Ok(prepared) = from_quarantine(callback, &application.policy, request) else {
            return DeadLetterOutcome::Unreadable;
        };
        let Some(event) = prepared.events.into_iter().next() else { return DeadLetterOutcome::Unreadable };
        let published = match &event.disposition {
            // A second dead letter would contain nothing new.
            Disposition::DeadLetter { reason, .. } => {
                return DeadLetterOutcome::StillRefused { reason: reason.code().to_owned() };
            }
            Disposition::Skip => return DeadLetterOutcome::Skipped,
            Disposition::Publish { record, .. } => DeadLetterOutcome::Published {
                topic: record.topic.to_string(),
                event: format!("{}.{}", event.entity.name(), event.action.name()),
            },
        };
        let deadline = Instant::now() + self.limits.response_deadline;
        // The dead letter's position distinguishes this attempt from attempts on other dead letters of the same event.
        let attempt = format!("{event_id} {position}");
        let republished = self.dispatcher.republish(event, &attempt, &application.owner, deadline).await;
        match republished.verdict {
            Verdict::Confirmed if republished.known => DeadLetterOutcome::AlreadyPublished,
            Verdict::Confirmed => published,
            Verdict::DeadLettered(reason) => DeadLetterOutcome::RefusedAgain { reason: reason.code().to_owned() },
            Verdict::NotConfirmed => DeadLetterOutcome::Journaled,
            Verdict::NotSubscribed | Verdict::Overloaded => DeadLetterOutcome::NoRoom,
        }
    }

    /// Returns the application for an application id and instance.
    pub(super) fn application_of(&self, application_id: &str, instance_id: &str) -> Option<Arc<Application>> {
        let applications = self.applications();
        let fits = |application: &&Arc<Application>| {
            let policy = &application.policy;
            policy.application_id == application_id
                && policy.instance_id.as_deref().is_none_or(|expected| expected == instance_id)
        };
        applications.by_name.values().find(fits).cloned()
    }
}

fn not_found(scanned: &Scanned) -> Result<DeadLetterOutcome, String> {
    if !scanned.missing.is_empty() {
        return Err(format!("the topic {} does not exist, or this user may not see it", scanned.missing.join(", ")));
    }
    if !scanned.complete {
        return Err("not all partitions of the dead-letter topic could be read".to_owned());
    }
    Ok(DeadLetterOutcome::NotFound)
}

fn open_sealed(sealed: &str, keys: &[Arc<ContentKey>]) -> Option<String> {
    keys.iter().find_map(|key| String::from_utf8(key.open(Sealed::parse(sealed)?).ok()?).ok())
}
