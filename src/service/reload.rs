//! Running until the end: a changed configuration is taken over whole, or not at all.
//!
//! SIGHUP and a change of a watched file take the same way.

use std::sync::Arc;

use idaas_callback::jose::jwe::ContentKey;

use super::control::{ControlMessage, ControlMessages};
use super::{Service, quarantine_replay, wiring};
use crate::config::{Config, NamedFile, Server};
use crate::counts::counted;
use crate::diagnosis::Diagnosis;
use crate::http::Certificate;
use crate::journal::KeyChange;
use crate::kafka::client::error::rejected_property;
use crate::telemetry::log_code::LogCode;
use crate::telemetry::logs;

/// The files to be watched, as this configuration was read from them.
pub(super) fn watched(config: &Config) -> Vec<NamedFile> {
    if config.server.watch_files { config.files.clone() } else { Vec::new() }
}

impl Service {
    /// Runs until the shutdown, then drains. Returns true if everything was confirmed or kept.
    pub async fn run(mut self, mut control_messages: ControlMessages) -> bool {
        loop {
            let order = tokio::select! {
                order = control_messages.recv() => order,
                () = self.files.changed() => Some(ControlMessage::Reload),
            };
            match order {
                Some(ControlMessage::Reload) => {
                    if self.reload_until_told_to_end(&mut control_messages).await {
                        break;
                    }
                }
                // Whoever can give no more orders has no more use for the service.
                Some(ControlMessage::End) | None => break,
            }
        }
        self.drain(control_messages).await
    }

