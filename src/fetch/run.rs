//! One run: reads the directory, publishes what it finds, and verifies deletions.
//!
//! The records of one answer are confirmed before the next request is sent. So a run has at most one page in memory,
//! and reads nothing while Kafka is unavailable.

mod deletions;
mod fault;
mod ids;
mod topics;

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

pub use self::deletions::MassDeletion;
pub use self::fault::RunFault;
use self::ids::RunIds;
use self::topics::{missing_event_topics, missing_state_topics};
use super::answers::Rejection;
use super::calls::Call;
use super::client::{Client, ClientSettings, Notice, Notify, milliseconds};
use super::entities::Object;
use super::fault::{ApiFault, Cause};
use super::known::{Known, KnownFault, published};
use super::summary::{ByEntity, Summary};
use super::walk::{Problem, Walk, WalkOptions};
use crate::diagnosis::Diagnosis;
use crate::kafka::admin::topics::TopicSettings;
use crate::kafka::client::settings::Cluster;
use crate::kafka::producer::publisher::{PublishFault, PublishOutcome, Publisher};
use idaas_callback::event_type::Entity;
use idaas_callback::fetched::{FetchedEntity, prepare_fetched};
use idaas_callback::policy::Policy;
use idaas_callback::record::Record;
use idaas_callback::{Disposition, PreparedEvent, Reason, RequestContext};

/// The time for which a run can be resumed.
const RESUMABLE: Duration = Duration::from_secs(7 * 86_400);

/// The settings of a run. Has no `Debug`, because it contains secrets.
pub struct RunSettings {
    /// The settings for the API.
    pub client: ClientSettings,
    /// The name of the application in the configuration.
    pub application: String,
    /// The rules for the application's records.
    pub policy: Policy,
    /// The Kafka cluster.
    pub cluster: Cluster,
    /// The plan of the topics.
    pub topics: TopicSettings,
    /// The name of the run, which determines the ids of its records.
    pub run: String,
    /// True if the run may already have published records.
    pub resume: bool,
    /// True if each user is requested with all fields.
    pub details: bool,
    /// True if unseen entities are requested, and deletions published.
    pub verify_deletions: bool,
    /// True if the number of deletions is not limited.
    pub allow_mass_deletion: bool,
    /// True if nothing is published.
    pub dry_run: bool,
}

/// Receives the counts of a run and its progress: the number of units whose users were read, and the number of all
/// units.
pub type Progress<'a> = &'a (dyn Fn(&Summary, (usize, usize)) + Send + Sync);

/// A run in progress.
struct Run<'a> {
    settings: &'a RunSettings,
    client: Client,
    /// `None` in a dry run.
    publisher: Option<Publisher>,
    known: Option<Known>,
    /// The `ce_id`s of the records that this run has already published.
    published: Arc<HashSet<String>>,
    summary: Summary,
    notify: Notify,
    progress: Progress<'a>,
}

/// Executes a run. Returns the counts even if the run fails.
///
/// # Errors
/// [`RunFault`] in the second value.
pub async fn run(settings: &RunSettings, notify: Notify, progress: Progress<'_>) -> (Summary, Result<(), RunFault>) {
    let summary = Summary {
        run: settings.run.clone(),
        application: settings.application.clone(),
        dry_run: settings.dry_run,
        ..Summary::default()
    };
    let mut run = match Run::start(settings, notify, progress, summary.clone()).await {
        Ok(run) => run,
        Err(fault) => return (summary, Err(fault)),
    };
    let result = run.execute().await;
    run.summary.requests = run.client.requests();
    (run.summary, result)
}

impl<'a> Run<'a> {
    async fn start(
        settings: &'a RunSettings,
        notify: Notify,
        progress: Progress<'a>,
        mut summary: Summary,
    ) -> Result<Self, RunFault> {
        let client = Client::new(settings.client.clone(), Arc::clone(&notify)).map_err(RunFault::Http)?;
        let publisher = if settings.dry_run {
            None
        } else {
            let missing = tokio::task::block_in_place(|| missing_event_topics(settings))?;
            if !missing.is_empty() {
                return Err(RunFault::MissingTopics(missing));
            }
            Some(Publisher::start(&settings.cluster).map_err(|fault| RunFault::Kafka(fault.to_string()))?)
        };
        let published = if settings.resume {
            let resumable = i64::try_from(RESUMABLE.as_millis()).unwrap_or(i64::MAX);
            let since = milliseconds(SystemTime::now()) - resumable;
            tokio::task::block_in_place(|| published(&settings.cluster, &settings.policy.topics, since))
                .map_err(RunFault::Topics)?
        } else {
            HashSet::new()
        };
        let known = match tokio::task::block_in_place(|| read_known(settings)) {
            Ok(known) => Some(known),
            // Nothing is compared then. Only the verification of deletions requires it.
            Err(_) if !settings.verify_deletions => None,
            Err(fault) => return Err(fault),
        };
        summary.compared = known.is_some();
        let published = Arc::new(published);
        Ok(Self { settings, client, publisher, known, published, summary, notify, progress })
    }

