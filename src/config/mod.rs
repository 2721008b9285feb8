//! The configuration: what the operator wrote, read once, checked whole, and typed.
//!
//! [`Config::parse`] is pure: text, variables and files come in as arguments, and it returns either a configuration
//! that can be used as it stands, or **all** of its faults. [`Config::load`] is the edge that reads the file system and
//! the environment. Nothing here may show a secret: neither a fault nor a warning ever contains a value that can be one.

mod application;
mod application_keys;
mod dedupe;
mod environment;
mod fetch;
mod files;
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
use ipnet::IpNet;

pub use environment::{CONFIG_VARIABLE, PREFIX};
pub use files::NamedFile;
pub use parse::Sources;
pub use tracing::Tracing;

use crate::diagnosis::Diagnosis;
use crate::secret::Secret;

/// The whole configuration. Has no `Debug`: it holds keys and passwords.
pub struct Config {
    /// Listeners, limits and times of the HTTP side.
    pub server: Server,
    /// `server.admin_token`: required to see ids or to change things on the admin listener. If there is none,
    /// only this machine's loopback address is allowed to.
    pub admin_token: Option<Secret<String>>,
    /// The Kafka cluster that records go to.
    pub kafka: Kafka,
    /// Names and layout of the topics.
    pub topics: Topics,
    /// Where events wait that the broker has not confirmed.
    pub journal: Journal,
    /// How many replicas there are, and what they learn from one another.
    pub dedupe: Dedupe,
    /// The state topics; `None` if there are none.
    pub state: Option<State>,
    /// Log lines on stderr.
    pub log: Log,
    /// Where spans are exported to; `None` if nothing is traced.
    pub tracing: Option<Tracing>,
    /// The IDaaS applications whose callbacks are accepted: at least one; names and ids are unique.
    pub applications: Vec<Application>,
    /// What works and is likely not meant. `check` shows it.
    pub warnings: Vec<Diagnosis>,
    /// The files that it names, with a digest of what was in them. One that is named twice is here twice.
    pub files: Vec<NamedFile>,
    /// The files that hold secrets.
    pub secret_files: Vec<SecretFile>,
}

/// A file that holds a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecretFile {
    /// The key that names it.
    pub key: String,
    /// Its path.
    pub path: PathBuf,
}

/// Listeners, limits and times of the HTTP side.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Server {
    /// Where IDaaS delivers callbacks.
    pub listen: SocketAddr,
    /// Metrics, health and console: never reachable from outside.
    pub admin_listen: SocketAddr,
    /// When the answer leaves at the latest, counted from the request; below the 10 s that IDaaS waits.
    pub response_deadline: Duration,
    /// How long the end of the process may take; above the response deadline.
    pub drain_timeout: Duration,
    /// How far the sender's clock may be off when `iat` and `exp` are judged; at most 300 s.
    pub clock_skew: Duration,
    /// The largest request body, in bytes.
    pub max_body: usize,
    /// How many events may be under way at once; beyond that callbacks are answered `overloaded`.
    pub max_in_flight_events: usize,
    /// How many bytes of callbacks and events may be in memory at once, in all queues together.
    pub max_memory: usize,
    /// Peers whose `X-Forwarded-For` counts. IPv4-mapped IPv6 networks stand here as IPv4.
    pub trusted_proxies: Vec<IpNet>,
    /// TLS on the callback listener; plain HTTP where it is absent.
    pub tls: Option<Tls>,
    /// Whether a change of a file that the configuration names causes a reload, as SIGHUP does.
    pub watch_files: bool,
}

/// Certificate and key of the callback listener, PEM. Both were readable when the configuration was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tls {
    /// The certificate, followed by its intermediates.
    pub certificate: PathBuf,
    /// The private key.
    pub key: PathBuf,
}

/// The Kafka cluster. Has no `Debug`: any property can be a password.
#[derive(Clone, PartialEq, Eq)]
pub struct Kafka {
    /// `host:port` of some of the brokers; at least one.
    pub bootstrap_servers: Vec<String>,
    /// librdkafka properties that the operator added. Those that would break a guarantee have been refused; relative
    /// paths of certificates and key tabs are resolved.
    pub properties: BTreeMap<String, Secret<String>>,
    /// SHA-256 of the files that properties name, by property. Secrets from files are in the properties themselves.
    pub files: BTreeMap<String, Option<[u8; 32]>>,
}

/// Names and layout of the topics.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Topics {
    /// What every topic's name starts with, unless an application has a prefix of its own.
    pub prefix: String,
    /// Whether missing topics are created at start.
    pub create: bool,
    /// Partitions of a topic that is created.
    pub partitions: i32,
    /// Replicas of a topic that is created.
    pub replication_factor: i32,
    /// How long the records of a topic that is created are kept; `None` is without limit.
    pub retention: Option<Duration>,
    /// How CloudEvents attributes travel.
    pub event_mode: EventMode,
}

