//! The server as its users run it: the real program with a configuration file, watched from outside.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use idaas_bridge::simulate::keys_dir;
use idaas_bridge::simulate::material::Material;

/// A running server; killed when dropped.
pub(crate) struct Server {
    child: Child,
    directory: PathBuf,
    pub(crate) callbacks: Target,
}

/// Where callbacks go.
#[derive(Clone, Copy)]
pub(crate) struct Target {
    pub(crate) address: SocketAddr,
}

impl Server {
    pub(crate) fn start(bootstrap_servers: &str, material: &Material) -> Self {
        let directory = std::env::temp_dir().join(format!("idaas-bridge-bench-{}", std::process::id()));
        keys_dir::init(&directory, material).expect("a directory of keys");
        let (callbacks, admin) = (free(), free());
        let file = directory.join(keys_dir::CONFIGURATION);
        let text = std::fs::read_to_string(&file).expect("the configuration");
        let text = text
            .replace("127.0.0.1:8080", &callbacks.to_string())
            .replace("127.0.0.1:9090", &admin.to_string())
            .replace("localhost:9092", bootstrap_servers);
        std::fs::write(&file, text).expect("the configuration");
        let child = Command::new(env!("CARGO_BIN_EXE_idaas-bridge"))
            .args(["serve", "--config"])
            .arg(&file)
            .stderr(Stdio::null())
            .spawn()
            .expect("the server");
        let server = Self { child, directory, callbacks: Target { address: callbacks } };
        while !ready(admin) {
            std::thread::sleep(Duration::from_millis(50));
        }
        server
    }

    /// The processor time that the process has used, user and system.
    pub(crate) fn cpu(&self) -> Duration {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id())).expect("its statistics");
        let fields: Vec<&str> = stat.rsplit(')').next().expect("fields").split_whitespace().collect();
        let ticks: u64 = fields[11].parse::<u64>().expect("ticks") + fields[12].parse::<u64>().expect("ticks");
        // A tick is a hundredth of a second on every Linux that Rust runs on.
        Duration::from_millis(ticks * 10)
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

fn ready(admin: SocketAddr) -> bool {
    use std::io::{Read, Write};
    let Ok(mut stream) = TcpStream::connect(admin) else { return false };
    let _ = stream.write_all(b"GET /readyz HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n");
    let mut answer = String::new();
    let _ = stream.read_to_string(&mut answer);
    answer.starts_with("HTTP/1.1 200")
}
