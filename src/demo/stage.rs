//! What the demo runs on: a broker or a cluster, the service, a sender with fresh keys, and a reader.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tempfile::TempDir;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use super::{DemoFault, Options};
use crate::config::{Config, Fault, Surroundings};
use crate::kafka::embedded::EmbeddedBroker;
use crate::kafka::reader::{Reader, ReaderFault, Seen};
use crate::prepare::event_type::Entity;
use crate::prepare::policy::Topics;
use crate::service::{Service, StartFault, assemble};
use crate::simulate::keys_dir;
use crate::simulate::material::Material;
use crate::simulate::sender::Sender;

/// Partitions of each topic on the embedded broker.
const PARTITIONS: i32 = 3;
/// How long the service may take to be ready.
const PATIENCE: Duration = Duration::from_secs(15);
/// How long the reading thread waits for a record before it looks whether it is still wanted.
const LOOK: Duration = Duration::from_millis(100);

/// Everything that runs.
pub(super) struct Stage {
    pub(super) sender: Sender,
    pub(super) records: UnboundedReceiver<Seen>,
    pub(super) reader: Arc<Reader>,
    pub(super) service: Service,
    pub(super) topics: Topics,
    directory: TempDir,
    bootstrap_servers: String,
    /// Ends last: the others are its clients.
    broker: Option<EmbeddedBroker>,
}

/// Where things are, for whoever wants to look at them.
pub(super) struct Places {
    pub(super) kafka: String,
    pub(super) embedded: bool,
    pub(super) partitions: i32,
    pub(super) user_topic: String,
    pub(super) callback_url: String,
    pub(super) addresses: Addresses,
    pub(super) application_id: String,
    pub(super) directory: PathBuf,
    pub(super) stay: bool,
}

impl Stage {
    /// Starts everything, and returns when callbacks can be sent.
    pub(super) async fn start(options: &Options) -> Result<Self, DemoFault> {
        let topics = Topics::with_prefix(&options.topic_prefix);
        let names = names(&topics);
        let (broker, bootstrap_servers) = match &options.bootstrap_servers {
            Some(servers) => (None, servers.clone()),
            None => {
                let wanted: Vec<_> = names.iter().map(|name| (name.clone(), PARTITIONS)).collect();
                let broker = EmbeddedBroker::start(&wanted).map_err(DemoFault::Stage)?;
                let servers = broker.bootstrap_servers().to_owned();
                (Some(broker), servers)
            }
        };
        let directory = tempfile::Builder::new().prefix("idaas-bridge-demo-").tempdir()?;
        let material = Material::generate().map_err(failed)?;
        keys_dir::init(directory.path(), &material).map_err(failed)?;
        let path = directory.path().join(keys_dir::CONFIGURATION);
        let config = configure(&path, &bootstrap_servers, &options.topic_prefix)?;
        let cluster = assemble::cluster(&config);
        let reader = tokio::task::spawn_blocking(move || Reader::from_now(&cluster, &names)).await;
        let reader = Arc::new(reader.map_err(failed)?.map_err(cannot_read)?);
        let records = follow(&reader)?;
        let service = Service::start(&path, config).await.map_err(not_started)?;
        if !service.ready(PATIENCE).await {
            return Err(DemoFault::Stage("the bridge did not become ready".to_owned()));
        }
        let url = format!("http://{}", service.listen());
        let sender = Sender::new(Arc::new(material), &url).map_err(failed)?;
        Ok(Self { sender, records, reader, service, topics, directory, bootstrap_servers, broker })
    }

    /// Ends everything in order: first who takes callbacks, last the broker.
    pub(super) async fn end(self) {
        let Self { records, reader, service, broker, .. } = self;
        drop(records);
        drop(reader);
        // Nobody gives orders any more, which is the order to end.
        let (_, orders) = unbounded_channel();
        service.run(orders).await;
        // Joins a thread.
        let _ = tokio::task::spawn_blocking(move || drop(broker)).await;
    }