/// The content mode of the CloudEvents Kafka protocol binding 1.0 (§3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, strum::IntoStaticStr, strum::VariantArray)]
#[strum(serialize_all = "lowercase")]
pub enum EventMode {
    /// Attributes in headers, the value is the data.
    Binary,
    /// Attributes and data in one JSON object.
    Structured,
}

/// Where events wait that the broker has not confirmed. Has no `Debug`: it holds keys.
#[derive(Clone)]
pub struct Journal {
    /// The directory, made absolute relative to the configuration file.
    pub directory: PathBuf,
    /// The most that the journal may occupy, in bytes.
    pub max_size: u64,
    /// AES-256 keys, at least one: the first seals, all can open.
    pub keys: Vec<Arc<ContentKey>>,
}

/// How many replicas there are, and what they learn from one another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Dedupe {
    /// How many replicas share the callbacks; at least one.
    pub replicas: u32,
    /// Whether this replica reads along on the topics, so that what another one has confirmed is a success at once.
    pub follow_replicas: bool,
}

/// The state topics, and what `materialize` needs to maintain them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct State {
    /// The consumer group that reads the event topics.
    pub group_id: String,
    /// The directory of the working state, made absolute relative to the configuration file.
    pub directory: PathBuf,
    /// Metrics and health of `materialize`.
    pub admin_listen: SocketAddr,
}

/// Log lines on stderr.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Log {
    /// The form of a line.
    pub format: LogFormat,
    /// The least severe level that is written.
    pub level: LogLevel,
    /// Whether there is one line for each published event, at level info.
    pub events: bool,
}

/// The form of a log line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, strum::IntoStaticStr, strum::VariantArray)]
#[strum(serialize_all = "lowercase")]
pub enum LogFormat {
    /// One JSON object per line, for collectors.
    Json,
    /// For eyes.
    Text,
}

/// How severe a log line must be to be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, strum::IntoStaticStr, strum::VariantArray)]
#[strum(serialize_all = "lowercase")]
pub enum LogLevel {
    /// Only what needs somebody.
    Error,
    /// And what may.
    Warn,
    /// And what happened: the default.
    Info,
    /// And one line per event.
    Debug,
    /// Everything.
    Trace,
}

/// One IDaaS application whose callbacks are accepted. Has no `Debug`: it holds keys.
#[derive(Clone)]
pub struct Application {
    /// Label in metrics and last part of the callback's path; `[a-z0-9-]`, never `unknown`.
    pub name: String,
    /// The token's `aud`: `app_…`.
    pub id: String,
    /// The token's `sub`: `idaas_…`; any instance where it is absent.
    pub instance_id: Option<String>,
    /// Where the public keys come from.
    pub jwks: JwksSource,
    /// The console's "Encryption Key", and others during a rotation, in the order in which they are tried.
    pub decryption_keys: Vec<Arc<ContentKey>>,
    /// Whether a callback in `plainData` is refused.
    pub require_encryption: bool,
    /// Where callbacks may come from. IPv4-mapped IPv6 networks stand here as IPv4.
    pub allowed_networks: Vec<IpNet>,
    /// What becomes of passwords in user events.
    pub passwords: Passwords,
    /// Event types (URNs) that are answered as skipped, on purpose.
    pub skip: Vec<String>,
    /// Replaces [`Topics::prefix`] for this application.
    pub topic_prefix: Option<String>,
    /// How `fetch` reads the directory. `None` if it is not configured.
    pub fetch: Option<Fetch>,
}

/// How `fetch` reads an application's directory through the Developer API of IDaaS. Has no `Debug`: it holds a secret.
#[derive(Clone, PartialEq, Eq)]
pub struct Fetch {
    /// An absolute URL without a slash at the end; `http` only on a loopback address.
    pub endpoint: String,
    /// The OAuth client id, `app_…`.
    pub client_id: String,
    /// The OAuth client secret.
    pub client_secret: Secret<String>,
    /// The most requests per second.
    pub requests_per_second: u32,
}

/// Where an application's public keys (JSON Web Key Set) come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum JwksSource {
    /// The "Public Key Endpoint" of the console.
    Url {
        /// An absolute http or https URL.
        url: String,
        /// Further certificate authorities to trust for it, PEM. Was readable when the configuration was read.
        ca_file: Option<PathBuf>,
    },
    /// A file, which held a usable key set when the configuration was read.
    File(PathBuf),
}

/// What becomes of passwords that IDaaS sends in clear text. Has no `Debug`: it holds a key.
#[derive(Clone)]
pub enum Passwords {
    /// They are removed.
    Drop,
    /// They go to the credential topic, sealed with this AES-256 key.
    Seal(Arc<ContentKey>),
}
