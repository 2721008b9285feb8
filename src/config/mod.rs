//! The configuration: read once, checked completely, and typed.
//!
//! [`Config::parse`] is pure: text, variables and files are arguments. It returns either a valid configuration or
//! **all** of its faults. [`Config::load`] reads the file system and the environment. No fault or warning ever contains
//! a value that can be a secret.

mod application;
mod application_keys;
mod dedupe;
mod environment;
mod fetch;
mod files;
mod jwks_source;
mod kafka;
mod load;
mod parse;
mod properties;
mod raw_value;
mod reload;
mod secrets;
mod server;
mod state;
mod storage;
mod table_reader;
#[cfg(test)]
#[allow(clippy::string_slice, reason = "the texts are ASCII")]
mod tests;
mod topics;
mod tracing;
mod values;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use idaas_callback::jose::jwe::ContentKey;
use idaas_callback::policy::{EventMode, Passwords};
use ipnet::IpNet;

pub use environment::{CONFIG_VARIABLE, PREFIX};
pub use files::NamedFile;
pub(crate) use files::certificates;
pub use jwks_source::JwksSource;
pub use parse::Sources;
pub use tracing::Tracing;

use crate::diagnosis::Diagnosis;
use crate::secret::Secret;

/// The complete configuration. Has no `Debug`, because it holds keys and passwords.
pub struct Config {
    /// Listeners, limits and timeouts.
    pub server: Server,
    /// `server.admin_token`: required to see ids or to change things on the admin listener. If there is none,
    /// only this machine's loopback address is allowed to.
    pub admin_token: Option<Secret<String>>,
    /// The Kafka cluster that records are published to.
    pub kafka: Cluster,
    /// Names and settings of the topics.
    pub topics: Topics,
    /// The on-disk store for events that Kafka has not confirmed.
    pub journal: Journal,
    /// The number of replicas, and whether they follow each other.
    pub dedupe: Dedupe,
    /// The state topics. `None` if there are none.
    pub state: Option<State>,
    /// Log output on stderr.
    pub log: Log,
    /// Export of traces. `None` if tracing is off.
    pub tracing: Option<Tracing>,
    /// The IDaaS applications whose callbacks are accepted: at least one, with unique names and ids.
    pub applications: Vec<Application>,
    /// Valid settings that are probably unintended. The command `check` prints them.
    pub warnings: Vec<Diagnosis>,
    /// All files that the configuration names, with digests of their contents. A file that is named twice is listed
    /// twice.
    pub files: Vec<NamedFile>,
    /// The files that contain secrets.
    pub secret_files: Vec<SecretFile>,
}

impl Config {
    /// Returns the prefix of an application's topics.
    #[must_use]
    pub fn topic_prefix<'a>(&'a self, application: &'a Application) -> &'a str {
        application.topic_prefix.as_deref().unwrap_or(&self.topics.prefix)
    }
}

/// A file that contains a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecretFile {
    /// The configuration key that names it.
    pub key: String,
    /// The file's path.
    pub path: PathBuf,
}

/// Listeners, limits and timeouts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Server {
    /// Address of the callback listener.
    pub listen: SocketAddr,
    /// Address of the listener for metrics, health, console and journal. Not meant to be publicly reachable.
    pub admin_listen: SocketAddr,
    /// Maximum time from the request to the answer. Below the 10 s that IDaaS waits.
    pub response_deadline: Duration,
    /// Maximum duration of the shutdown. Above the response deadline.
    pub drain_timeout: Duration,
    /// Tolerance for the sender's clock when `iat` and `exp` are checked. At most 300 s.
    pub clock_skew: Duration,
    /// Maximum size of a request body, in bytes.
    pub max_body: usize,
    /// Maximum number of events in progress. Above it, callbacks are answered as `overloaded`.
    pub max_in_flight_events: usize,
    /// Maximum number of bytes of callbacks and events in memory, in all queues together.
    pub max_memory: usize,
    /// Peers whose `X-Forwarded-For` is trusted. IPv4-mapped IPv6 networks are converted to IPv4.
    pub trusted_proxies: Vec<IpNet>,
    /// TLS on the callback listener. `None` for plain HTTP.
    pub tls: Option<Tls>,
    /// True if a change of a file that the configuration names causes a reload, like SIGHUP.
    pub watch_files: bool,
}

/// Certificate and key of the callback listener, PEM. Both files were readable when the configuration was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tls {
    /// The certificate, followed by the intermediate certificates.
    pub certificate: PathBuf,
    /// The private key.
    pub key: PathBuf,
}

