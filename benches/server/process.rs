//! The server as its users run it: the real program with a configuration file, watched from outside.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use idaas_simulator::key_files;
use idaas_simulator::tenant_keys::TenantKeys;

/// A running server; killed when dropped.
pub(crate) struct Server {
    child: Child,
    program: PathBuf,
    directory: PathBuf,
    /// The prefix of its topics.
    prefix: &'static str,
    admin: SocketAddr,
    pub(crate) callbacks: Target,
}

/// Where callbacks go.
#[derive(Clone, Copy)]
pub(crate) struct Target {
    pub(crate) address: SocketAddr,
}

impl Server {
    pub(crate) fn start(bootstrap_servers: &str, material: &TenantKeys) -> Self {
        let directory = directory("bench");
        key_files::init(&directory, material, 1).expect("a directory of keys");
        Self::launch(env!("CARGO_BIN_EXE_idaas-bridge").into(), directory, bootstrap_servers, "idaas")
    }

    /// Starts another build of the program, with the keys and the configuration that its own `simulate init` writes.
    pub(crate) fn start_other(program: &Path, bootstrap_servers: &str) -> (Self, TenantKeys) {
        let directory = directory("bench-other");
        let init = Command::new(program).args(["simulate", "init"]).arg(&directory).stdout(Stdio::null()).status();
        assert!(init.expect("the other program").success(), "simulate init of the other program");
        let material = key_files::load(&directory, None).expect("its keys");
        // It has its own topics. Otherwise the two programs would be replicas, and read each other's records.
        (Self::launch(program.to_owned(), directory, bootstrap_servers, "other"), material)
    }

    fn launch(program: PathBuf, directory: PathBuf, bootstrap_servers: &str, prefix: &'static str) -> Self {
        let (callbacks, admin) = (free(), free());
        let file = directory.join(key_files::CONFIGURATION);
        let text = std::fs::read_to_string(&file).expect("the configuration");
        // Earlier versions use port 9090 for the admin listener.
        let text = text
            .replace("127.0.0.1:8080", &callbacks.to_string())
            .replace("127.0.0.1:9464", &admin.to_string())
            .replace("127.0.0.1:9090", &admin.to_string())
            .replace("localhost:9092", bootstrap_servers)
            .replace("[journal]", "[journal]\nmax_size = \"16GiB\"");
        std::fs::write(&file, text).expect("the configuration");
        let child = spawn(&program, &file, prefix);
        let server = Self { child, program, directory, prefix, admin, callbacks: Target { address: callbacks } };
        while !ready(admin) {
            std::thread::sleep(Duration::from_millis(50));
        }
        server
    }

    /// Kills the program and starts it again with the same files. Returns the time until it is ready.
    pub(crate) fn start_again(&mut self) -> Duration {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let began = Instant::now();
        self.child = spawn(&self.program, &self.directory.join(key_files::CONFIGURATION), self.prefix);
        while !ready(self.admin) {
            std::thread::sleep(Duration::from_millis(20));
        }
        began.elapsed()
    }

    /// The sum of a metric's samples.
    pub(crate) fn metric(&self, name: &str) -> f64 {
        let text = get(self.admin, "/metrics");
        let samples = text.lines().filter_map(|line| line.strip_prefix("idaas_bridge_")?.strip_prefix(name));
        samples.filter_map(|rest| rest.rsplit(' ').next()?.parse::<f64>().ok()).sum()
    }

    /// Waits until a metric has the expected value.
    pub(crate) fn wait_metric(&self, name: &str, fits: impl Fn(f64) -> bool) {
        let began = Instant::now();
        while !fits(self.metric(name)) {
            assert!(began.elapsed() < Duration::from_secs(600), "{name} is {}", self.metric(name));
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// The processor time that the process's threads have used, user and system. `/proc/PID/stat` counts in hundredths
    /// of a second, which is some percent of what is measured; the scheduler counts in nanoseconds.
    pub(crate) fn cpu(&self) -> Duration {
        let threads = std::fs::read_dir(format!("/proc/{}/task", self.child.id())).expect("its threads");
        let used = threads.filter_map(|thread| {
            // A thread may have ended meanwhile.
            let statistics = std::fs::read_to_string(thread.ok()?.path().join("schedstat")).ok()?;
            statistics.split_whitespace().next()?.parse::<u64>().ok()
        });
        Duration::from_nanos(used.sum())
    }

    /// The memory that it occupies, in MiB.
    pub(crate) fn resident_mib(&self) -> f64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).expect("its status");
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("VmRSS");
        line.split_whitespace().nth(1).expect("a number").parse::<f64>().expect("a number") / 1024.0
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

fn free() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a free port")
}

fn directory(name: &str) -> PathBuf {
    std::env::temp_dir().join(format!("idaas-bridge-{name}-{}", std::process::id()))
}

fn spawn(program: &Path, configuration: &Path, prefix: &str) -> Child {
    Command::new(program)
        .args(["serve", "--config"])
        .arg(configuration)
        .env("IDAAS_BRIDGE_TOPICS__PREFIX", prefix)
        .stderr(Stdio::null())
        .spawn()
        .expect("the server")
}

fn ready(admin: SocketAddr) -> bool {
    get(admin, "/readyz").starts_with("HTTP/1.1 200")
}

fn get(admin: SocketAddr, path: &str) -> String {
    use std::io::{Read, Write};
    let mut answer = String::new();
    if let Ok(mut stream) = TcpStream::connect(admin) {
        let _ = write!(stream, "GET {path} HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n");
        let _ = stream.read_to_string(&mut answer);
    }
    answer
}
