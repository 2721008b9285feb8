//! One Kafka process: its configuration, its life, its log.

use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

const LOG4J: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/kafka/log4j2.properties");

/// Starts `"$@"` with its output in the file `$0`, tells its process id, and kills it as soon as standard input closes,
/// which is when the test process ends, in whatever way. (A parent-death signal would come at the end of the *thread*
/// that started the node, and each test has its own.)
const KEEPER: &str = r#"
exec 3<&0
"$@" </dev/null >>"$0" 2>&1 3<&- &
java=$!
(read -r _ <&3; kill -KILL $java) >/dev/null 2>&1 &
watcher=$!
exec 3<&-
echo $java
wait $java
kill $watcher
"#;

pub(super) struct Node {
    /// 1, 2, 3: also Kafka's `node.id`.
    pub(super) id: usize,
    /// Of the plain listener.
    pub(super) port: u16,
    classpath: String,
    config: PathBuf,
    log: PathBuf,
    process: Option<Process>,
}

struct Process {
    keeper: Child,
    java: u32,
    paused: bool,
}

impl Node {
    /// Writes the node's configuration; starts nothing.
    pub(super) fn new(
        libraries: &Path,
        directory: &Path,
        id: usize,
        port: u16,
        properties: &[(String, String)],
    ) -> Self {
        let config = directory.join(format!("node-{id}.properties"));
        let lines: String = properties.iter().map(|(name, value)| format!("{name}={value}\n")).collect();
        let data = directory.join(format!("data-{id}"));
        std::fs::write(&config, format!("{lines}log.dirs={}\n", data.display())).unwrap();
        Self {
            id,
            port,
            classpath: format!("{}/*", libraries.display()),
            config,
            log: directory.join(format!("node-{id}.log")),
            process: None,
        }
    }

    /// A client can reach it: started, neither killed nor paused.
    pub(super) fn is_running(&self) -> bool {
        self.process.as_ref().is_some_and(|process| !process.paused)
    }

    /// Has a process, be it paused.
    pub(super) fn is_started(&self) -> bool {
        self.process.is_some()
    }

    pub(super) fn start(&mut self) {
        assert!(self.process.is_none(), "node {} runs already", self.id);
        let mut java = self.java(&["-Xms192m", "-Xmx384m"]);
        java.args(["kafka.Kafka"]).arg(&self.config);
        let mut keeper = Command::new("sh")
            .args(["-c", KEEPER])
            .arg(&self.log)
            .arg(java.get_program())
            .args(java.get_args())
            // A Ctrl-C at the terminal goes to the test process, and through it to the nodes.
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(keeper.stdout.take().unwrap()).read_line(&mut line).unwrap();
        self.process = Some(Process { keeper, java: line.trim().parse().unwrap(), paused: false });
    }

    /// Sends `KILL`, `STOP` or `CONT` to the process.
    pub(super) fn signal(&mut self, signal: &str) {
        let process = self.process.as_mut().unwrap_or_else(|| panic!("node {} does not run", self.id));
        let sent = Command::new("sh").args(["-c", &format!("kill -{signal} {}", process.java)]).status().unwrap();
        assert!(sent.success(), "SIG{signal} to node {}: {sent}", self.id);
        process.paused = signal == "STOP";
    }

    /// Kills the process and waits for its end. Does nothing where none runs.
    pub(super) fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            drop(process.keeper.stdin.take());
            let _ = process.keeper.wait();
        }
    }

    /// The end of the log, if the process has ended on its own.
    pub(super) fn ended(&mut self) -> Option<String> {
        let process = self.process.as_mut()?;
        process.keeper.try_wait().unwrap()?;
        Some(self.log_tail())
    }

    pub(super) fn log_tail(&self) -> String {
        let log = std::fs::read(&self.log).unwrap_or_default();
        let log = String::from_utf8_lossy(&log);
        let lines: Vec<_> = log.lines().collect();
        lines[lines.len().saturating_sub(60)..].join("\n")
    }

    fn java(&self, options: &[&str]) -> Command {
        let mut java = Command::new("java");
        java.args(options)
            // Half a second less to start, on this workload.
            .args(["-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"])
            .arg(format!("-Dlog4j2.configurationFile={LOG4J}"))
            .args(["-cp", &self.classpath]);
        java
    }
}

/// Formats the nodes' data directories, all at once, for one new cluster.
pub(super) fn format(nodes: &[Node], scram: Option<&str>) {
    // 16 random bytes in base64url, as `StorageTool random-uuid` makes them; that would cost a JVM's start.
    let cluster = base64::Engine::encode(&base64::engine::general_purpose::URL_SAFE_NO_PAD, uuid());
    let formatting: Vec<_> = nodes
        .iter()
        .map(|node| {
            let mut java = node.java(&[]);
            java.args(["kafka.tools.StorageTool", "format", "-t", &cluster, "-c"]).arg(&node.config);
            java.args(scram.into_iter().flat_map(|user| ["--add-scram", user]));
            java.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
        })
        .collect();
    for child in formatting {
        let output = child.wait_with_output().unwrap();
        let text = [output.stdout, output.stderr].concat();
        assert!(output.status.success(), "formatting a Kafka node: {}", String::from_utf8_lossy(&text));
    }
}

fn uuid() -> [u8; 16] {
    let mut bytes = [0; 16];
    openssl::rand::rand_bytes(&mut bytes).unwrap();
    // Kafka refuses ids that begin with a dash.
    bytes[0] &= 0x7f;
    bytes
}
