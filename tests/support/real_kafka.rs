//! Apache Kafka itself, as processes of this machine: for what a mock cluster cannot prove.
//!
//! Needs Java 17 or newer, and Maven for the first run. Brokers never outlive the test process, however it ends.
//! Nothing here may depend on the bridge: the harness judges it.

mod cluster_permit;
mod install;
mod node;
mod options;
mod ports;
mod run_directory;
mod tls;

use std::io::Write;
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::time::Duration;

use parking_lot::Mutex;
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewPartitions, NewTopic, TopicReplication};
use rdkafka::metadata::{MetadataBroker, MetadataPartition};

use self::cluster_permit::ClusterPermit;
use self::node::Node;
use self::options::Login;
use self::run_directory::RunDirectory;
use super::records::{Quiet, retry};

pub(crate) use self::options::{Advertised, Options};
pub(crate) use self::ports::free as free_ports;

/// The one node that all tests share which take nothing away from it: it comes up with the first of them, and goes
/// with the process. Topics need names of their own. `None` if the machine cannot run it: the test is skipped,
/// which has been said.
pub(crate) fn shared_one_node() -> Option<&'static RealKafka> {
    static SHARED: OnceLock<RealKafka> = OnceLock::new();
    install::available_or_left_out()
        .then(|| SHARED.get_or_init(|| RealKafka::launch(Nodes::One, Options::default(), None)))
}

/// The size of a cluster. Each node is broker and controller at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Nodes {
    One,
    Three,
}

impl Nodes {
    const fn count(self) -> usize {
        match self {
            Self::One => 1,
            Self::Three => 3,
        }
    }
}

/// A running cluster. Dropping it kills its nodes and removes their data.
pub(crate) struct RealKafka {
    nodes: Mutex<Vec<Node>>,
    bootstrap_servers: String,
    secure: Option<Secure>,
    /// For each listener of [`Options::advertised`].
    advertised: Vec<String>,
    directory: RunDirectory,
    /// Held by all clusters but the shared one, so that they come one after the other.
    _permit: Option<ClusterPermit>,
}

struct Secure {
    bootstrap_servers: String,
    login: Login,
}

/// Where a partition stands, as the brokers tell it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PartitionState {
    /// Node id, −1 while there is none.
    pub(crate) leader: i32,
    pub(crate) in_sync: Vec<i32>,
}

