//! What the demo runs on: a broker or a cluster, the service, a sender with fresh keys, and a reader.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use idaas_callback::event_type::Entity;
use idaas_callback::policy::Topics;
use idaas_simulator::key_files;
use idaas_simulator::sender::Sender;
use idaas_simulator::tenant_keys::TenantKeys;
use tempfile::TempDir;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::{DemoFault, Options};
use crate::config::{Config, Sources};
use crate::kafka::admin::administrator::{Administrator, Creation};
use crate::kafka::admin::topics::{State, TopicSettings, WantedTopic};
use crate::kafka::client::settings::Cluster;
use crate::kafka::embedded::EmbeddedBroker;
use crate::kafka::history::tail::{Begin, TailReader, TopicRecord};
use crate::service::{ControlMessage, Service, wiring};

/// Partitions of each topic that the demo creates.
const PARTITIONS: i32 = 3;
/// Replicas of each topic that the demo creates on a real cluster with at least this many brokers.
const REPLICAS: usize = 3;
/// Maximum time until the service is ready.
const START_TIMEOUT: Duration = Duration::from_secs(15);
/// Timeout of requests to a cluster.
const CLUSTER: Duration = Duration::from_secs(5);
/// Maximum wait of the reading thread for a record before it checks whether to stop.
const CHECK_INTERVAL: Duration = Duration::from_millis(100);

/// Everything that the demo runs.
pub(super) struct Environment {
    pub(super) sender: Sender,
    pub(super) records: UnboundedReceiver<TopicRecord>,
    counts: UnboundedSender<oneshot::Sender<Option<i64>>>,
    service: JoinHandle<bool>,
    control_messages: UnboundedSender<ControlMessage>,
    listen: SocketAddr,
    admin_listen: SocketAddr,
    topics: Topics,
    directory: TempDir,
    bootstrap_servers: String,
    /// Dropped last, because the others are its clients.
    broker: Option<EmbeddedBroker>,
}

/// The addresses of everything that runs.
pub(super) struct Endpoints {
    pub(super) kafka: String,
    pub(super) embedded: bool,
    pub(super) partitions: i32,
    pub(super) user_topic: String,
    pub(super) callback_url: String,
    pub(super) listen: SocketAddr,
    pub(super) admin_listen: SocketAddr,
    pub(super) application_id: String,
    pub(super) directory: PathBuf,
    pub(super) stay: bool,
}

impl Environment {
    /// Starts everything. Returns once callbacks can be sent.
    pub(super) async fn start(options: &Options) -> Result<Self, DemoFault> {
        let topics = Topics::with_prefix(&options.topic_prefix);
        let (broker, bootstrap_servers) = match &options.bootstrap_servers {
            Some(servers) => (None, servers.clone()),
            None => {
                let broker = embedded(&topics)?;
                let servers = broker.bootstrap_servers().to_owned();
                (Some(broker), servers)
            }
        };
        let directory = tempfile::Builder::new().prefix("idaas-bridge-demo-").tempdir()?;
        let tenant_keys = TenantKeys::generate().map_err(failed)?;
        key_files::init(directory.path(), &tenant_keys, 1).map_err(failed)?;
        let path = directory.path().join(key_files::CONFIGURATION);
        let config = configure(&path, &bootstrap_servers, &options.topic_prefix)?;
        let (plan, cluster) = (TopicSettings::of(&config), wiring::cluster(&config));
        let make = broker.is_none();
        let opened = tokio::task::spawn_blocking(move || open(&cluster, plan, make)).await.map_err(failed)?;
        let (counts, records) = read_records(opened?)?;
        let service = Service::start(&path, config).await.map_err(|fault| DemoFault::Diagnosed(vec![fault]))?;
        if !service.ready(START_TIMEOUT).await {
            return Err(DemoFault::Environment("the bridge did not become ready".to_owned()));
        }
        let (listen, admin_listen) = (service.listen(), service.admin_listen());
        let sender = Sender::new(Arc::new(tenant_keys), &format!("http://{listen}")).map_err(failed)?;
        let (control_messages, given) = unbounded_channel();
        let service = tokio::spawn(service.run(given));
        Ok(Self {
            sender,
            records,
            counts,
            service,
            control_messages,
            listen,
            admin_listen,
            topics,
            directory,
            bootstrap_servers,
            broker,
        })
    }

    /// Returns the number of records published since the start, according to the brokers' offsets.
    pub(super) async fn published(&self) -> Result<usize, DemoFault> {
        let (answer, answered) = oneshot::channel();
        // If the reader has ended, no answer comes.
        let _ = self.counts.send(answer);
        let published = answered.await.ok().flatten().and_then(|count| usize::try_from(count).ok());
        published
            .ok_or_else(|| DemoFault::Environment("Kafka does not report how many records its topics have".to_owned()))
    }

    /// Stops everything in order: first the service, last the broker.
    pub(super) async fn end(self) {
        let Self { records, counts, service, control_messages, broker, .. } = self;
        drop((records, counts));
        // Both fail only if the service has already ended.
        let _ = control_messages.send(ControlMessage::Shutdown);
        let _ = service.await;
        // Dropping the broker joins a thread, which blocks.
        let _ = tokio::task::spawn_blocking(move || drop(broker)).await;
    }