    pub(super) fn places(&self, options: &Options) -> Places {
        let identity = &self.sender.material().identity;
        Places {
            kafka: self.bootstrap_servers.clone(),
            embedded: self.broker.is_some(),
            partitions: PARTITIONS,
            user_topic: self.topics.of(Entity::User).to_string(),
            callback_url: self.sender.target().to_owned(),
            addresses: Addresses { callbacks: self.service.listen(), admin: self.service.admin_listen() },
            application_id: identity.application_id.clone(),
            directory: self.directory.path().to_owned(),
            stay: options.stay,
        }
    }
}

/// The topics that records can come to. Passwords are dropped here, so there is none for them.
fn names(topics: &Topics) -> Vec<String> {
    let entities = Entity::ALL.into_iter().filter(|entity| *entity != Entity::Credential);
    entities.map(|entity| topics.of(entity).to_string()).collect()
}

/// Where the service listens.
#[derive(Debug, Clone, Copy)]
pub(super) struct Addresses {
    /// Callbacks.
    pub(super) callbacks: SocketAddr,
    /// Metrics, health and console.
    pub(super) admin: SocketAddr,
}

/// Fits the configuration that `simulate init` wrote to this stage, and reads it as the service would, but for the
/// environment, which is not the demo's.
fn configure(path: &std::path::Path, bootstrap_servers: &str, prefix: &str) -> Result<Config, DemoFault> {
    let mut table: toml::Table = std::fs::read_to_string(path)?.parse().map_err(failed)?;
    let servers: Vec<_> = bootstrap_servers.split(',').map(str::trim).collect();
    let changes = [
        ("server", "listen", "127.0.0.1:0".into()),
        ("server", "admin_listen", "127.0.0.1:0".into()),
        ("kafka", "bootstrap_servers", servers.into()),
        ("topics", "prefix", prefix.into()),
        ("topics", "create", false.into()),
    ];
    for (section, key, value) in changes {
        if let Some(toml::Value::Table(section)) = table.get_mut(section) {
            section.insert(key.to_owned(), value);
        }
    }
    let text = toml::to_string(&table).map_err(failed)?;
    std::fs::write(path, &text)?;
    let around = Surroundings {
        directory: path.parent().unwrap_or(path),
        variables: BTreeMap::new(),
        read: &|path| std::fs::read(path),
    };
    Config::parse(&text, &around).map_err(|faults| DemoFault::Stage(told(&faults)))
}

/// Reads records on a thread of its own for as long as somebody wants them.
fn follow(reader: &Arc<Reader>) -> Result<UnboundedReceiver<Seen>, DemoFault> {
    let (found, records) = unbounded_channel();
    let reader = Arc::downgrade(reader);
    let read = move || {
        while let (Some(reader), false) = (reader.upgrade(), found.is_closed()) {
            // Nobody listening is found out above.
            let _ = reader.next(LOOK).map(|seen| found.send(seen));
        }
    };
    std::thread::Builder::new().name("demo reader".to_owned()).spawn(read)?;
    Ok(records)
}

fn failed(error: impl std::fmt::Display) -> DemoFault {
    DemoFault::Stage(error.to_string())
}

fn cannot_read(fault: ReaderFault) -> DemoFault {
    match &fault {
        ReaderFault::Missing(topics) => {
            let topics = topics.join("\n  ");
            DemoFault::Stage(format!(
                "create these topics, with any number of partitions, and run this again:\n  {topics}"
            ))
        }
        ReaderFault::Away(_) => failed(fault),
    }
}

fn not_started(fault: StartFault) -> DemoFault {
    match fault {
        StartFault::Configuration(faults) => DemoFault::Stage(told(&faults)),
        StartFault::Failed(why) => DemoFault::Stage(why),
    }
}

fn told(faults: &[Fault]) -> String {
    faults.iter().map(Fault::to_string).collect::<Vec<_>>().join("\n")
}
