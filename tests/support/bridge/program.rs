//! The program as an operator runs it: its log lines, its signals, its exit code.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use parking_lot::{Condvar, Mutex};
use serde_json::Value;

use crate::support::http::RESPONSE_TIMEOUT;

type Lines = Arc<(Mutex<Vec<String>>, Condvar)>;

/// The running program. Dropping it kills it.
pub(crate) struct Program {
    child: Child,
    lines: Lines,
}

impl Program {
    pub(super) fn spawn(configuration: &Path, environment: &[(&str, PathBuf)]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_idaas-bridge"))
            .args(["serve", "--config"])
            .arg(configuration)
            .envs(environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let lines: Lines = Arc::default();
        let (stderr, collected) = (child.stderr.take().unwrap(), Arc::clone(&lines));
        std::thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                collected.0.lock().push(line);
                collected.1.notify_all();
            }
        });
        Self { child, lines }
    }

    /// Where it listens, as its first line says.
    pub(super) fn addresses(&self) -> (SocketAddr, SocketAddr) {
        let line = self.wait_for(|line| line["listen"].is_string());
        let address = |name: &str| line[name].as_str().and_then(|text| text.parse().ok()).unwrap();
        (address("listen"), address("admin_listen"))
    }

    /// The first log line that fits, as soon as it is there.
    pub(crate) fn wait_for(&self, fits: impl Fn(&Value) -> bool) -> Value {
        let (lines, more) = &*self.lines;
        let mut lines = lines.lock();
        loop {
            let found = lines.iter().filter_map(|line| serde_json::from_str(line).ok()).find(&fits);
            if let Some(found) = found {
                return found;
            }
            assert!(!more.wait_for(&mut lines, RESPONSE_TIMEOUT).timed_out(), "no such line in:\n{}", lines.join("\n"));
        }
    }

    /// All that was logged so far.
    pub(crate) fn log(&self) -> String {
        self.lines.0.lock().join("\n")
    }

    /// The most memory that it has had so far, in bytes.
    pub(crate) fn peak_memory(&self) -> usize {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB")).unwrap();
        peak.parse::<usize>().unwrap() << 10
    }

    /// Sends a signal, as `TERM`.
    pub(crate) fn signal(&self, name: &str) {
        let sent = Command::new("sh").args(["-c", &format!("kill -s {name} {}", self.child.id())]).status().unwrap();
        assert!(sent.success(), "SIG{name}");
    }

    /// Ends it as SIGKILL does, at once.
    pub(crate) fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Waits for the exit. Returns `None` if a signal ended the process.
    pub(crate) fn wait(&mut self) -> Option<i32> {
        self.child.wait().unwrap().code()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