    pub(super) fn endpoints(&self, options: &Options) -> Endpoints {
        Endpoints {
            kafka: self.bootstrap_servers.clone(),
            embedded: self.broker.is_some(),
            partitions: PARTITIONS,
            user_topic: self.topics.of(Entity::User).to_string(),
            callback_url: self.sender.target().to_owned(),
            listen: self.listen,
            admin_listen: self.admin_listen,
            application_id: self.sender.tenant_keys().identity.application_id.clone(),
            directory: self.directory.path().to_owned(),
            stay: options.stay,
        }
    }
}

/// Starts a broker with the topics that can have records. Passwords are dropped in the demo, so there is no
/// credential topic.
fn embedded(topics: &Topics) -> Result<EmbeddedBroker, DemoFault> {
    let entities = Entity::ALL.into_iter().filter(|entity| *entity != Entity::Credential);
    let wanted: Vec<_> = entities.map(|entity| (topics.of(entity).to_string(), PARTITIONS)).collect();
    EmbeddedBroker::start(&wanted).map_err(DemoFault::Environment)
}

/// Adapts the configuration written by `simulate init` to this environment, and reads it as the service would, but
/// without environment variables.
fn configure(path: &Path, bootstrap_servers: &str, prefix: &str) -> Result<Config, DemoFault> {
    let mut table: toml::Table = std::fs::read_to_string(path)?.parse().map_err(failed)?;
    let servers: Vec<_> = bootstrap_servers.split(',').map(str::trim).collect();
    let changes = [
        ("server", "listen", "127.0.0.1:0".into()),
        ("server", "admin_listen", "127.0.0.1:0".into()),
        ("kafka", "bootstrap_servers", servers.into()),
        ("topics", "prefix", prefix.into()),
        ("topics", "create", false.into()),
        ("topics", "partitions", PARTITIONS.into()),
    ];
    for (section, key, value) in changes {
        if let Some(toml::Value::Table(section)) = table.get_mut(section) {
            section.insert(key.to_owned(), value);
        }
    }
    let text = toml::to_string(&table).map_err(failed)?;
    std::fs::write(path, &text)?;
    let sources = Sources {
        directory: path.parent().unwrap_or(path),
        variables: BTreeMap::new(),
        read: &|path| std::fs::read(path),
    };
    Config::parse(&text, &sources).map_err(DemoFault::Diagnosed)
}

/// Starts to follow the topics, and returns the current count of their records. Creates missing topics on a real
/// cluster first. Blocks.
fn open(cluster: &Cluster, plan: TopicSettings, make: bool) -> Result<(TailReader, Option<i64>), DemoFault> {
    let names: Vec<_> = plan.topics.iter().map(|wanted| wanted.name.clone()).collect();
    if make {
        make_missing(cluster, plan)?;
    }
    let follower = TailReader::start(cluster, &names, Begin::Now, CLUSTER).map_err(failed)?;
    match follower.missing().as_slice() {
        [] => {
            let began = count(&follower);
            Ok((follower, began))
        }
        missing => Err(DemoFault::Environment(format!("these topics do not exist: {}", missing.join(", ")))),
    }
}

/// Returns the reader's count of records. Repeats the request while a partition is too new to have one. Blocks.
fn count(follower: &TailReader) -> Option<i64> {
    let end = Instant::now() + CLUSTER;
    loop {
        let count = follower.published();
        if count.is_some() || Instant::now() >= end {
            return count;
        }
        std::thread::sleep(CHECK_INTERVAL);
    }
}

fn make_missing(cluster: &Cluster, mut plan: TopicSettings) -> Result<(), DemoFault> {
    let administrator = Administrator::new(cluster).map_err(failed)?;
    let brokers = administrator.reach(CLUSTER).map_err(failed)?;
    let states = administrator.observe(&plan, CLUSTER).map_err(failed)?;
    for wanted in &mut plan.topics {
        wanted.replication = i32::try_from(brokers.count.clamp(1, REPLICAS)).unwrap_or(1);
    }
    let pairs = plan.topics.iter().zip(&states);
    let missing: Vec<&WantedTopic> =
        pairs.filter(|(_, state)| **state == State::Missing).map(|(wanted, _)| wanted).collect();
    if missing.is_empty() {
        return Ok(());
    }
    for (wanted, creation) in missing.iter().zip(administrator.create(&missing, CLUSTER).map_err(failed)?) {
        match creation {
            Creation::Created | Creation::AlreadyExists => {}
            Creation::Rejected { diagnosis, .. } => {
                let diagnosis = diagnosis.context(format_args!("{} cannot be created", wanted.name));
                return Err(DemoFault::Diagnosed(vec![diagnosis]));
            }
        }
    }
    Ok(())
}

type Counts = UnboundedSender<oneshot::Sender<Option<i64>>>;

/// Reads records on a thread until the receiver is dropped, and counts them on request.
fn read_records(
    (mut follower, began): (TailReader, Option<i64>),
) -> Result<(Counts, UnboundedReceiver<TopicRecord>), DemoFault> {
    let (found, records) = unbounded_channel();
    let (counts, mut asked) = unbounded_channel::<oneshot::Sender<Option<i64>>>();
    let read = move || {
        while !found.is_closed() {
            if let Some(record) = follower.next(CHECK_INTERVAL) {
                // The loop's condition detects a dropped receiver.
                let _ = found.send(record);
            }
            while let Ok(answer) = asked.try_recv() {
                let _ = answer.send(follower.published().zip(began).map(|(now, began)| now - began));
            }
        }
    };
    std::thread::Builder::new().name("demo reader".to_owned()).spawn(read)?;
    Ok((counts, records))
}

fn failed(error: impl std::fmt::Display) -> DemoFault {
    DemoFault::Environment(error.to_string())
}
