//! The bridge as an operator runs it: the program with a configuration file on a disk, killed, ended and started again
//! on the same addresses.

use std::fs::File;
use std::io::Write;
use std::net::SocketAddr;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use idaas_simulator::tenant_keys::TenantKeys;

use super::watch::Watch;
use crate::support::real_kafka::free_ports;

/// A bridge that does not come up in this time never will.
const UP: Duration = Duration::from_secs(60);

/// What the configuration says beyond what never changes.
#[derive(Clone)]
pub(crate) struct Choices {
    /// The journal's directory, if it is not the default.
    pub(crate) journal: Option<PathBuf>,
    /// In bytes, for every file that the bridge writes.
    pub(crate) largest_file: Option<u64>,
    /// Whether the second decryption key is in the configuration.
    pub(crate) next_key: bool,
}

/// The bridge. Dropping it kills it.
pub(crate) struct Service {
    pub(crate) choices: Choices,
    pub(crate) listen: SocketAddr,
    pub(crate) watch: Watch,
    bootstrap_servers: String,
    jwks: String,
    tenant_keys: [Arc<TenantKeys>; 2],
    directory: tempfile::TempDir,
    process: Option<Child>,
}

impl Service {
    /// Writes the files of a bridge whose second key is not yet configured; starts nothing.
    pub(crate) fn new(bootstrap_servers: &str, jwks: &str, tenant_keys: [Arc<TenantKeys>; 2]) -> Self {
        // Not the system's directory for temporary files, which may be kept in memory: a journal belongs on a disk.
        let directory = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let ports = free_ports(2);
        let address = |port| SocketAddr::from(([127, 0, 0, 1], port));
        for (name, tenant_keys) in ["current.key", "next.key"].into_iter().zip(&tenant_keys) {
            std::fs::write(directory.path().join(name), tenant_keys.encryption_key().as_bytes()).unwrap();
        }
        std::fs::write(directory.path().join("journal.key"), super::super::bridge::JOURNAL_KEY).unwrap();
        Self {
            choices: Choices { journal: None, largest_file: None, next_key: false },
            listen: address(ports[0]),
            watch: Watch { admin: address(ports[1]), process: Arc::default() },
            bootstrap_servers: bootstrap_servers.to_owned(),
            jwks: jwks.to_owned(),
            tenant_keys,
            directory,
            process: None,
        }
    }

    /// Starts the program, and returns when it listens: what a supervisor does after its end.
    pub(crate) fn start(&mut self) {
        assert!(self.process.is_none(), "it runs already");
        self.write_configuration();
        let log = File::options().create(true).append(true).open(self.log()).unwrap();
        let mut command = Command::new("sh");
        // Beyond the limit a write must fail, as on a full disk; without the trap it would end the process.
        let limit = self
            .choices
            .largest_file
            .map_or(String::new(), |bytes| format!("trap '' XFSZ; ulimit -f {}; ", bytes / 512));
        command.args(["-c", &format!("{limit}exec \"$0\" \"$@\"")]).arg(env!("CARGO_BIN_EXE_idaas-bridge"));
        command.args(["serve", "--config"]).arg(self.configuration());
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        let process = command.spawn().unwrap();
        // The shell becomes the program, and keeps its id.
        self.watch.process.store(process.id(), Ordering::Relaxed);
        self.process = Some(process);
        self.until(|service| service.watch.ask("/livez").is_some());
    }

    /// Waits until it says that it is ready.
    pub(crate) fn until_ready(&mut self) {
        self.until(|service| service.watch.ask("/readyz").is_some());
    }

    fn until(&mut self, holds: impl Fn(&Self) -> bool) {
        let began = Instant::now();
        while !holds(self) {
            let ended = self.process.as_mut().expect("it was started").try_wait().unwrap();
            assert!(ended.is_none(), "the bridge ended ({ended:?}):\n{}", self.log_tail());
            assert!(began.elapsed() < UP, "the bridge does not come up:\n{}", self.log_tail());
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// SIGKILL. Returns when the process is gone.
    pub(crate) fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            let _ = process.kill();
            let _ = process.wait();
        }
    }

    /// SIGTERM, and waits for the end. Returns the exit code; fails where a signal ended it.
    pub(crate) fn terminate(&mut self) -> i32 {
        self.signal("TERM");
        let status = self.process.take().expect("it was started").wait().unwrap();
        status.code().unwrap_or_else(|| panic!("ended by signal {:?}:\n{}", status.signal(), self.log_tail()))
    }

    /// SIGTERM, and once more as soon as it drains: an operator who does not wait. Returns when the process is gone.
    pub(crate) fn terminate_impatiently(&mut self) {
        self.signal("TERM");
        // It may be gone already; a signal to what is not waited for yet does no harm.
        while self.watch.metric("draining") == Some(0.0) {
            std::thread::sleep(Duration::from_millis(10));
        }
        self.signal("TERM");
        let status = self.process.take().expect("it was started").wait().unwrap();
        assert!(status.code().is_some(), "ended by signal {:?}:\n{}", status.signal(), self.log_tail());
    }

    /// Writes the configuration as it is chosen now, and orders a reload (SIGHUP).
    pub(crate) fn reload(&self) {
        self.write_configuration();
        self.signal("HUP");
    }

    fn signal(&self, name: &str) {
        // The shell's own `kill`: small systems have no program of that name.
        let process = self.watch.process.load(Ordering::Relaxed);
        let sent = Command::new("sh").args(["-c", &format!("kill -s {name} {process}")]).status().unwrap();
        assert!(sent.success(), "SIG{name}");
    }

    /// The end of what it logged in all its lives.
    pub(crate) fn log_tail(&self) -> String {
        let log = std::fs::read_to_string(self.log()).unwrap_or_default();
        let lines: Vec<_> = log.lines().collect();
        lines[lines.len().saturating_sub(40)..].join("\n")
    }

    fn log(&self) -> PathBuf {
        self.directory.path().join("bridge.log")
    }

    fn configuration(&self) -> PathBuf {
        self.directory.path().join("bridge.toml")
    }

    fn write_configuration(&self) {
        let servers: Vec<_> = self.bootstrap_servers.split(',').map(|server| format!("{server:?}")).collect();
        let identity = &self.tenant_keys[0].identity;
        let journal = self.choices.journal.as_deref().unwrap_or(Path::new("journal"));
        let keys: &[_] = if self.choices.next_key { &["current.key", "next.key"] } else { &["current.key"] };
        let keys: Vec<_> = keys.iter().map(|file| format!("{{ file = {file:?} }}")).collect();
        let text = format!(
            "[server]\nlisten = \"{}\"\nadmin_listen = \"{}\"\n\
             [kafka]\nbootstrap_servers = [{}]\n[topics]\nprefix = {:?}\npartitions = {}\n\
             [journal]\ndirectory = {journal:?}\nkeys = [{{ file = \"journal.key\" }}]\n\
             [[application]]\nname = {:?}\nid = {:?}\ninstance_id = {:?}\njwks = {:?}\ndecryption_keys = [{}]\n",
            self.listen,
            self.watch.admin,
            servers.join(", "),
            super::PREFIX,
            super::PARTITIONS,
            identity.application,
            identity.application_id,
            identity.instance_id,
            self.jwks,
            keys.join(", "),
        );
        // A reload must never read half a file.
        let new = self.configuration().with_extension("new");
        File::create(&new).unwrap().write_all(text.as_bytes()).unwrap();
        std::fs::rename(new, self.configuration()).unwrap();
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.kill();
    }
}
