//! `idaas-bridge materialize` as a process.

use std::fs::File;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crate::support::real_kafka::free_ports;
use crate::support::records::retry;

/// A configuration and the directories of its instances.
pub(super) struct Deployment {
    directory: tempfile::TempDir,
    pub(super) bootstrap_servers: String,
    pub(super) prefix: String,
    instances: AtomicUsize,
}

impl Deployment {
    pub(super) fn new(bootstrap_servers: &str, prefix: &str, partitions: i32, replication: i32) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/foreign/jwcrypto");
        let servers: Vec<_> = bootstrap_servers.split(',').collect();
        let text = format!(
            "[kafka]\nbootstrap_servers = {servers:?}\n[kafka.properties]\n\"session.timeout.ms\" = 6000\n\
             [topics]\nprefix = {prefix:?}\npartitions = {partitions}\nreplication_factor = {replication}\n\
             [journal]\ndirectory = \"journal\"\nkeys = [{:?}]\n[state]\ngroup_id = \"{prefix}-materialize\"\n\
             [[application]]\nname = \"workforce\"\nid = \"app_1\"\njwks = {{ file = {:?} }}\n\
             decryption_keys = [{{ file = {:?} }}]\n",
            "ab".repeat(32),
            fixtures.join("jwks.json"),
            fixtures.join("encryption.key"),
        );
        std::fs::write(directory.path().join("bridge.toml"), text).unwrap();
        Self {
            directory,
            bootstrap_servers: bootstrap_servers.to_owned(),
            prefix: prefix.to_owned(),
            instances: AtomicUsize::new(0),
        }
    }

    fn config(&self) -> PathBuf {
        self.directory.path().join("bridge.toml")
    }

    /// Creates the state topics as an operator does. The other topics are created as well.
    pub(super) fn create_topics(&self) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_idaas-bridge"));
        let output = command.args(["topics", "--create", "--config"]).arg(self.config()).output().unwrap();
        let out = String::from_utf8(output.stdout).unwrap();
        assert!(out.contains(&format!("{}.organizational-unit.state.v1", self.prefix)), "{out}");
        let errors = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(0), "{out}{errors}");
    }

    /// Runs a command of the program with this configuration. Returns its exit code and what it printed.
    pub(super) fn run(&self, arguments: &[&str]) -> (Option<i32>, String) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_idaas-bridge"));
        let output = command.args(arguments).arg("--config").arg(self.config()).output().unwrap();
        (output.status.code(), String::from_utf8(output.stdout).unwrap())
    }

    /// Starts another instance, with a directory of its own.
    pub(super) fn start(&self) -> Instance {
        let number = self.instances.fetch_add(1, Ordering::Relaxed);
        let [port] = free_ports(1)[..] else { panic!("no port") };
        let mut instance = Instance {
            config: self.config(),
            directory: self.directory.path().join(format!("state-{number}")),
            log: self.directory.path().join(format!("state-{number}.log")),
            admin: SocketAddr::from(([127, 0, 0, 1], port)),
            child: None,
        };
        instance.start_again();
        instance
    }
}

/// A running or killed instance. Its drop kills it.
pub(super) struct Instance {
    config: PathBuf,
    directory: PathBuf,
    log: PathBuf,
    admin: SocketAddr,
    child: Option<Child>,
}

impl Instance {
    pub(super) fn start_again(&mut self) {
        let log = File::options().create(true).append(true).open(&self.log).unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_idaas-bridge"))
            .args(["materialize", "--config"])
            .arg(&self.config)
            .env("IDAAS_BRIDGE_STATE__DIRECTORY", &self.directory)
            .env("IDAAS_BRIDGE_STATE__ADMIN_LISTEN", self.admin.to_string())
            .stdin(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        self.child = Some(child);
        retry(|| TcpStream::connect(self.admin).map(drop).map_err(|error| error.to_string()));
    }

    pub(super) fn started_again(mut self) -> Self {
        self.start_again();
        self
    }

    pub(super) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    pub(super) fn signal(&self, name: &str) {
        let id = self.child.as_ref().unwrap().id().to_string();
        assert!(Command::new("kill").args(["-s", name, &id]).status().unwrap().success());
    }

    /// Ends the instance in an orderly way. Returns its exit code.
    pub(super) fn stop(mut self) -> Option<i32> {
        self.end()
    }

    /// The same. The instance can be started again.
    pub(super) fn end(&mut self) -> Option<i32> {
        self.signal("TERM");
        self.child.take().unwrap().wait().unwrap().code()
    }

    /// Ends the instance and deletes its working state.
    pub(super) fn delete_store_and_stop(&self) {
        self.signal("TERM");
        retry(|| match TcpStream::connect(self.admin) {
            Ok(_) => Err("still there".to_owned()),
            Err(_) => Ok(()),
        });
        // The lock is free only when the process has ended.
        let lock = File::options().create(true).append(true).open(self.directory.join("state.lock")).unwrap();
        lock.lock().unwrap();
        std::fs::remove_dir_all(&self.directory).unwrap();
    }

    /// Status and body of a page.
    pub(super) fn get(&self, path: &str) -> (u16, String) {
        retry(|| {
            let failed = |error: std::io::Error| error.to_string();
            let mut stream = TcpStream::connect(self.admin).map_err(failed)?;
            stream.set_read_timeout(Some(Duration::from_secs(5))).map_err(failed)?;
            write!(stream, "GET {path} HTTP/1.1\r\nHost: state\r\nConnection: close\r\n\r\n").map_err(failed)?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer).map_err(failed)?;
            let (head, body) = answer.split_once("\r\n\r\n").ok_or("no answer")?;
            let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).ok_or("no status")?;
            Ok((status, body.to_owned()))
        })
    }

    /// The most memory that it has had so far, in bytes.
    pub(super) fn peak_memory(&self) -> usize {
        let id = self.child.as_ref().unwrap().id();
        let status = std::fs::read_to_string(format!("/proc/{id}/status")).unwrap();
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB")).unwrap();
        peak.parse::<usize>().unwrap() << 10
    }

    /// The size of the working state on disk, in bytes.
    pub(super) fn store_size(&self) -> u64 {
        std::fs::read_dir(&self.directory).unwrap().map(|file| file.unwrap().metadata().unwrap().len()).sum()
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            let log = std::fs::read_to_string(&self.log).unwrap_or_default();
            let tail: Vec<_> = log.lines().rev().take(60).collect();
            let tail: Vec<_> = tail.into_iter().rev().collect();
            let _ = writeln!(std::io::stderr(), "--- {}:\n{}", self.log.display(), tail.join("\n"));
        }
    }
}
