//! Differences between two configurations that a reload has to handle specially.

use std::collections::BTreeSet;

use super::{Config, Journal, Server};

impl Config {
    /// Returns the keys that differ in `new` and take effect only after a restart.
    ///
    /// A reload applies everything else: applications with their keys and allowed networks, the callback listener's
    /// certificate (path and content, but not turning TLS on or off), `server.watch_files`, the admin token,
    /// `log.level`, `log.events`, and the properties that [`Config::changed_properties`] returns.
    #[must_use]
    pub fn needs_restart(&self, new: &Self) -> Vec<&'static str> {
        let mut keys = Vec::new();
        server(&self.server, &new.server, &mut keys);
        let mut differs = |key, differs| {
            if differs {
                keys.push(key)
            }
        };
        differs("kafka.bootstrap_servers", self.kafka.bootstrap_servers != new.kafka.bootstrap_servers);
        differs("topics.prefix", self.topics.prefix != new.topics.prefix);
        differs("topics.create", self.topics.create != new.topics.create);
        differs("topics.partitions", self.topics.partitions != new.topics.partitions);
        differs("topics.replication_factor", self.topics.replication_factor != new.topics.replication_factor);
        differs("topics.retention", self.topics.retention != new.topics.retention);
        differs("topics.event_mode", self.topics.event_mode != new.topics.event_mode);
        differs("journal.directory", self.journal.directory != new.journal.directory);
        differs("journal.max_size", self.journal.max_size != new.journal.max_size);
        differs("dedupe.replicas", self.dedupe.replicas != new.dedupe.replicas);
        differs("dedupe.follow_replicas", self.dedupe.follow_replicas != new.dedupe.follow_replicas);
        differs("log.format", self.log.format != new.log.format);
        let otlp_ca = |config: &Self| config.files.iter().find(|file| file.key == "tracing.otlp_ca").cloned();
        differs("tracing", self.tracing != new.tracing || otlp_ca(self) != otlp_ca(new));
        keys
    }

    /// Takes the values of `running` for everything that [`Config::needs_restart`] compares. The applications' policies
    /// keep them until the restart, too.
    pub fn keep_restart_settings(&mut self, running: &Self) {
        // Turning TLS on or off takes a restart. Until then, the certificate in use is renewed.
        let is_switched = self.server.tls.is_some() != running.server.tls.is_some();
        let tls = if is_switched { running.server.tls.clone() } else { self.server.tls.take() };
        self.server = Server { tls, watch_files: self.server.watch_files, ..running.server.clone() };
        self.kafka.bootstrap_servers.clone_from(&running.kafka.bootstrap_servers);
        self.topics = running.topics.clone();
        self.journal = Journal { keys: std::mem::take(&mut self.journal.keys), ..running.journal.clone() };
        self.dedupe = running.dedupe;
        self.log.format = running.log.format;
        self.tracing = running.tracing.clone();
    }

    /// Returns the Kafka properties that differ in `new`, by value or by the content of the file that they name, as
    /// configuration keys. A change needs new Kafka clients.
    #[must_use]
    pub fn changed_properties(&self, new: &Self) -> Vec<String> {
        let (old, new) = (&self.kafka, &new.kafka);
        let names: BTreeSet<_> = old.properties.keys().chain(new.properties.keys()).chain(new.files.keys()).collect();
        let differs = |name: &&String| {
            old.properties.get(*name) != new.properties.get(*name) || old.files.get(*name) != new.files.get(*name)
        };
        names.into_iter().filter(differs).map(|name| format!("kafka.properties.\"{name}\"")).collect()
    }
}

fn server(old: &Server, new: &Server, keys: &mut Vec<&'static str>) {
    // A new field must be compared here, or be applied by a reload.
    let Server {
        listen,
        admin_listen,
        response_deadline,
        drain_timeout,
        clock_skew,
        max_body,
        max_memory,
        max_in_flight_events,
        trusted_proxies,
        tls,
        watch_files: _,
    } = new;
    let mut differs = |key, differs| {
        if differs {
            keys.push(key)
        }
    };
    differs("server.listen", old.listen != *listen);
    differs("server.admin_listen", old.admin_listen != *admin_listen);
    differs("server.response_deadline", old.response_deadline != *response_deadline);
    differs("server.drain_timeout", old.drain_timeout != *drain_timeout);
    differs("server.clock_skew", old.clock_skew != *clock_skew);
    differs("server.max_body", old.max_body != *max_body);
    differs("server.max_memory", old.max_memory != *max_memory);
    differs("server.max_in_flight_events", old.max_in_flight_events != *max_in_flight_events);
    differs("server.trusted_proxies", old.trusted_proxies != *trusted_proxies);
    differs("server.tls", old.tls.is_some() != tls.is_some());
}
