//! The bridge itself, started for a test: real sockets, real crypto, a broker. What it published is read back and
//! judged by the contract, record by record.
//!
//! It runs inside the test process ([`Setup::start`]), or as the program ([`Setup::spawn`]) where a test is about
//! signals, log lines or exit codes. Both read the same configuration file.

mod application;
mod caller;
mod program;

use std::collections::BTreeMap;
use std::ops::Deref;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;

use idaas_bridge::config::Config;
use idaas_bridge::kafka::embedded::mock_cluster;
use idaas_bridge::service::{ControlMessage, Service};
use rdkafka::mocking::MockCluster;
use rdkafka::producer::DefaultProducerContext;
use tokio::sync::mpsc::UnboundedSender;

use super::conformance::assert_conforms;
use super::records::{Seen, Until, consume_all, retry};

pub(crate) use self::application::{JOURNAL_KEY, TestApplication, tenant_keys};
pub(crate) use self::caller::{Caller, Verdicts, verdicts};
use self::program::Program;

/// The entities, as topics name them.
pub(crate) const ENTITIES: [&str; 7] =
    ["user", "organizational-unit", "group", "connectivity", "unclassified", "dead-letter", "credential"];

/// A bridge in the making.
pub(crate) struct Setup {
    pub(crate) applications: Vec<TestApplication>,
    listen: &'static str,
    server: Vec<String>,
    topics: Vec<String>,
    properties: Vec<String>,
    journal: Vec<String>,
    journal_keys: Option<String>,
    sections: String,
    pub(crate) log: &'static str,
    brokers: i32,
    partitions: i32,
    bootstrap_servers: Option<String>,
    read_from: Option<String>,
    until_ready: bool,
    environment: Vec<(&'static str, PathBuf)>,
}

impl Setup {
    /// One application `workforce`, one mock broker, three partitions.
    pub(crate) fn new() -> Self {
        Self::of(vec![TestApplication::workforce()])
    }

    /// These applications.
    pub(crate) fn of(applications: Vec<TestApplication>) -> Self {
        Self {
            applications,
            listen: "127.0.0.1:0",
            server: Vec::new(),
            topics: Vec::new(),
            properties: Vec::new(),
            journal: Vec::new(),
            journal_keys: None,
            sections: String::new(),
            log: "info",
            brokers: 1,
            partitions: 3,
            bootstrap_servers: None,
            read_from: None,
            until_ready: true,
            environment: Vec::new(),
        }
    }

    /// Adds a line to the first application's table.
    pub(crate) fn application(mut self, line: impl Into<String>) -> Self {
        self.applications[0].lines.push(line.into());
        self
    }

    /// Adds a line to `[server]`.
    pub(crate) fn server(mut self, line: impl Into<String>) -> Self {
        self.server.push(line.into());
        self
    }

    /// Has this line in `[server]`, and no other.
    pub(crate) fn server_again(mut self, line: impl Into<String>) -> Self {
        self.server = vec![line.into()];
        self
    }

    /// Takes callbacks at this address.
    pub(crate) fn listen(mut self, address: &'static str) -> Self {
        self.listen = address;
        self
    }

    /// Answers after that long at the latest, and drains for a second more.
    pub(crate) fn deadline(self, milliseconds: u32) -> Self {
        let drain = milliseconds + 1000;
        self.server(format!("response_deadline = \"{milliseconds}ms\"\ndrain_timeout = \"{drain}ms\""))
    }

    /// Adds a line to `[topics]`.
    pub(crate) fn topics(mut self, line: impl Into<String>) -> Self {
        self.topics.push(line.into());
        self
    }

    /// Adds a line to `[kafka.properties]`.
    pub(crate) fn property(mut self, name: &str, value: &str) -> Self {
        self.properties.push(format!("{name:?} = {value:?}"));
        self
    }

    /// As [`Setup::property`], in the place of an earlier value.
    pub(crate) fn property_again(mut self, name: &str, value: &str) -> Self {
        self.properties.retain(|line| !line.starts_with(&format!("{name:?} = ")));
        self.property(name, value)
    }

    /// Adds a property whose value is in a file.
    pub(crate) fn property_file(mut self, name: &str, file: &std::path::Path) -> Self {
        self.properties.retain(|line| !line.starts_with(&format!("{name:?} = ")));
        self.properties.push(format!("{name:?} = {{ file = {file:?} }}"));
        self
    }

