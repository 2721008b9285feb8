//! Runs until the shutdown, and reloads the configuration meanwhile. A reload is applied as a whole or not at all, so
//! everything that can fail is prepared before the first part is replaced.
//!
//! SIGHUP and a change of a watched file both trigger a reload.

use std::sync::Arc;
use std::time::Duration;

use idaas_callback::jose::jwe::ContentKey;
use tokio::time::sleep;

use super::control::{ControlMessage, ControlMessages};
use super::{Service, quarantine_replay, wiring};
use crate::app_state::{AppState, Applications};
use crate::config::{Config, NamedFile};
use crate::counts::counted;
use crate::diagnosis::{Diagnosis, misconfigured};
use crate::journal::KeyChange;
use crate::kafka::availability::cluster_watch::Watch;
use crate::kafka::client::error::rejected_property;
use crate::kafka::producer::PreparedProducer;
use crate::telemetry::log_code::LogCode;
use crate::telemetry::logs;

/// The code of a refusal because an application would have no keys. Such a reload is repeated.
const NO_KEYS: &str = "no_keys";
/// Time between two such attempts.
const RETRY_INTERVAL: Duration = Duration::from_secs(30);

/// Returns the files to watch, with the digests of the contents that `config` was read from.
pub(super) fn files_to_watch(config: &Config) -> Vec<NamedFile> {
    if config.server.watch_files { config.files.clone() } else { Vec::new() }
}

impl Service {
    /// Runs until the shutdown, then drains. Returns true if everything was confirmed or kept.
    pub async fn run(mut self, mut control_messages: ControlMessages) -> bool {
        loop {
            let message = tokio::select! {
                message = control_messages.recv() => message,
                () = self.files.changed() => Some(ControlMessage::Reload),
                () = sleep(RETRY_INTERVAL), if self.reload_again => Some(ControlMessage::Reload),
            };
            match message {
                Some(ControlMessage::Reload) => {
                    if self.reload_interruptibly(&mut control_messages).await {
                        break;
                    }
                }
                // A closed channel counts as a shutdown.
                Some(ControlMessage::Shutdown) | None => break,
            }
        }
        self.drain(control_messages).await
    }

    /// Reloads, and repeats this if another reload was requested meanwhile. Returns true if a shutdown was requested.
    ///
    /// A shutdown cancels the reload at its next wait, because a key endpoint that does not respond can delay it by
    /// seconds.
    async fn reload_interruptibly(&mut self, control_messages: &mut ControlMessages) -> bool {
        loop {
            let mut again = false;
            let reload = self.reload();
            tokio::pin!(reload);
            loop {
                tokio::select! {
                    () = &mut reload => break,
                    message = control_messages.recv() => match message {
                        Some(ControlMessage::Reload) => again = true,
                        Some(ControlMessage::Shutdown) | None => return true,
                    },
                }
            }
            if !again {
                return false;
            }
        }
    }

    /// Applies a changed configuration, or leaves everything as it is.
    async fn reload(&mut self) {
        let result = self.try_reload().await;
        // Nothing in the files changes when the source of the keys answers.
        let lacks_keys = |faults: &Vec<Diagnosis>| faults.iter().any(|fault| fault.code == NO_KEYS);
        self.reload_again = result.as_ref().err().is_some_and(lacks_keys);
        // Metrics exist for the applications of the current configuration, which is the old one if the reload failed.
        let applications = self.config.applications.iter();
        let configured = applications.map(|application| (application.name.as_str(), application.decryption_keys.len()));
        self.app_state.metrics.keep_only(&configured.collect());
        let label = if result.is_ok() { "ok" } else { "failed" };
        self.app_state.metrics.service.record_reload(result.is_ok());
        self.app_state.metrics.config_reloads.with_label_values(&[label]).inc();
        match result {
            Ok(()) => tracing::info!("configuration reloaded"),
            Err(faults) => {
                for fault in faults {
                    tracing::error!(
                        code = LogCode::ReloadRefused.as_str(),
                        "the configuration stays as it was: {fault}"
                    );
                }
            }
        }
    }

    async fn try_reload(&mut self) -> Result<(), Vec<Diagnosis>> {
        let (loaded, files) = Config::load_with_files(&self.path);
        let watches = loaded.as_ref().map_or(self.config.server.watch_files, |config| config.server.watch_files);
        // Watched even if the configuration is invalid, so that a correction triggers another reload.
        self.files.watch(if watches { files } else { Vec::new() });
        let mut config = loaded?;
        for key in self.config.needs_restart(&config) {
            tracing::warn!(
                code = LogCode::RestartNeeded.as_str(),
                key,
                "a change of this key takes effect only after a restart"
            );
        }
        let old = self.app_state.applications();
        let metrics = Arc::clone(&self.app_state.metrics);
        // Checked also if the listener uses it only after a restart, which would fail otherwise.
        wiring::listener_certificate(&config).map_err(|fault| vec![fault])?;
        config.keep_restart_settings(&self.config);
        let certificate = wiring::listener_certificate(&config).ok().flatten();
        let properties = self.config.changed_properties(&config);
        if properties.is_empty() {
            config.kafka = self.config.kafka.clone();
        }
        let applications = wiring::applications(&config, Some(&old.keys), &self.key_settings, &metrics);
        applications.keys.first_attempts().await;
        let without_keys = applications.keys.without_keys_since(&old.keys);
        if !without_keys.is_empty() {
            return Err(without_keys.into_iter().map(no_keys).collect());
        }
        let clients = if properties.is_empty() { None } else { Some(self.prepare_kafka_clients(&config).await?) };
        // The last step that can fail: it changes everything or nothing itself.
        if let Err(faults) = self.replace_journal_keys(&config.journal.keys).await {
            // Closing Kafka clients blocks.
            drop(tokio::task::spawn_blocking(move || drop(clients)));
            return Err(faults);
        }
        if let Some(clients) = clients {
            self.replace_kafka_clients(clients, &config).await;
        }
        if let (Some(current), Some(renewed)) = (&self.certificate, &certificate) {
            current.replace(renewed);
        }
        self.apply(config, applications);
        Ok(())
    }