/// What rights are granted to.
#[derive(Clone, Copy)]
pub(crate) enum On<'a> {
    Topic(&'a str),
    /// All topics whose names begin with this.
    TopicsFrom(&'a str),
    Group(&'a str),
    /// All transactional ids that begin with this.
    TransactionsFrom(&'a str),
}

impl RealKafka {
    /// Starts a cluster and waits until each node knows all of them. One cluster at a time (the shared node aside):
    /// a test must not start its second while it holds its first. `None` as with [`shared_one_node`].
    pub(crate) fn start(nodes: Nodes, options: Options) -> Option<Self> {
        install::available_or_left_out().then(|| Self::launch(nodes, options, Some(ClusterPermit::wait())))
    }

    fn launch(nodes: Nodes, options: Options, permit: Option<ClusterPermit>) -> Self {
        let libraries = install::libraries().unwrap_or_else(|fault| panic!("{fault}"));
        let directory = RunDirectory::create();
        let count = nodes.count();
        let plain = ports::free(count);
        let controllers = ports::free(count);
        let secure = if options.login.is_some() { ports::free(count) } else { Vec::new() };
        let advertised: Vec<_> = options.advertised.iter().map(|_| ports::free(count)).collect();
        if options.login.is_some() {
            tls::write_certificates(&directory.path);
        }
        let nodes = (1..=count)
            .map(|id| {
                let ports = options::Ports {
                    plain: &plain,
                    controllers: &controllers,
                    secure: &secure,
                    advertised: &advertised,
                };
                let properties = options.properties_of(id, &ports, &directory.path);
                Node::new(&libraries, &directory.path, id, plain[id - 1], &properties)
            })
            .collect();
        let kafka = Self {
            nodes: Mutex::new(nodes),
            bootstrap_servers: servers(&plain),
            secure: options.login.map(|login| Secure { bootstrap_servers: servers(&secure), login }),
            advertised: advertised.iter().map(|ports| servers(ports)).collect(),
            directory,
            _permit: permit,
        };
        kafka.bring_up();
        kafka
    }

    /// Gives a user rights to something, in an authorizer's cluster.
    pub(crate) fn grant(&self, user: &str, operations: &[&str], on: On<'_>) {
        self.change_rights(&["--add"], user, operations, on);
    }

    /// Takes rights that were granted with the same `on`.
    pub(crate) fn revoke(&self, user: &str, operations: &[&str], on: On<'_>) {
        self.change_rights(&["--remove", "--force"], user, operations, on);
    }

    fn change_rights(&self, change: &[&str], user: &str, operations: &[&str], on: On<'_>) {
        let principal = format!("User:{user}");
        let mut arguments = vec!["--bootstrap-server", self.bootstrap_servers(), "--allow-principal", &principal];
        arguments.extend(change);
        arguments.extend(operations.iter().flat_map(|operation| ["--operation", operation]));
        match on {
            On::Topic(topic) => arguments.extend(["--topic", topic]),
            On::TopicsFrom(prefix) => arguments.extend(["--topic", prefix, "--resource-pattern-type", "prefixed"]),
            On::Group(group) => arguments.extend(["--group", group]),
            On::TransactionsFrom(prefix) => {
                arguments.extend(["--transactional-id", prefix, "--resource-pattern-type", "prefixed"]);
            }
        }
        self.java("org.apache.kafka.tools.AclCommand", &arguments, "");
    }

    /// Runs one of Kafka's own tools to its end, with that standard input; returns what it says. Fails where it fails.
    pub(crate) fn java(&self, class: &str, arguments: &[&str], input: &str) -> String {
        let libraries = install::libraries().unwrap_or_else(|fault| panic!("{fault}"));
        let mut tool = Command::new("java")
            .args(["-Xmx128m", "-XX:+UseSerialGC", "-Dstdout.encoding=UTF-8", "-Dfile.encoding=UTF-8", "-cp"])
            .arg(libraries.join("*"))
            .arg(class)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        tool.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        let output = tool.wait_with_output().unwrap();
        assert!(output.status.success(), "{class}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    fn bring_up(&self) {
        let scram = self
            .secure
            .as_ref()
            .map(|Secure { login, .. }| format!("SCRAM-SHA-512=[name={},password={}]", login.user, login.password));
        let mut nodes = self.nodes.lock();
        node::format(&nodes, scram.as_deref());
        nodes.iter_mut().for_each(Node::start);
        for node in 1..=nodes.len() {
            Self::wait_until_up(&mut nodes, node);
        }
    }

    /// Addresses of the plain listeners, comma-separated.
    pub(crate) fn bootstrap_servers(&self) -> &str {
        &self.bootstrap_servers
    }

    /// Addresses of a listener that [`Options::advertised`] added, comma-separated; counted from 0.
    pub(crate) fn advertised_servers(&self, listener: usize) -> &str {
        &self.advertised[listener]
    }

    /// Client properties for the TLS and SCRAM listener. Only with [`Options::scram`].
    pub(crate) fn secure_properties(&self) -> Vec<(&'static str, String)> {
        let Secure { bootstrap_servers, login } = self.secure.as_ref().expect("started with Options::scram");
        vec![
            ("bootstrap.servers", bootstrap_servers.clone()),
            ("security.protocol", "sasl_ssl".to_owned()),
            ("ssl.ca.location", self.directory.path.join(tls::CA).to_str().unwrap().to_owned()),
            ("sasl.mechanism", "SCRAM-SHA-512".to_owned()),
            ("sasl.username", login.user.clone()),
            ("sasl.password", login.password.clone()),
        ]
    }

    /// Makes a topic, and returns when every running node knows a leader for each of its partitions.
    pub(crate) fn create_topic(&self, name: &str, partitions: i32, replication: i32, configs: &[(&str, &str)]) {
        let mut topic = NewTopic::new(name, partitions, TopicReplication::Fixed(replication));
        for (key, value) in configs {
            topic = topic.set(key, value);
        }
        let creating = admin(&self.bootstrap_servers);
        let options = AdminOptions::new().operation_timeout(Some(Duration::from_secs(30)));
        // On a thread of its own, so that it works inside of an asynchronous test as well.
        let results = std::thread::scope(|scope| {
            let create = || {
                let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
                runtime.block_on(creating.create_topics([&topic], &options))
            };
            scope.spawn(create).join().unwrap()
        });
        for result in results.unwrap() {
            result.unwrap_or_else(|(name, code)| panic!("topic {name}: {code}"));
        }
        let running: Vec<_> = self.nodes.lock().iter().filter(|node| node.is_running()).map(|node| node.port).collect();
        for port in running {
            let asking = admin(&servers(&[port]));
            retry(|| {
                let states = states(&asking, name)?;
                let led = states.iter().filter(|state| state.leader > 0).count();
                if led == usize::try_from(partitions).unwrap() { Ok(()) } else { Err(format!("{name}: {states:?}")) }
            });
        }
    }

    /// Deletes a topic and makes it again at once.
    pub(crate) fn recreate_topic(&self, name: &str, partitions: i32, replication: i32) {
        self.delete_topic(name);
        self.create_topic(name, partitions, replication, &[]);
    }

    pub(crate) fn delete_topic(&self, name: &str) {
        let deleting = admin(&self.bootstrap_servers);
        let options = AdminOptions::new().operation_timeout(Some(Duration::from_secs(30)));
        let results = std::thread::scope(|scope| {
            let delete = || {
                let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
                runtime.block_on(deleting.delete_topics(&[name], &options))
            };
            scope.spawn(delete).join().unwrap()
        });
        for result in results.unwrap() {
            result.unwrap_or_else(|(name, code)| panic!("topic {name}: {code}"));
        }
    }

    /// Adds partitions to a topic, and returns when a broker knows a leader for each of them.
    pub(crate) fn add_partitions(&self, name: &str, partitions: usize) {
        let admin = admin(&self.bootstrap_servers);
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let more = [NewPartitions::new(name, partitions)];
        let results = runtime.block_on(admin.create_partitions(&more, &AdminOptions::new())).unwrap();
        results.into_iter().for_each(|result| drop(result.unwrap()));
        retry(|| {
            let led = states(&admin, name)?.iter().filter(|state| state.leader > 0).count();
            if led == partitions { Ok(()) } else { Err(format!("{name} has {led} partitions")) }
        });
    }

    /// The partition's state, as soon as a broker tells one.
    pub(crate) fn partition_state(&self, topic: &str, partition: usize) -> PartitionState {
        let admin = admin(&self.bootstrap_servers);
        retry(|| states(&admin, topic)?.get(partition).cloned().ok_or_else(|| "no such partition".to_owned()))
    }

    /// The node (1, 2, 3) that leads the partition.
    pub(crate) fn leader_of(&self, topic: &str, partition: usize) -> usize {
        let admin = admin(&self.bootstrap_servers);
        retry(|| {
            let leader = states(&admin, topic)?.get(partition).map_or(-1, |state| state.leader);
            usize::try_from(leader).map_err(|_| format!("{topic}/{partition} has no leader"))
        })
    }

    /// Waits until that many replicas of the partition are in sync.
    pub(crate) fn wait_in_sync(&self, topic: &str, partition: usize, replicas: usize) {
        let admin = admin(&self.bootstrap_servers);
        retry(|| match states(&admin, topic)?.get(partition) {
            Some(state) if state.in_sync.len() == replicas => Ok(()),
            state => Err(format!("{topic}/{partition} is not there yet: {state:?}")),
        });
    }

    /// SIGKILL, as when a machine is lost. Returns when the process is gone.
    pub(crate) fn kill(&self, node: usize) {
        self.nodes.lock()[node - 1].kill();
    }

    /// Starts a killed node again, on its ports and data; returns when it knows every running node.
    pub(crate) fn restart(&self, node: usize) {
        let mut nodes = self.nodes.lock();
        nodes[node - 1].start();
        Self::wait_until_up(&mut nodes, node);
    }

    /// SIGKILL to all nodes: nothing is left that could answer.
    pub(crate) fn kill_all(&self) {
        self.nodes.lock().iter_mut().for_each(Node::kill);
    }

    /// Starts every killed node again, all at once, as one alone finds no majority; returns when they know each other.
    pub(crate) fn restart_all(&self) {
        let mut nodes = self.nodes.lock();
        nodes.iter_mut().filter(|node| !node.is_started()).for_each(Node::start);
        for node in 1..=nodes.len() {
            Self::wait_until_up(&mut nodes, node);
        }
    }

    /// Puts an empty cluster in the place of this one: the same addresses, another cluster id.
    pub(crate) fn replace_with_an_empty_one(&self) {
        self.kill_all();
        let nodes = self.nodes.lock().len();
        for node in 1..=nodes {
            std::fs::remove_dir_all(self.directory.path.join(format!("data-{node}"))).unwrap();
        }
        self.bring_up();
    }

    /// Moves every partition of these topics to another leader, with no node killed: another order of the same
    /// replicas makes another one the preferred leader, and that one is elected.
    pub(crate) fn move_leaders(&self, topics: &[&str], partitions: usize) {
        let count = self.nodes.lock().len();
        let reordered = |topic: &str, partition| {
            let leader = self.leader_of(topic, partition);
            let replicas: Vec<_> = (0..count).map(|step| (leader + step) % count + 1).collect();
            serde_json::json!({"topic": topic, "partition": partition, "replicas": replicas})
        };
        let plan: Vec<_> =
            topics.iter().flat_map(|topic| (0..partitions).map(|partition| reordered(topic, partition))).collect();
        let file = self.directory.path.join("leaders.json");
        std::fs::write(&file, serde_json::json!({"version": 1, "partitions": plan}).to_string()).unwrap();
        let (file, server) = (file.to_str().unwrap(), self.bootstrap_servers());
        let reassign = "org.apache.kafka.tools.reassign.ReassignPartitionsCommand";
        self.java(reassign, &["--bootstrap-server", server, "--reassignment-json-file", file, "--execute"], "");
        let elect = "org.apache.kafka.tools.LeaderElectionCommand";
        self.java(
            elect,
            &["--bootstrap-server", server, "--election-type", "preferred", "--path-to-json-file", file],
            "",
        );
    }

    /// SIGSTOP: the node keeps its connections and answers nothing.
    pub(crate) fn pause(&self, node: usize) {
        self.nodes.lock()[node - 1].signal("STOP");
    }

    /// SIGCONT, after [`RealKafka::pause`].
    pub(crate) fn resume(&self, node: usize) {
        self.nodes.lock()[node - 1].signal("CONT");
    }

    /// Asks the node itself, because the others list a killed node for a while.
    fn wait_until_up(nodes: &mut [Node], id: usize) {
        let admin = admin(&servers(&[nodes[id - 1].port]));
        let running: Vec<_> = nodes.iter().filter(|node| node.is_running()).map(|node| node.id as i32).collect();
        let node = &mut nodes[id - 1];
        retry(|| {
            if let Some(log) = node.ended() {
                panic!("Kafka node {id} ended:\n{log}");
            }
            let metadata =
                admin.inner().fetch_metadata(None, Duration::from_secs(1)).map_err(|error| error.to_string())?;
            let known: Vec<_> = metadata.brokers().iter().map(MetadataBroker::id).collect();
            if running.iter().all(|id| known.contains(id)) {
                Ok(())
            } else {
                Err(format!("node {id} knows {known:?} of {running:?}"))
            }
        });
    }
}

impl Drop for RealKafka {
    fn drop(&mut self) {
        for node in self.nodes.get_mut() {
            if std::thread::panicking() {
                let _ = writeln!(std::io::stderr(), "--- Kafka node {}:\n{}", node.id, node.log_tail());
            }
            node.kill();
        }
    }
}

fn servers(ports: &[u16]) -> String {
    ports.iter().map(|port| format!("127.0.0.1:{port}")).collect::<Vec<_>>().join(",")
}

fn admin(bootstrap_servers: &str) -> AdminClient<Quiet> {
    ClientConfig::new()
        .set("bootstrap.servers", bootstrap_servers)
        .set("reconnect.backoff.ms", "20")
        .set("reconnect.backoff.max.ms", "100")
        .create_with_context(Quiet)
        .unwrap()
}

fn states(admin: &AdminClient<Quiet>, topic: &str) -> Result<Vec<PartitionState>, String> {
    let metadata =
        admin.inner().fetch_metadata(Some(topic), Duration::from_secs(1)).map_err(|error| error.to_string())?;
    let topic = metadata.topics().first().ok_or("no such topic")?;
    let mut partitions: Vec<_> = topic.partitions().iter().collect();
    partitions.sort_by_key(|partition| partition.id());
    let state = |partition: &MetadataPartition| PartitionState {
        leader: partition.leader(),
        in_sync: partition.isr().to_vec(),
    };
    Ok(partitions.into_iter().map(state).collect())
}