    /// Adds a line to `[journal]`.
    pub(crate) fn journal(mut self, line: impl Into<String>) -> Self {
        self.journal.push(line.into());
        self
    }

    /// This line for the journal's keys.
    pub(crate) fn journal_keys(mut self, line: &str) -> Self {
        self.journal_keys = Some(line.to_owned());
        self
    }

    /// Adds a section, or lines to the section that was added last.
    pub(crate) fn section(mut self, text: impl AsRef<str>) -> Self {
        self.sections.push_str(text.as_ref());
        self
    }

    /// Log level of the program.
    pub(crate) fn log(mut self, level: &'static str) -> Self {
        self.log = level;
        self
    }

    /// A mock cluster of that many brokers.
    pub(crate) fn brokers(mut self, count: i32) -> Self {
        self.brokers = count;
        self
    }

    /// Topics of that many partitions.
    pub(crate) fn partitions(mut self, count: i32) -> Self {
        self.partitions = count;
        self
    }

    /// Publishes to this cluster in the place of a mock one. Topics are the test's affair.
    pub(crate) fn kafka(mut self, bootstrap_servers: &str) -> Self {
        self.bootstrap_servers = Some(bootstrap_servers.to_owned());
        self
    }

    /// Reads back over these addresses, if the bridge's own need a login.
    pub(crate) fn read_from(mut self, bootstrap_servers: &str) -> Self {
        self.read_from = Some(bootstrap_servers.to_owned());
        self
    }

    /// Starts the program with this environment variable.
    pub(crate) fn environment(mut self, name: &'static str, value: PathBuf) -> Self {
        self.environment.push((name, value));
        self
    }

    /// Does not wait for readiness.
    pub(crate) fn not_ready(mut self) -> Self {
        self.until_ready = false;
        self
    }

    /// Starts the service in this process.
    pub(crate) fn start(self) -> TestBridge {
        self.run(Running::start_inside)
    }

    /// Starts the program.
    pub(crate) fn spawn(self) -> TestBridge {
        let environment = self.environment.clone();
        self.run(|path| {
            let program = Program::spawn(path, &environment);
            let (listen, admin) = program.addresses();
            (Running::Program(program), listen, admin)
        })
    }

    fn run(
        self,
        start: impl FnOnce(&std::path::Path) -> (Running, std::net::SocketAddr, std::net::SocketAddr),
    ) -> TestBridge {
        let directory = tempfile::tempdir().unwrap();
        let mock = self.bootstrap_servers.is_none().then(|| mock_cluster(self.brokers).unwrap());
        let bootstrap_servers = match (&self.bootstrap_servers, &mock) {
            (Some(given), _) => given.clone(),
            (None, Some(mock)) => mock.bootstrap_servers(),
            (None, None) => unreachable!("there is a mock where nothing was given"),
        };
        let topics = topics_of(&self.applications);
        if let Some(mock) = &mock {
            for topic in &topics {
                mock.create_topic(topic, self.partitions, self.brokers).unwrap();
            }
        }
        let path = directory.path().join("bridge.toml");
        self.write(&path, &bootstrap_servers);
        let (running, listen, admin) = start(&path);
        let caller = Arc::new(Caller::new(listen, admin, self.applications.clone()));
        let until_ready = self.until_ready;
        let bridge =
            TestBridge { running, caller, topics, bootstrap_servers, mock, path, setup: self, _directory: directory };
        if until_ready {
            bridge.wait_until_ready();
        }
        bridge
    }