    /// Reloads, and again if that was ordered meanwhile. An end breaks it off, because it may be waiting for an endpoint
    /// of keys that hangs; nothing has been replaced then. Returns true if the end was ordered.
    async fn reload_until_told_to_end(&mut self, control_messages: &mut ControlMessages) -> bool {
        loop {
            let mut again = false;
            let reload = self.reload();
            tokio::pin!(reload);
            loop {
                tokio::select! {
                    () = &mut reload => break,
                    order = control_messages.recv() => match order {
                        Some(ControlMessage::Reload) => again = true,
                        Some(ControlMessage::End) | None => return true,
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
        let result = self.reloaded().await;
        // Those of the configuration that counts now, new or old.
        let applications = self.config.applications.iter();
        let kept = applications.map(|application| (application.name.as_str(), application.decryption_keys.len()));
        self.app_state.metrics.keep_only(&kept.collect());
        let label = if result.is_ok() { "ok" } else { "failed" };
        self.app_state.metrics.service.reloaded(result.is_ok());
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

    async fn reloaded(&mut self) -> Result<(), Vec<Diagnosis>> {
        let (loaded, files) = Config::load_naming(&self.path);
        let watches = loaded.as_ref().map_or(self.config.server.watch_files, |config| config.server.watch_files);
        // Also if it is bad: it is tried again when one of these changes.
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
        // What needs a restart stays as it was at the start, also inside the applications' policies.
        config.server = Server { tls: config.server.tls.take(), watch_files: watches, ..self.config.server.clone() };
        config.topics = self.config.topics.clone();
        let journal_keys = std::mem::replace(&mut config.journal, self.config.journal.clone()).keys;
        config.dedupe = self.config.dedupe;
        config.log.format = self.config.log.format;
        config.tracing = self.config.tracing.clone();
        let properties = self.config.changed_properties(&config);
        config.kafka.bootstrap_servers.clone_from(&self.config.kafka.bootstrap_servers);
        let certificate = self.renewed_certificate(&config)?;
        if !properties.is_empty() {
            self.replace_clients(&config).await?;
            wiring::show_kafka_certificate(&config, &metrics);
        } else {
            config.kafka = self.config.kafka.clone();
        }
        config.journal.keys = self.replaced_journal_keys(journal_keys).await;
        let applications = wiring::applications(&config, Some(&old.keys), &self.key_settings, &metrics);
        applications.keys.first_attempts().await;
        if let (Some(current), Some(renewed)) = (&self.certificate, &certificate) {
            current.replace(renewed);
        }
        self.admin_token.set(config.admin_token.as_ref());
        logs::set_level(wiring::log_level(config.log.level));
        logs::set_events(config.log.events);
        wiring::show_certificate(&config, &metrics);
        self.app_state.replace_applications(applications);
        self.dedup_rebuild.rescope(&config);
        self.watch.topics(wiring::topics(&config));
        tokio::spawn(quarantine_replay::run(Arc::clone(&self.app_state)));
        // An application may have come with a prefix of its own.
        self.topic_reconciler.rescope(&config);
        self.console.configure(&config);
        self.config = config;
        Ok(())
    }

    /// Sets the journal's new keys. Returns the keys that count from now on: the old ones if the journal still needs one
    /// that is not among the new ones.
    async fn replaced_journal_keys(&self, new: Vec<Arc<ContentKey>>) -> Vec<Arc<ContentKey>> {
        let ids = |keys: &[Arc<ContentKey>]| keys.iter().map(|key| key.id().to_owned()).collect::<Vec<_>>();
        let old = self.config.journal.keys.clone();
        if ids(&old) == ids(&new) {
            return old;
        }
        let Some(journal) = self.app_state.dispatcher.journal() else { return old };
        let problem = match journal.replace_keys(new.clone()).await {
            Ok(Ok(KeyChange::Applied)) => {
                tracing::info!(
                    code = LogCode::JournalKeysReplaced.as_str(),
                    "the journal seals with the first of journal.keys"
                );
                return new;
            }
            Ok(Ok(KeyChange::StillNeeded(id, entries))) => {
                let entries = counted(entries, "entry");
                format!("{entries} in the journal cannot be opened without the key {id}; add it behind the new one")
            }
            Ok(Ok(KeyChange::NoKeys)) => "there is no key".to_owned(),
            Ok(Err(_)) | Err(_) => "the journal cannot be read now".to_owned(),
        };
        tracing::error!(
            code = LogCode::JournalKeysNotReplaced.as_str(),
            key = "journal.keys",
            "the old keys stay in use: {problem}"
        );
        old
    }

    /// The certificate of the callback listener as it is now on the disk, if the listener has one.
    fn renewed_certificate(&self, config: &Config) -> Result<Option<Certificate>, Vec<Diagnosis>> {
        let (Some(_), Some(tls)) = (&self.certificate, &config.server.tls) else { return Ok(None) };
        Certificate::load(&tls.certificate, &tls.key).map(Some).map_err(|fault| vec![wiring::tls_fault(&fault)])
    }

    /// Replaces the Kafka properties of the producer and the watch by those of `config`: changed values or files.
    async fn replace_clients(&mut self, config: &Config) -> Result<(), Vec<Diagnosis>> {
        let fault = |problem: &str| vec![rejected_property(problem)];
        let (app_state, cluster) = (Arc::clone(&self.app_state), wiring::cluster(config));
        let replace = move || app_state.dispatcher.replace_clients(&cluster).map_err(|problem| problem.to_string());
        let replaced = tokio::task::spawn_blocking(replace).await.map_err(|error| fault(&error.to_string()))?;
        replaced.map_err(|problem| fault(&problem))?;
        let cluster = wiring::cluster(config);
        self.replicas.replace_clients(&cluster);
        self.topic_reconciler.replace_clients(cluster.clone());
        let (dedup_rebuild, reading) = (Arc::clone(&self.dedup_rebuild), cluster.clone());
        // It waits for a follower to end. A panic in it has been told by its own message.
        let _ = tokio::task::spawn_blocking(move || dedup_rebuild.replace_clients(reading)).await;
        self.app_state.set_cluster(cluster.clone());
        self.watch = wiring::watch(&cluster, config, &self.app_state.metrics, &self.replicas)
            .map_err(|problem| fault(&problem))?;
        Ok(())
    }
}