    async fn execute(&mut self) -> Result<(), RunFault> {
        let ids = RunIds::of(self.settings);
        let published = Arc::clone(&self.published);
        let is_published = move |user: &str| published.contains(&ids.of_record(Entity::User, user, false));
        let mut walk = Walk::new(WalkOptions { details: self.settings.details }, is_published);
        while let Some(call) = walk.next() {
            let found = match self.client.call(&call).await {
                Ok(answer) => {
                    let (name, permission) = (call.name(), call.permission());
                    let found = walk.answered(call, &answer);
                    let malformed = |_| RunFault::Api(ApiFault { call: name, permission, cause: Cause::Malformed });
                    found.map_err(malformed)?
                }
                Err(ApiFault { cause: Cause::Rejected(rejection), .. }) if rejection.is_about_the_entity() => {
                    walk.rejected(call)
                }
                Err(fault) => return Err(RunFault::Api(fault)),
            };
            self.publish(found).await?;
            self.summary.vanished = walk.vanished();
            self.report(walk.progress());
        }
        self.summary.problems.extend(walk.problems().iter().map(Diagnosis::from));
        let empty = walk.problems().contains(&Problem::EmptyScope);
        self.summary.complete = !empty;
        if self.settings.verify_deletions && !empty {
            self.verify_deletions(&walk).await?;
        }
        Ok(())
    }

    fn report(&mut self, progress: (usize, usize)) {
        self.summary.requests = self.client.requests();
        (self.progress)(&self.summary, progress);
    }

    /// Publishes the snapshots of entities that one request returned.
    async fn publish(&mut self, found: Vec<Object>) -> Result<(), RunFault> {
        let mut items = Vec::with_capacity(found.len());
        for object in found {
            let entity = object.entity;
            self.summary.count(entity, |counts| counts.read += 1);
            let Some(item) = self.item(&object, false) else { continue };
            if self.published.contains(item.id.text()) {
                self.summary.count(entity, |counts| counts.resumed += 1);
                continue;
            }
            if let (Disposition::Publish { record, .. }, Some(known)) = (&item.disposition, &self.known)
                && known.has(entity, &object.id, &record.value)
            {
                self.summary.count(entity, |counts| counts.unchanged += 1);
            }
            items.push((entity, item));
        }
        self.publish_items(items, |counts| counts.published += 1).await
    }

    /// Creates the record of an entity. An object that cannot be serialized counts as an error.
    fn item(&mut self, object: &Object, deleted: bool) -> Option<PreparedEvent> {
        let entity = object.entity;
        let event_id = RunIds::of(self.settings).of_record(entity, &object.id, deleted);
        let context = RequestContext { received_at: milliseconds(SystemTime::now()), traceparent: None };
        let item = object.json().and_then(|fields| {
            let fetched = FetchedEntity {
                entity,
                deleted,
                id: &object.id,
                event_id: &event_id,
                instance_id: &self.settings.client.instance_id,
                read_at: object.read_at,
                fields: &fields,
            };
            prepare_fetched(&fetched, &self.settings.policy, context)
        });
        if item.is_none() {
            self.summary.count(entity, |counts| counts.errors += 1);
        }
        item
    }

    /// Publishes items and waits for the confirmations. `confirmed` counts each confirmed record.
    async fn publish_items(
        &mut self,
        items: Vec<(Entity, PreparedEvent)>,
        confirmed: fn(&mut super::summary::Counts),
    ) -> Result<(), RunFault> {
        let mut records = Vec::with_capacity(items.len());
        let mut of = Vec::with_capacity(items.len());
        for (entity, item) in items {
            let (record, fits) = match item.disposition {
                Disposition::Publish { record, .. } => (record, true),
                Disposition::DeadLetter { record, .. } => (record, false),
                // Fetched entities have their own event types, which cannot be configured to be skipped.
                Disposition::Skip => continue,
            };
            records.push(record);
            of.push((entity, item.dead_letter_source, fits));
        }
        let results = self.confirm(&records).await?;
        let mut dead_letters = Vec::new();
        for ((entity, source, fits), result) in of.into_iter().zip(results) {
            if result == PublishOutcome::Confirmed && fits {
                self.summary.count(entity, confirmed);
                continue;
            }
            self.summary.count(entity, |counts| counts.errors += 1);
            if fits {
                let rules = self.settings.policy.dead_letters();
                dead_letters.extend(source.dead_letter(Reason::RefusedByBroker, &rules, true));
            }
        }
        // The result for these small records does not affect the counts.
        self.confirm(&dead_letters).await.map(drop)
    }

    async fn confirm(&mut self, records: &[Record]) -> Result<Vec<PublishOutcome>, RunFault> {
        let Some(publisher) = &mut self.publisher else { return Ok(vec![PublishOutcome::Confirmed; records.len()]) };
        let waited = std::sync::atomic::AtomicBool::new(false);
        let waiting = |reason| {
            waited.store(true, std::sync::atomic::Ordering::Relaxed);
            (self.notify)(Notice::WaitingForKafka(reason));
        };
        let results = publisher.publish(records, &waiting).await.map_err(|fault| match fault {
            PublishFault::NotAuthorized => RunFault::NotAuthorized,
            PublishFault::ClusterReplaced => RunFault::ClusterReplaced,
        })?;
        if waited.into_inner() {
            (self.notify)(Notice::KafkaConfirms);
        }
        Ok(results)
    }
}

/// Reads the state topics. Blocks.
fn read_known(settings: &RunSettings) -> Result<Known, RunFault> {
    let missing = missing_state_topics(settings)?;
    if !missing.is_empty() {
        return Err(RunFault::State(KnownFault::Missing(missing)));
    }
    let ClientSettings { application_id, instance_id, .. } = &settings.client;
    Known::read(&settings.cluster, &settings.policy.topics, application_id, instance_id).map_err(RunFault::State)
}