    fn write(&self, path: &std::path::Path, bootstrap_servers: &str) {
        let mut text = format!(
            "[server]\nlisten = {:?}\nadmin_listen = \"127.0.0.1:0\"\n{}\n\
             [kafka]\nbootstrap_servers = [{}]\n[kafka.properties]\n{}\n\
             [topics]\n{}\n[journal]\ndirectory = \"journal\"\n{}\n{}\n\
             [log]\nlevel = \"{}\"\n{}",
            self.listen,
            self.server.join("\n"),
            bootstrap_servers.split(',').map(|server| format!("{server:?}")).collect::<Vec<_>>().join(", "),
            self.properties.join("\n"),
            self.topics.join("\n"),
            self.journal_keys.clone().unwrap_or_else(|| format!("keys = [\"{JOURNAL_KEY}\"]")),
            self.journal.join("\n"),
            self.log,
            self.sections,
        );
        let directory = path.parent().unwrap();
        for application in &self.applications {
            text.push_str(&application.table(directory));
        }
        std::fs::write(path, text).unwrap();
    }
}

fn topics_of(applications: &[TestApplication]) -> Vec<String> {
    let mut prefixes: Vec<_> = applications.iter().map(|application| application.prefix.as_str()).collect();
    prefixes.sort_unstable();
    prefixes.dedup();
    prefixes.iter().flat_map(|prefix| ENTITIES.map(|entity| format!("{prefix}.{entity}.v1"))).collect()
}

enum Running {
    Inside { control_messages: UnboundedSender<ControlMessage>, thread: Option<JoinHandle<bool>> },
    Program(Program),
}

impl Running {
    /// Runs the service on a thread with a runtime of its own, so that a test need not be asynchronous.
    fn start_inside(path: &std::path::Path) -> (Self, std::net::SocketAddr, std::net::SocketAddr) {
        let path = path.to_owned();
        let (control_messages, taken) = tokio::sync::mpsc::unbounded_channel();
        let (addresses, started) = std::sync::mpsc::channel();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
            runtime.block_on(async {
                let config = Config::load(&path).unwrap_or_else(|faults| panic!("{}", listed(&faults)));
                let service = match Service::start(&path, config).await {
                    Ok(service) => service,
                    Err(fault) => panic!("{fault}"),
                };
                addresses.send((service.listen(), service.admin_listen())).unwrap();
                service.run(taken).await
            })
        });
        let (listen, admin) = started.recv().expect("the service starts");
        (Self::Inside { control_messages, thread: Some(thread) }, listen, admin)
    }
}

