//! Tests whether brokers answer: the bootstrap servers, and each broker at the address that it advertises. Blocks.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use parking_lot::RwLock;
use rdkafka::ClientConfig;
use rdkafka::config::{FromClientConfigAndContext, RDKafkaLogLevel};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaResult;
use rdkafka::metadata::Metadata;

use crate::kafka::client::connection_error::{Cause, ConnectionError, ErrorCollector, Unreachable};
use crate::kafka::client::settings::Cluster;

/// Duration of one request, after which librdkafka's errors are checked.
pub(super) const POLL_TIMEOUT: Duration = Duration::from_millis(500);
/// Maximum duration of one request. It starts with [`POLL_TIMEOUT`] and doubles with each new client.
const MAX_REQUEST_TIMEOUT: Duration = Duration::from_secs(2);
/// Interval before a request that failed immediately is repeated.
const RETRY_INTERVAL: Duration = Duration::from_millis(20);
/// Maximum number of brokers that are tested concurrently.
const MAX_CONCURRENT: usize = 16;

/// A broker, by the address that it advertises to clients.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Broker {
    /// The broker's id.
    pub id: i32,
    /// The host of `advertised.listeners`.
    pub host: String,
    /// The port of `advertised.listeners`.
    pub port: i32,
}

impl Broker {
    /// Returns `host:port`, with brackets around an IPv6 address.
    #[must_use]
    pub fn address(&self) -> String {
        let Self { host, port, .. } = self;
        if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
    }
}

/// A client that only requests metadata, and records connection errors.
pub(super) struct Observer {
    pub(super) listener: ErrorCollector,
    settings: ClientConfig,
    consumer: RwLock<BaseConsumer<ErrorCollector>>,
    /// True if the cluster has answered a client, at least with its id.
    has_answered: AtomicBool,
    /// True if a request has failed after that.
    needs_new_client: AtomicBool,
}

impl Observer {
    /// Creates the client. Sends nothing yet.
    pub(super) fn new(cluster: &Cluster) -> KafkaResult<Self> {
        let listener = ErrorCollector::default();
        let mut settings = cluster.observer();
        // A wrong `security.protocol` shows as a broker that disconnects, so disconnects must be reported.
        settings.set("log.connection.close", "true").set_log_level(RDKafkaLogLevel::Info);
        let consumer = BaseConsumer::from_config_and_context(&settings, listener.clone())?;
        let consumer = RwLock::new(consumer);
        Ok(Self {
            listener,
            settings,
            consumer,
            has_answered: AtomicBool::new(false),
            needs_new_client: AtomicBool::new(false),
        })
    }

    /// Waits until a broker answers.
    pub(super) fn answer(&self, limit: Duration) -> Result<Metadata, Unreachable> {
        // The answer names the brokers whether or not the topic exists. A request without a topic would list all
        // topics.
        self.metadata(Some("idaas"), limit)
    }

    /// Returns true if the cluster has answered a client, at least with its id.
    pub(super) fn has_answered(&self) -> bool {
        self.has_answered.load(Ordering::Relaxed)
    }

    /// Replaces a client that no longer asks the bootstrap servers.
    fn renew(&self) {
        if let Ok(other) = BaseConsumer::from_config_and_context(&self.settings, self.listener.clone()) {
            let old = std::mem::replace(&mut *self.consumer.write(), other);
            // Closing the client waits for connections that do not answer. Without a thread, it is closed here.
            let _ = std::thread::Builder::new().name("client's end".to_owned()).spawn(move || drop(old));
        }
    }

