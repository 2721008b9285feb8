//! A simulated directory, topics on a real Kafka, and the program that reads the one and fills the other.

use std::collections::BTreeSet;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use idaas_directory_simulator::{Options, Server, Simulator};
use rdkafka::ClientConfig;
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use serde_json::{Value, json};

use crate::support::command::{Running, Shown};
use crate::support::conformance::assert_conforms;
use crate::support::real_kafka::RealKafka;
use crate::support::records::{Seen, Until, consume_all, read_committed};

/// The entities of a directory, as topics name them.
pub(super) const ENTITIES: [&str; 3] = ["user", "organizational-unit", "group"];

/// No test should wait for as long.
const GIVE_UP: Duration = Duration::from_secs(120);

pub(super) fn wait_until(what: &str, mut is_true: impl FnMut() -> bool) {
    let end = Instant::now() + GIVE_UP;
    while !is_true() {
        assert!(Instant::now() < end, "{what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

pub(super) struct Environment {
    pub(super) server: Server,
    pub(super) config: String,
    pub(super) directory: tempfile::TempDir,
    pub(super) prefix: String,
    bootstrap_servers: String,
}

impl Environment {
    /// A directory with these options and empty event topics `<prefix>.…`.
    pub(super) fn new(kafka: &RealKafka, prefix: &str, options: Options, rate: u32) -> Self {
        Self::create_topics(kafka, prefix);
        Self::without_topics(kafka.bootstrap_servers(), prefix, options, rate)
    }

    pub(super) fn create_topics(kafka: &RealKafka, prefix: &str) {
        for entity in ENTITIES.into_iter().chain(["dead-letter", "connectivity", "unclassified"]) {
            kafka.create_topic(&format!("{prefix}.{entity}.v1"), 3, 1, &[]);
        }
    }

    pub(super) fn without_topics(bootstrap_servers: &str, prefix: &str, options: Options, rate: u32) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let server = Server::start(listener, Simulator::new(options)).unwrap();
        let Options { instance_id, application_id, client_secret, .. } = server.simulator().options();
        std::fs::write(directory.path().join("client.secret"), client_secret).unwrap();
        std::fs::write(directory.path().join("journal.key"), "ab".repeat(32)).unwrap();
        let fixture = |file: &str| format!("{}/tests/fixtures/foreign/jwcrypto/{file}", env!("CARGO_MANIFEST_DIR"));
        let servers: Vec<_> = bootstrap_servers.split(',').collect();
        let text = format!(
            "[server]\nlisten = \"127.0.0.1:0\"\nadmin_listen = \"127.0.0.1:0\"\n\
             [kafka]\nbootstrap_servers = {servers:?}\n[topics]\nprefix = {prefix:?}\npartitions = 3\n\
             replication_factor = 1\n[journal]\ndirectory = \"journal\"\nkeys = [{{ file = \"journal.key\" }}]\n\
             [[application]]\nname = \"workforce\"\nid = {application_id:?}\ninstance_id = {instance_id:?}\n\
             jwks = {{ file = {jwks:?} }}\ndecryption_keys = [{{ file = {key:?} }}]\n\
             [application.fetch]\nendpoint = {endpoint:?}\nclient_secret = {{ file = \"client.secret\" }}\n\
             requests_per_second = {rate}\n",
            jwks = fixture("jwks.json"),
            key = fixture("encryption.key"),
            endpoint = server.endpoint(),
        );
        let path = directory.path().join("bridge.toml");
        std::fs::write(&path, text).unwrap();
        let config = path.display().to_string();
        Self { server, config, directory, prefix: prefix.to_owned(), bootstrap_servers: bootstrap_servers.to_owned() }
    }

    pub(super) fn simulator(&self) -> &Simulator {
        self.server.simulator()
    }

    pub(super) fn topic(&self, entity: &str) -> String {
        format!("{}.{entity}.v1", self.prefix)
    }

    fn command(&self, command: &str, arguments: &[&str]) -> Command {
        let mut program = Command::new(env!("CARGO_BIN_EXE_idaas-bridge"));
        program.args([command, "--config", &self.config]).args(arguments).stdin(Stdio::null());
        program
    }

    /// Runs `fetch` to its end.
    pub(super) fn fetch(&self, arguments: &[&str]) -> Shown {
        self.run("fetch", arguments)
    }

    /// Runs a command to its end.
    pub(super) fn run(&self, command: &str, arguments: &[&str]) -> Shown {
        let output = self.command(command, arguments).output().unwrap();
        let shown = Shown::of(output);
        let secret = &self.simulator().options().client_secret;
        assert!(!shown.out.contains(secret) && !shown.err.contains(secret), "the client secret was shown");
        assert_eq!(self.simulator().secrets_in_urls(), 0);
        shown
    }

    /// Starts `fetch`.
    pub(super) fn start(&self, arguments: &[&str]) -> Running {
        Running::start(self.command("fetch", arguments))
    }

    /// The summary of a run that succeeds.
    pub(super) fn summary(&self, arguments: &[&str]) -> Value {
        let shown = self.fetch(&[arguments, &["--json"]].concat());
        assert_eq!(shown.code, 0, "{}{}", shown.out, shown.err);
        serde_json::from_str(&shown.out).unwrap()
    }

    /// The records on an entity's topic, each of which keeps to the contract.
    pub(super) fn records(&self, entity: &str) -> Vec<Seen> {
        let records = self.read(entity);
        for record in &records {
            assert_conforms(&record.headers, record.key.as_deref(), &record.value, &record.topic);
        }
        records
    }

    fn read(&self, entity: &str) -> Vec<Seen> {
        consume_all(&self.bootstrap_servers, &[&self.topic(entity)], Until::HighWatermarks)
    }

    /// The keys on an entity's topic whose records have this action, sorted.
    pub(super) fn keys(&self, entity: &str, action: &str) -> Vec<String> {
        keys(&self.records(entity), entity, action)
    }

    /// The same for many records, which are not compared with the contract.
    pub(super) fn published(&self, entity: &str, action: &str) -> Vec<String> {
        keys(&self.read(entity), entity, action)
    }

    /// Creates the state topics and starts `materialize`.
    pub(super) fn materialize(&self) -> Background {
        let text = std::fs::read_to_string(&self.config).unwrap();
        std::fs::write(&self.config, format!("{text}[state]\ndirectory = \"state\"\n")).unwrap();
        let created = self.run("topics", &["--create"]);
        assert_eq!(created.code, 0, "{}{}", created.out, created.err);
        let log = std::fs::File::create(self.directory.path().join("materialize.log")).unwrap();
        let mut command = self.command("materialize", &[]);
        Background(command.stdout(Stdio::null()).stderr(log).spawn().unwrap())
    }

    /// The ids of the entities that have a state, sorted.
    pub(super) fn states(&self, entity: &str) -> Vec<String> {
        let topic = format!("{}.{entity}.state.v1", self.prefix);
        let mut ids = BTreeSet::new();
        for seen in read_committed(&self.bootstrap_servers, &topic).into_values().flatten() {
            let id = String::from_utf8(seen.key.unwrap()).unwrap();
            let _ = if seen.value.is_empty() { ids.remove(&id) } else { ids.insert(id) };
        }
        ids.into_iter().collect()
    }

    /// Creates the state topics and writes the states of these entities: kind, id and fields.
    pub(super) fn write_states(&self, kafka: &RealKafka, states: &[(&str, String, Value)]) {
        for entity in ENTITIES {
            let name = format!("{}.{entity}.state.v1", self.prefix);
            kafka.create_topic(&name, 3, 1, &[("cleanup.policy", "compact")]);
        }
        let producer: BaseProducer =
            ClientConfig::new().set("bootstrap.servers", &self.bootstrap_servers).create().unwrap();
        for (entity, id, fields) in states {
            let topic = format!("{}.{entity}.state.v1", self.prefix);
            let headers = OwnedHeaders::new().insert(Header { key: "ce_subject", value: Some(id) });
            let record = BaseRecord::<str, [u8]>::to(&topic).key(id).headers(headers);
            let value = self.state(entity, id, fields).to_string();
            let record = if fields.is_null() { record } else { record.payload(value.as_bytes()) };
            producer.send(record).map_err(|(error, _)| error).unwrap();
        }
        producer.flush(std::time::Duration::from_secs(30)).unwrap();
    }

    fn state(&self, entity: &str, id: &str, fields: &Value) -> Value {
        let Options { instance_id, application_id, .. } = self.simulator().options();
        let member = if entity == "organizational-unit" { "organizationalUnit" } else { entity };
        let mut fields = fields.clone();
        let application = fields.get("applicationId").cloned().unwrap_or_else(|| json!(application_id));
        if let Some(fields) = fields.as_object_mut() {
            fields.remove("applicationId");
            fields.insert("id".to_owned(), json!(id));
        }
        json!({
            "schemaVersion": "1.0", member: fields,
            "state": {
                "lastEventId": "evnt_1", "lastEventType": "urn:alibaba:idaas:app:event:ud:user:push",
                "lastEventTime": "2026-01-01T00:00:00.000Z", "lastAction": "snapshot",
                "applicationId": application, "instanceId": instance_id,
            },
        })
    }
}

fn keys(records: &[Seen], entity: &str, action: &str) -> Vec<String> {
    let kind = format!("com.alibabacloud.idaas.{entity}.{action}.v1");
    let records = records.iter().filter(|record| record.header("ce_type") == Some(&kind));
    let mut keys: Vec<_> = records.map(|record| String::from_utf8(record.key.clone().unwrap()).unwrap()).collect();
    keys.sort_unstable();
    keys
}

/// A process that runs beside the others. Dropping it kills it.
pub(super) struct Background(Child);

impl Drop for Background {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}