    /// Applies the rest of a configuration. Cannot fail.
    fn apply(&mut self, config: Config, applications: Applications) {
        self.admin_token.set(config.admin_token.as_ref());
        logs::update(&config.log);
        wiring::show_certificate(&config, &self.app_state.metrics);
        self.app_state.replace_applications(applications);
        self.dedup_rebuild.rescope(&config);
        self.watch.set_topics(wiring::topics(&config));
        tokio::spawn(quarantine_replay::run(Arc::clone(&self.app_state)));
        // A new application can have its own topic prefix.
        self.topic_reconciler.rescope(&config);
        self.console.configure(&config);
        self.config = config;
    }

    /// Gives the journal its new keys.
    ///
    /// # Errors
    /// The reason why the old keys stay in use: usually that the journal still needs one that is not among the new
    /// ones.
    async fn replace_journal_keys(&self, new: &[Arc<ContentKey>]) -> Result<(), Vec<Diagnosis>> {
        let ids = |keys: &[Arc<ContentKey>]| keys.iter().map(|key| key.id().to_owned()).collect::<Vec<_>>();
        if ids(&self.config.journal.keys) == ids(new) {
            return Ok(());
        }
        let Some(journal) = self.app_state.dispatcher.journal() else { return Ok(()) };
        let (problem, fix) = match journal.replace_keys(new.to_vec()).await {
            Ok(Ok(KeyChange::Applied)) => {
                tracing::info!(
                    code = LogCode::JournalKeysReplaced.as_str(),
                    "the journal seals with the first of journal.keys"
                );
                return Ok(());
            }
            Ok(Ok(KeyChange::StillNeeded(id, entries))) => (
                format!("{} in the journal cannot be opened without the key {id}", counted(entries, "entry")),
                "add this key after the new one",
            ),
            Ok(Ok(KeyChange::NoKeys)) => ("there is no key".to_owned(), "add a key"),
            Ok(Err(_)) | Err(_) => ("the journal cannot be read now".to_owned(), "reload again when it can be read"),
        };
        Err(vec![misconfigured(problem, fix).at("journal.keys")])
    }

    /// Creates the producer and the watch with the Kafka properties of `config`: changed values, or files that have
    /// changed. They are not in use yet.
    async fn prepare_kafka_clients(&self, config: &Config) -> Result<KafkaClients, Vec<Diagnosis>> {
        let fault = |problem: &str| vec![rejected_property(problem)];
        let (app_state, cluster) = (Arc::clone(&self.app_state), wiring::cluster(config));
        let prepare = move || app_state.dispatcher.prepare_producer(cluster).map_err(|problem| problem.to_string());
        let prepared = tokio::task::spawn_blocking(prepare).await.map_err(|error| fault(&error.to_string()))?;
        let producer = prepared.map_err(|problem| fault(&problem))?;
        let AppState { metrics, dispatcher, .. } = &*self.app_state;
        let watch = wiring::watch(&wiring::cluster(config), config, metrics, dispatcher, &self.replicas)
            .map_err(|problem| fault(&problem))?;
        Ok(KafkaClients { producer, watch })
    }

    /// Replaces everything that is connected to Kafka. Cannot fail.
    async fn replace_kafka_clients(&mut self, KafkaClients { producer, watch }: KafkaClients, config: &Config) {
        if let Some(producer) = producer {
            self.app_state.dispatcher.replace_producer(producer);
        }
        let cluster = wiring::cluster(config);
        self.replicas.replace_kafka_clients(&cluster);
        self.topic_reconciler.replace_kafka_clients(cluster.clone());
        let (dedup_rebuild, reading) = (Arc::clone(&self.dedup_rebuild), cluster.clone());
        // Blocks until the follower has stopped. The panic hook has already logged a panic.
        let _ = tokio::task::spawn_blocking(move || dedup_rebuild.replace_kafka_clients(reading)).await;
        self.app_state.set_cluster(cluster);
        self.watch = watch;
        self.watch.begin();
        wiring::show_kafka_certificate(config, &self.app_state.metrics);
    }
}

/// An application whose callbacks would all be refused.
fn no_keys(application: &str) -> Diagnosis {
    let problem = "no public key can be read from the new source, so every callback would be refused";
    let remedy = "correct `jwks`, or wait until it answers, which is tried again; `idaas-bridge check` names the cause";
    Diagnosis::new(NO_KEYS, problem, remedy).at(format!("application {application}"))
}

/// Kafka clients that are not in use yet.
struct KafkaClients {
    /// `None` while the service shuts down.
    producer: Option<PreparedProducer>,
    watch: Watch,
}