    /// Requests the metadata of a topic, or of all topics. Several threads can request at the same time.
    ///
    /// With the first answer of the cluster, librdkafka leaves the bootstrap servers for the addresses that brokers
    /// advertise. If those do not answer, only a new client asks the bootstrap servers again soon. The first answer
    /// can be one to librdkafka itself, which asks as soon as it is connected; then the request here comes too late.
    /// So a request fails permanently only if no client has received the cluster's id, or after `limit`, or after twice
    /// that time if the cluster has answered at all: then it would be wrong to report that it does not.
    pub(super) fn metadata(&self, topic: Option<&str>, limit: Duration) -> Result<Metadata, Unreachable> {
        let (mut end, mut is_extended) = (Instant::now() + limit, false);
        let mut timeout = POLL_TIMEOUT;
        if self.needs_new_client.load(Ordering::Relaxed) {
            self.renew();
        }
        loop {
            let rest = end.saturating_duration_since(Instant::now()).max(RETRY_INTERVAL);
            let consumer = self.consumer.read();
            let answer = consumer.fetch_metadata(topic, timeout.min(rest));
            // Serves the error callback only: nothing is assigned.
            while consumer.poll(Duration::ZERO).is_some() {}
            let knows_brokers = answer.is_ok() || consumer.client().fetch_cluster_id(Duration::ZERO).is_some();
            drop(consumer);
            if knows_brokers {
                self.has_answered.store(true, Ordering::Relaxed);
            }
            match answer {
                Ok(metadata) => return Ok(metadata),
                Err(_) if Instant::now() >= end => {
                    if is_extended || !self.has_answered.load(Ordering::Relaxed) {
                        return Err(self.listener.unreachable());
                    }
                    (is_extended, end) = (true, end + limit);
                }
                Err(_) if knows_brokers => {
                    self.needs_new_client.store(true, Ordering::Relaxed);
                    std::thread::sleep(RETRY_INTERVAL);
                    self.renew();
                    timeout = (timeout * 2).min(MAX_REQUEST_TIMEOUT);
                }
                // The recorded errors can be about the addresses that brokers advertise.
                Err(_) if self.has_answered.load(Ordering::Relaxed) => std::thread::sleep(RETRY_INTERVAL),
                Err(_) if self.listener.is_decided() => return Err(self.listener.unreachable()),
                Err(_) => {}
            }
        }
    }
}

/// Returns the brokers that do not answer at the address that they advertise, each with the reason.
///
/// A client uses the bootstrap servers for its first request only. Records go to the addresses that the answer names.
#[must_use]
pub fn unreachable<'a>(
    cluster: &Cluster,
    brokers: &[&'a Broker],
    limit: Duration,
) -> Vec<(&'a Broker, ConnectionError)> {
    let mut unreachable = Vec::new();
    for some in brokers.chunks(MAX_CONCURRENT) {
        std::thread::scope(|scope| {
            let asked: Vec<_> = some
                .iter()
                .map(|broker| (*broker, scope.spawn(move || connection_error(cluster, broker, limit))))
                .collect();
            for (broker, asking) in asked {
                // A thread that panicked has no result.
                let error = asking.join().unwrap_or_else(|_| Some(unknown("it could not be asked")));
                unreachable.extend(error.map(|error| (broker, error)));
            }
        });
    }
    unreachable
}

/// Returns the reason why a broker cannot be reached. `None` if it answers.
fn connection_error(cluster: &Cluster, broker: &Broker, limit: Duration) -> Option<ConnectionError> {
    let cluster = Cluster { bootstrap_servers: vec![broker.address()], ..cluster.clone() };
    let observer = match Observer::new(&cluster) {
        Ok(observer) => observer,
        Err(error) => return Some(unknown(&crate::kafka::client::error::describe(&error))),
    };
    let unreachable = observer.answer(limit).err()?;
    let silence = || ConnectionError { cause: Cause::Timeout, text: format!("no answer within {} s", limit.as_secs()) };
    // The last error belongs to the latest attempt.
    Some(unreachable.errors.into_iter().next_back().unwrap_or_else(silence))
}

fn unknown(text: &str) -> ConnectionError {
    ConnectionError { cause: Cause::Other, text: text.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_written_as_it_is_configured() {
        let broker = |host: &str| Broker { id: 1, host: host.to_owned(), port: 9092 }.address();
        assert_eq!([broker("kafka-1"), broker("::1")], ["kafka-1:9092", "[::1]:9092"]);
    }

    #[test]
    fn refused_dropped_or_unresolvable_brokers_are_unreachable() {
        let hangs_up = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = hangs_up.local_addr().unwrap().port();
        // Ends with the process.
        std::thread::spawn(move || while hangs_up.accept().is_ok() {});
        let broker = |id, host: &str, port: u16| Broker { id, host: host.to_owned(), port: port.into() };
        let brokers = [broker(1, "127.0.0.1", 1), broker(2, "broker.invalid", 9092), broker(3, "127.0.0.1", port)];
        let brokers: Vec<_> = brokers.iter().collect();
        let found = unreachable(&Cluster::plain("127.0.0.1:1"), &brokers, Duration::from_secs(20));
        let causes: Vec<_> = found.iter().map(|(broker, error)| (broker.id, error.cause)).collect();
        assert_eq!(causes, [(1, Cause::Refused), (2, Cause::Dns), (3, Cause::Disconnected)], "{found:?}");
    }
}