fn listed(faults: &[idaas_bridge::diagnosis::Diagnosis]) -> String {
    faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

/// A running bridge with its broker. Dropping it ends both.
pub(crate) struct TestBridge {
    running: Running,
    caller: Arc<Caller>,
    topics: Vec<String>,
    bootstrap_servers: String,
    mock: Option<MockCluster<'static, DefaultProducerContext>>,
    path: PathBuf,
    setup: Setup,
    _directory: tempfile::TempDir,
}

impl Deref for TestBridge {
    type Target = Arc<Caller>;

    fn deref(&self) -> &Arc<Caller> {
        &self.caller
    }
}

impl TestBridge {
    /// The mock cluster, to make trouble with.
    pub(crate) fn mock(&self) -> &MockCluster<'static, DefaultProducerContext> {
        self.mock.as_ref().expect("a mock cluster")
    }

    /// The program. Only after [`Setup::spawn`].
    pub(crate) fn program(&mut self) -> &mut Program {
        match &mut self.running {
            Running::Program(program) => program,
            Running::Inside { .. } => panic!("the service runs inside the test"),
        }
    }

    /// Everything that was published so far, each record judged by the contract.
    pub(crate) fn records(&self) -> Vec<Seen> {
        let topics: Vec<_> = self.topics.iter().map(String::as_str).collect();
        let records = consume_all(
            self.setup.read_from.as_ref().unwrap_or(&self.bootstrap_servers),
            &topics,
            Until::HighWatermarks,
        );
        for record in &records {
            assert_conforms(&record.headers, record.key.as_deref(), &record.value, &record.topic);
        }
        records
    }

    /// How often each event is in the topics, by its id.
    pub(crate) fn published(&self) -> BTreeMap<String, usize> {
        let mut counts = BTreeMap::new();
        for record in self.records() {
            *counts.entry(record.header("ce_id").unwrap().to_owned()).or_default() += 1;
        }
        counts
    }

    /// The records of topics with this ending, as `user` or `dead-letter`.
    pub(crate) fn records_of(&self, entity: &str) -> Vec<Seen> {
        let ending = format!(".{entity}.v1");
        self.records().into_iter().filter(|record| record.topic.ends_with(&ending)).collect()
    }

    /// Changes the configuration, reloads, and waits for the result. Returns true if the reload was applied.
    pub(crate) fn reload(&mut self, change: impl FnOnce(&mut Setup)) -> bool {
        change(&mut self.setup);
        self.setup.write(&self.path, &self.bootstrap_servers);
        self.reload_as_it_is()
    }

    /// As [`TestBridge::reload`], with another setup made of this one.
    pub(crate) fn reload_with(&mut self, change: impl FnOnce(Setup) -> Setup) -> bool {
        let setup = std::mem::replace(&mut self.setup, Setup::new());
        self.reload(|empty| *empty = change(setup))
    }

    /// Changes the configuration, and orders nothing.
    pub(crate) fn write(&mut self, change: impl FnOnce(&mut Setup)) {
        change(&mut self.setup);
        self.setup.write(&self.path, &self.bootstrap_servers);
    }

    /// Changes the configuration and orders a reload, and does not wait for it.
    pub(crate) fn start_reload(&mut self, change: impl FnOnce(&mut Setup)) {
        change(&mut self.setup);
        self.setup.write(&self.path, &self.bootstrap_servers);
        self.send_reload();
    }

    fn send_reload(&self) {
        match &self.running {
            Running::Inside { control_messages, .. } => control_messages.send(ControlMessage::Reload).unwrap(),
            Running::Program(program) => program.signal("HUP"),
        }
    }

    /// Orders a reload of whatever the file says now.
    pub(crate) fn reload_as_it_is(&mut self) -> bool {
        let count = |result| self.caller.metric("config_reloads_total", &[("result", result)]);
        let (taken, refused) = (count("ok"), count("failed"));
        self.send_reload();
        retry(|| match (count("ok") - taken, count("failed") - refused) {
            (0.0, 0.0) => Err("no reload is done".to_owned()),
            (taken, _) => Ok(taken > 0.0),
        })
    }

    /// Where the configuration lies.
    pub(crate) fn configuration(&self) -> &std::path::Path {
        &self.path
    }

    /// A configuration for commands that ask the running service: it names the port that the service found for itself.
    pub(crate) fn operator_configuration(&self) -> PathBuf {
        let text = std::fs::read_to_string(&self.path).unwrap();
        let address = |admin: &dyn std::fmt::Display| format!("admin_listen = \"{admin}\"");
        let path = self.path.with_file_name("operator.toml");
        std::fs::write(&path, text.replace(&address(&"127.0.0.1:0"), &address(&self.caller.admin))).unwrap();
        path
    }

    /// Orders the end, and does not wait for it.
    pub(crate) fn start_shutdown(&self) {
        match &self.running {
            // A process that has ended accepts no more commands.
            Running::Inside { control_messages, .. } => drop(control_messages.send(ControlMessage::Shutdown)),
            Running::Program(program) => program.signal("TERM"),
        }
    }

    /// Restarts the program with the same configuration and directories. A running one is killed.
    pub(crate) fn start_again(&mut self) {
        if let Running::Program(program) = &mut self.running {
            program.kill();
        }
        let program = Program::spawn(&self.path, &self.setup.environment);
        let (listen, admin) = program.addresses();
        self.running = Running::Program(program);
        self.caller = Arc::new(Caller::new(listen, admin, self.setup.applications.clone()));
    }

    /// Shuts the bridge down as SIGTERM would. Returns true if everything was confirmed (exit code 0).
    pub(crate) fn end(&mut self) -> bool {
        self.start_shutdown();
        match &mut self.running {
            Running::Inside { thread, .. } => thread.take().is_none_or(|thread| thread.join().unwrap()),
            Running::Program(program) => program.wait() == Some(0),
        }
    }

    /// Fails where anything was published, or is still on its way: no callback is worked on, the outbox holds no event
    /// (it keeps each until the broker's report on its last record), none was ever confirmed, and no topic has a
    /// record.
    pub(crate) fn has_published_nothing(&self) {
        for busy in ["callbacks_in_flight", "events_in_flight"] {
            self.wait_metric(busy, &[], 0.0);
        }
        assert_eq!(self.metric("events_published_total", &[]), 0.0);
        let records = self.records();
        assert!(records.is_empty(), "{} records were published: {records:?}", records.len());
    }

    fn wait_until_ready(&self) {
        retry(|| match self.caller.admin("/readyz") {
            reply if reply.status == 200 => Ok(()),
            reply => Err(reply.text().to_owned()),
        });
    }
}

impl Drop for TestBridge {
    fn drop(&mut self) {
        // Not waited for: what a test has left in the producer may take its whole time.
        if let Running::Inside { control_messages, thread: Some(_) } = &self.running {
            let _ = control_messages.send(ControlMessage::Shutdown);
        }
    }
}
