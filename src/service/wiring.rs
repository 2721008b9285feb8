//! Creates the parts of the service from the configuration. Each function creates one part.

use std::collections::HashMap;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;

use idaas_callback::policy::{Policy, Topics};
use socket2::{Domain, Protocol, Socket, Type};

use crate::app_state::{Application, Applications, Limits};
use crate::config::{self, Config};
use crate::delivery::dispatcher::{Dispatcher, OwningApplication};
use crate::diagnosis::{Diagnosis, misconfigured};
use crate::http::{CertificateFault, ListenerCertificate, certificate_expiry};
use crate::journal::JournalAdmin;
use crate::journal::store::{Opened, Store};
use crate::kafka::admin::topics::TopicSettings;
use crate::kafka::availability::cluster_watch::{Watch, WatchEvent};
use crate::kafka::client::settings::Cluster;
use crate::keys::{Clients, KeyRing, Proxy, Settings, Timing};
use crate::telemetry::log_code::LogCode;
use crate::telemetry::metrics::Metrics;
use crate::telemetry::service::CertificateUse;
use crate::telemetry::spans::Spans;

/// The configuration key in diagnoses about the journal.
pub(crate) const JOURNAL_DIRECTORY: &str = "journal.directory";

/// Maximum length of the queue of connections that are not yet accepted.
const BACKLOG: i32 = 1024;

/// Divisors of `server.max_memory`: a half for callbacks, a quarter for events, an eighth for the producer's queue. The
/// rest is for data that is read back from the journal and the topics.
const CALLBACKS_SHARE: usize = 2;
const EVENTS_SHARE: usize = 4;
const PRODUCER_SHARE: usize = 8;

/// Upper bound of what the producer adds to a record before it checks the size, in bytes.
const RECORD_OVERHEAD: usize = 512;

/// Returns the policy for one application's callbacks.
pub(crate) fn policy(config: &Config, application: &config::Application) -> Policy {
    Policy {
        application_id: application.id.clone(),
        instance_id: application.instance_id.clone(),
        clock_skew: i64::try_from(config.server.clock_skew.as_secs()).unwrap_or(i64::MAX),
        decryption_keys: application.decryption_keys.clone(),
        require_encryption: application.require_encryption,
        passwords: application.passwords.clone(),
        skip: application.skip.iter().cloned().collect(),
        topics: Topics::with_prefix(config.topic_prefix(application)),
        mode: config.topics.event_mode,
        // The configuration guarantees at least one key.
        journal_keys: config.journal.keys.clone(),
        max_record_bytes: config.kafka.max_message_bytes().saturating_sub(RECORD_OVERHEAD),
    }
}

/// Returns the connection settings of the cluster, with the producer's share of the memory.
pub(crate) fn cluster(config: &Config) -> Cluster {
    config.kafka.clone().with_queue(config.server.max_memory / PRODUCER_SHARE)
}

/// Returns the maximum number of events in memory, and of bytes of their records. Above half of either, new events are
/// written to the journal at once.
pub(super) fn events_in_memory(config: &Config) -> (usize, usize) {
    (config.server.max_in_flight_events, config.server.max_memory / EVENTS_SHARE)
}

/// Returns the limits of the HTTP listeners.
pub(super) fn limits(config: &Config) -> Limits {
    Limits {
        response_deadline: config.server.response_deadline,
        max_body: config.server.max_body,
        max_buffered: config.server.max_memory / CALLBACKS_SHARE,
        trusted_proxies: config.server.trusted_proxies.clone(),
    }
}

/// Returns how keys are fetched and stored.
pub(super) fn key_settings(config: &Config, metrics: &Arc<Metrics>) -> Settings {
    Settings {
        directory: Some(config.journal.directory.clone()),
        clients: Clients::new(Proxy::Environment),
        timing: Timing::default(),
        observer: Arc::new(super::key_observer::Observer::new(Arc::clone(metrics), config.server.clock_skew)),
        liveness: Arc::clone(&metrics.liveness),
    }
}

/// Creates the applications. An application whose key source is the same as in `old` keeps its keys.
pub(super) fn applications(
    config: &Config,
    old: Option<&KeyRing>,
    settings: &Settings,
    metrics: &Arc<Metrics>,
) -> Applications {
    // Before the keys, so that their first refresh is counted.
    let metrics: Vec<_> = config
        .applications
        .iter()
        .map(|application| metrics.application(&application.name, application.decryption_keys.len()))
        .collect();
    let sources = config.applications.iter().map(|application| (application.name.clone(), application.jwks.clone()));
    let keys = match old {
        Some(old) => old.reload(sources, settings),
        None => KeyRing::start(sources, settings),
    };
    let mut by_name = HashMap::new();
    for (application, metrics) in config.applications.iter().zip(metrics) {
        let Some(store) = keys.get(&application.name) else { continue };
        let policy = Arc::new(policy(config, application));
        let owner = OwningApplication {
            name: application.name.clone(),
            policy: Some(Arc::clone(&policy)),
            fallback_policy: None,
            metrics: Arc::clone(&metrics),
        };
        let made = Application {
            name: application.name.clone(),
            policy,
            networks: application.allowed_networks.clone(),
            keys: Arc::clone(store),
            metrics,
            owner: Arc::new(owner),
        };
        by_name.insert(application.name.clone(), Arc::new(made));
    }
    Applications { by_name, keys }
}