/// The address and the properties of a Kafka cluster. Has no `Debug`, because any property can be a password.
#[derive(Clone, PartialEq, Eq)]
pub struct Cluster {
    /// `host:port` of at least one broker.
    pub bootstrap_servers: Vec<String>,
    /// The operator's librdkafka properties. Properties that would break a guarantee have been rejected.
    /// Relative paths of certificates and key tabs are resolved.
    pub properties: BTreeMap<String, Secret<String>>,
    /// SHA-256 of the files that properties name, by property. Secrets from files are in the properties themselves.
    pub files: BTreeMap<String, Option<[u8; 32]>>,
}

/// Names and settings of the topics.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Topics {
    /// Prefix of all topic names, unless an application has its own.
    pub prefix: String,
    /// True if missing topics are created at startup.
    pub create: bool,
    /// Partitions of a topic that the service creates.
    pub partitions: i32,
    /// Replicas of a topic that the service creates.
    pub replication_factor: i32,
    /// Retention of a topic that the service creates. `None` for unlimited.
    pub retention: Option<Duration>,
    /// Placement of the CloudEvents attributes.
    pub event_mode: EventMode,
}

/// The on-disk store for events that Kafka has not confirmed. Has no `Debug`, because it holds keys.
#[derive(Clone)]
pub struct Journal {
    /// The directory. A relative path starts at the configuration file's directory.
    pub directory: PathBuf,
    /// Maximum size of the journal, in bytes.
    pub max_size: u64,
    /// At least one AES-256 key. The first encrypts; all of them decrypt.
    pub keys: Vec<Arc<ContentKey>>,
}

/// The number of replicas, and whether they follow each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Dedupe {
    /// The number of replicas that share the callbacks. At least one.
    pub replicas: u32,
    /// True if this replica reads the event topics, so that events confirmed by another replica are not published
    /// again.
    pub follow_replicas: bool,
}

/// The state topics, and the settings of `materialize`, which maintains them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct State {
    /// The consumer group that reads the event topics.
    pub group_id: String,
    /// The directory of the working state. A relative path starts at the configuration file's directory.
    pub directory: PathBuf,
    /// Address of the listener for metrics and health of `materialize`.
    pub admin_listen: SocketAddr,
}

/// Log output on stderr.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Log {
    /// The format of a line.
    pub format: LogFormat,
    /// The least severe level that is logged.
    pub level: LogLevel,
    /// True if each published event is logged, at level info.
    pub events: bool,
}

/// The format of a log line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, strum::IntoStaticStr, strum::VariantArray)]
#[strum(serialize_all = "lowercase")]
pub enum LogFormat {
    /// One JSON object per line, for collectors.
    Json,
    /// Plain text.
    Text,
}

/// The least severe level that is logged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, strum::IntoStaticStr, strum::VariantArray)]
#[strum(serialize_all = "lowercase")]
pub enum LogLevel {
    /// Errors.
    Error,
    /// Errors and warnings.
    Warn,
    /// Errors, warnings and normal events. The default.
    Info,
    /// Also one line per published event, and details for troubleshooting.
    Debug,
    /// All messages.
    Trace,
}

/// One IDaaS application whose callbacks are accepted. Has no `Debug`, because it holds keys.
#[derive(Clone)]
pub struct Application {
    /// Label in metrics and last part of the callback's path. Consists of `[a-z0-9-]`; never `unknown`.
    pub name: String,
    /// The expected `aud` of tokens: `app_…`.
    pub id: String,
    /// The expected `sub` of tokens: `idaas_…`. `None` accepts any instance.
    pub instance_id: Option<String>,
    /// Source of the public keys.
    pub jwks: JwksSource,
    /// The "Encryption Key" of the IDaaS console, and further ones during a rotation, in the order in which they are
    /// tried.
    pub decryption_keys: Vec<Arc<ContentKey>>,
    /// True if unencrypted callbacks (`plainData`) are rejected.
    pub require_encryption: bool,
    /// Networks that callbacks may come from. IPv4-mapped IPv6 networks are converted to IPv4.
    pub allowed_networks: Vec<IpNet>,
    /// How passwords in user events are handled.
    pub passwords: Passwords,
    /// Event types (URNs) that are not published, and answered as skipped.
    pub skip: Vec<String>,
    /// Replaces [`Topics::prefix`] for this application.
    pub topic_prefix: Option<String>,
    /// Access to the directory for the command `fetch`. `None` if it is not configured.
    pub fetch: Option<Fetch>,
}

/// Access to an application's directory through the Developer API of IDaaS. Has no `Debug`, because it holds a secret.
#[derive(Clone, PartialEq, Eq)]
pub struct Fetch {
    /// An absolute URL without a trailing slash. Plain `http` is allowed only on a loopback address.
    pub endpoint: String,
    /// The OAuth client id, `app_…`.
    pub client_id: String,
    /// The OAuth client secret.
    pub client_secret: Secret<String>,
    /// Maximum number of requests per second.
    pub requests_per_second: u32,
}
