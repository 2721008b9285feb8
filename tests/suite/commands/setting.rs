//! A directory with a configuration, and the program run in it.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};

use crate::support::command::{Running, Shown};

/// A configuration in a directory of its own.
pub(super) struct Setting {
    pub(super) config: String,
    _directory: tempfile::TempDir,
}

impl Setting {
    /// This text.
    pub(super) fn with(text: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("bridge.toml");
        std::fs::write(&path, text).unwrap();
        std::fs::write(directory.path().join("journal.key"), "ab".repeat(32)).unwrap();
        Self { config: path.display().to_string(), _directory: directory }
    }

    /// One that accepts the foreign fixtures of that folder.
    pub(super) fn foreign(library: &str, bootstrap_servers: &str) -> Self {
        Self::foreign_with(library, bootstrap_servers, "")
    }

    /// As [`Setting::foreign`], with more sections.
    pub(super) fn foreign_with(library: &str, bootstrap_servers: &str, more: &str) -> Self {
        let jwks = format!("{{ file = {:?} }}", fixture(library, "jwks.json"));
        Self::with(&text(library, bootstrap_servers, &jwks, more))
    }

    /// As [`Setting::foreign`], with public keys from elsewhere.
    pub(super) fn with_jwks(bootstrap_servers: &str, jwks: &str) -> Self {
        Self::with(&text("jwcrypto", bootstrap_servers, jwks, ""))
    }
}

fn text(library: &str, bootstrap_servers: &str, jwks: &str, more: &str) -> String {
    let servers: Vec<_> = bootstrap_servers.split(',').collect();
    let key = fixture(library, "encryption.key");
    format!(
        "[server]\nlisten = \"127.0.0.1:0\"\nadmin_listen = \"127.0.0.1:0\"\n\
         [journal]\ndirectory = \"journal\"\nkeys = [{{ file = \"journal.key\" }}]\n\
         [[application]]\nname = \"workforce\"\nid = \"app_foreignfixtures000000000000\"\n\
         instance_id = \"idaas_foreignfixtures0000000000\"\njwks = {jwks}\n\
         decryption_keys = [{{ file = {key:?} }}]\n[kafka]\nbootstrap_servers = {servers:?}\n{more}"
    )
}

/// The path of a foreign fixture.
pub(super) fn fixture(library: &str, file: &str) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/foreign");
    folder.join(library).join(file).display().to_string()
}

fn program(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_idaas-bridge"));
    command.args(arguments).stdin(Stdio::null());
    command
}

/// Runs the program to its end.
pub(super) fn run(arguments: &[&str]) -> Shown {
    Shown::of(program(arguments).output().unwrap())
}

/// Runs the program to its end, with this on its standard input.
pub(super) fn run_with(arguments: &[&str], input: &[u8]) -> Shown {
    let mut command = program(arguments);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(input).unwrap();
    Shown::of(child.wait_with_output().unwrap())
}

/// Starts the program.
pub(super) fn start(arguments: &[&str]) -> Running {
    Running::start(program(arguments))
}

/// Publishes a record of the form that the bridge publishes.
pub(super) fn publish(bootstrap_servers: &str, topic: &str, key: &str, id: &str) {
    let producer: BaseProducer = ClientConfig::new().set("bootstrap.servers", bootstrap_servers).create().unwrap();
    let value =
        format!(r#"{{"schemaVersion":"1.0","action":"updated","user":{{"id":"{key}","username":"zhangsan"}}}}"#);
    let headers = [
        ("content-type", "application/json"),
        ("ce_id", id),
        ("ce_type", "com.alibabacloud.idaas.user.updated.v1"),
        ("ce_subject", key),
    ];
    let headers = headers
        .iter()
        .fold(OwnedHeaders::new(), |headers, (key, value)| headers.insert(Header { key, value: Some(*value) }));
    producer.send(BaseRecord::to(topic).key(key).payload(&value).headers(headers)).map_err(|(error, _)| error).unwrap();
    producer.flush(Duration::from_secs(30)).unwrap();
}