/// Creates the watch that checks whether the cluster accepts records for the topics. It notifies the coordination of
/// replicas, which notifies the outbox.
pub(super) fn watch(
    cluster: &Cluster,
    config: &Config,
    metrics: &Arc<Metrics>,
    dispatcher: &Dispatcher,
    replicas: &Arc<super::replicas::Replicas>,
) -> Result<Watch, String> {
    let (metrics, replicas) = (Arc::clone(metrics), Arc::clone(replicas));
    let (liveness, acceptance) = (Arc::clone(&metrics.liveness), dispatcher.acceptance());
    Watch::prepare(cluster, topics(config), &liveness, acceptance, move |event| match event {
        WatchEvent::Cluster(id) => replicas.cluster_seen(&id),
        WatchEvent::Available { with_leader } => {
            if metrics.kafka.set_answering(true) {
                tracing::info!(code = LogCode::KafkaAvailable.as_str(), "Kafka answers");
            }
            replicas.kafka_available(&with_leader);
        }
        WatchEvent::Unavailable { brokers } => {
            // The producer may have reported it already, with the reason.
            if metrics.kafka.set_answering(false) {
                let advertised = match brokers.as_slice() {
                    [] => String::new(),
                    brokers => format!(" (advertised.listeners: {})", brokers.join(", ")),
                };
                tracing::error!(
                    code = LogCode::KafkaUnavailable.as_str(),
                    "Kafka accepts no records: no broker answers{advertised}, or no partition has a leader; events go \
                    to the journal"
                );
            }
            // Addresses that the producer reported are more precise.
            if metrics.kafka.unreachable_addresses().is_empty() {
                metrics.kafka.set_unreachable(brokers);
            }
            replicas.set_kafka_available(false);
        }
    })
}

/// Returns the names of the topics that events are published to.
pub(super) fn topics(config: &Config) -> Vec<String> {
    TopicSettings::of(config).topics.into_iter().map(|wanted| wanted.name).collect()
}

/// Loads the certificate of the callback listener, if TLS is configured.
pub(super) fn listener_certificate(config: &Config) -> Result<Option<ListenerCertificate>, Diagnosis> {
    let Some(tls) = &config.server.tls else { return Ok(None) };
    ListenerCertificate::load(&tls.certificate, &tls.key).map(Some).map_err(|fault| tls_fault(&fault))
}

pub(crate) fn tls_fault(fault: &CertificateFault) -> Diagnosis {
    let remedy = "name a PEM certificate with its chain and the PEM private key that belongs to it";
    misconfigured(fault.to_string(), remedy).at("server.tls")
}

/// Sets the metric for the expiry of the callback listener's certificate.
pub(super) fn show_certificate(config: &Config, metrics: &Metrics) {
    let server = config.server.tls.as_ref().and_then(|tls| certificate_expiry(&std::fs::read(&tls.certificate).ok()?));
    metrics.service.certificate_expiry(CertificateUse::Server, server);
}

/// Sets the metric for the expiry of the Kafka clients' certificate. Call it when the clients are created.
pub(super) fn show_kafka_certificate(config: &Config, metrics: &Metrics) {
    let property = |name: &str| config.kafka.properties.get(name).map(|value| value.expose().clone());
    let read = |path: String| std::fs::read(path).ok();
    let kafka = property("ssl.certificate.location").and_then(read);
    let kafka = kafka.or_else(|| property("ssl.certificate.pem").map(String::into_bytes));
    metrics.service.certificate_expiry(CertificateUse::Kafka, kafka.and_then(|pem| certificate_expiry(&pem)));
}

/// Binds a listening socket. Called early in the start, so that an address in use is reported before other work is
/// done.
pub(crate) fn bind(address: SocketAddr) -> std::io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}

pub(crate) fn listen_fault(key: &str, address: SocketAddr, error: &std::io::Error) -> Diagnosis {
    let remedy = "end the process that uses the address, or choose another address or port";
    misconfigured(format!("cannot listen on {address} ({})", error.kind()), remedy).at(key)
}

/// Opens the journal, including the entries from before the restart.
pub(super) fn journal(config: &Config) -> Result<Opened, Diagnosis> {
    let opened = Store::open(&config.journal.directory, &config.journal.keys, config.journal.max_size);
    opened.map_err(|fault| {
        let diagnosis = Diagnosis::from(&fault).at(JOURNAL_DIRECTORY);
        if fault.can_pass() { super::passing(diagnosis) } else { diagnosis }
    })
}

/// Returns the operators' access to the journal.
pub(super) fn journal_admin(dispatcher: &Dispatcher) -> Result<Arc<JournalAdmin>, String> {
    dispatcher.journal_admin().map(Arc::new).ok_or_else(|| "the journal is closed".to_owned())
}

/// Creates the journal's directory, where the key sets are kept as well.
pub(super) fn journal_directory(config: &Config) -> Result<(), Diagnosis> {
    let directory = &config.journal.directory;
    std::fs::create_dir_all(directory)
        .map_err(|error| directory_fault(format!("{} cannot be created ({})", directory.display(), error.kind())))
}

pub(crate) fn directory_fault(problem: impl Into<String>) -> Diagnosis {
    let remedy = "name a directory that this user can write to, on a disk that outlives the process";
    misconfigured(problem, remedy).at(JOURNAL_DIRECTORY)
}

/// Starts the export of spans, if it is configured.
pub(super) fn spans(config: &Config, metrics: &Metrics) -> Result<Option<Arc<Spans>>, Diagnosis> {
    let Some(tracing) = &config.tracing else { return Ok(None) };
    let fault =
        |problem: String| misconfigured(problem, "name a readable file with PEM certificates").at("tracing.otlp_ca");
    let ca = tracing.otlp_ca.as_ref().map(std::fs::read).transpose();
    let ca = ca.map_err(|error| fault(format!("the file cannot be read ({})", error.kind())))?;
    Spans::start(tracing, ca.as_deref(), &metrics.spans).map(Some).map_err(|problem| fault(problem.to_string()))
}
