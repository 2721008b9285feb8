//! `simulate`: writes the keys of a simulated instance, and sends events as IDaaS does.

mod directory;
mod screen;
mod send;
pub mod show;

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use idaas_simulator::key_files;
use idaas_simulator::tenant_keys::TenantKeys;

use self::directory::DirectoryArguments;
pub use self::send::SendArguments;
use super::{Exit, output};

/// Simulate IDaaS for tests and staging: create keys and a configuration, send events, check the responses
#[derive(Debug, Args)]
#[command(
    after_help = "Example, on one machine with a Kafka on localhost:9092:\n  idaas-bridge simulate init staging\n  \
    idaas-bridge serve --config staging/bridge.toml\n  \
    idaas-bridge simulate send --to http://127.0.0.1:8080 --keys staging\n\n\
    Kafka elsewhere: change kafka.bootstrap_servers in staging/bridge.toml."
)]
pub struct SimulateArguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Write keys, an admin token and a matching bridge.toml, for tests and staging; overwrite nothing
    #[command(after_help = "Example:\n  idaas-bridge simulate init staging\n  \
        idaas-bridge serve --config staging/bridge.toml")]
    Init {
        /// Directory; created if it does not exist
        directory: PathBuf,
        /// Number of applications in bridge.toml; they share the keys
        #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=5000))]
        applications: u16,
    },
    /// Simulate IDaaS: sign, encrypt and send events, and check the responses
    #[command(after_help = "Examples:\n  \
        One event of every type:\n    \
        idaas-bridge simulate send --to http://127.0.0.1:8080 --keys staging\n  \
        A forgery, which must be refused:\n    \
        idaas-bridge simulate send --to http://127.0.0.1:8080 --keys staging --fault wrong-key --count 1\n  \
        500 user events a second for a minute:\n    \
        idaas-bridge simulate send --to http://127.0.0.1:8080 --keys staging --type user:update_info --count 30000 \
        --rate 500\n  \
        A callback to inspect, or to send with another tool:\n    \
        idaas-bridge simulate send --print --count 1 --keys staging \\\n      \
        | idaas-bridge inspect --config staging/bridge.toml -\n    \
        idaas-bridge simulate send --print --count 1 --keys staging \\\n      \
        | curl --data-binary @- http://127.0.0.1:8080/callbacks/workforce\n\n\
        Exit code: 0 all verdicts are as expected, 1 a verdict is not, 2 the arguments or the directory are wrong.")]
    Send(SendArguments),
    Directory(DirectoryArguments),
}

/// Runs the command: results to `out`, progress and faults to `err`. Starts a runtime, so it must not be called from
/// within one.
pub fn run(arguments: &SimulateArguments, out: &mut dyn Write, err: &mut dyn Write) -> Exit {
    match execute(&arguments.command, out, err) {
        Ok(true) => Exit::Success,
        Ok(false) => Exit::Failed,
        Err(problem) => {
            // If this cannot be written either, only the exit code reports it.
            let _ = writeln!(err, "{}", output::error(problem));
            Exit::Misconfigured
        }
    }
}

/// Returns true if everything is as expected. The error describes what is wrong with the arguments.
fn execute(command: &Command, out: &mut dyn Write, err: &mut dyn Write) -> Result<bool, String> {
    match command {
        Command::Init { directory, applications } => init(directory, *applications, out),
        Command::Send(arguments) => send::send(arguments, out, err),
        Command::Directory(arguments) => directory::run(arguments, out),
    }
}

fn init(directory: &Path, applications: u16, out: &mut dyn Write) -> Result<bool, String> {
    let tenant_keys = TenantKeys::generate().map_err(|fault| fault.to_string())?;
    let files = key_files::init(directory, &tenant_keys, applications).map_err(|fault| fault.to_string())?;
    let (program, directory) = (output::program(), output::shell_word(&directory.to_string_lossy()));
    let mut write = || -> io::Result<()> {
        for file in &files {
            writeln!(out, "{}", file.display())?;
        }
        writeln!(out, "\nNext:\n  {program} serve --config {directory}/{}", key_files::CONFIGURATION)?;
        writeln!(out, "  {program} simulate send --to http://127.0.0.1:8080 --keys {directory}")?;
        writeln!(
            out,
            "\nThe console is at http://127.0.0.1:9464/; it asks for the token in {directory}/{}.",
            key_files::ADMIN_TOKEN
        )
    };
    Ok(write().is_ok())
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use idaas_simulator::kind::Kind;
    use idaas_simulator::test_bridge::{TestBridge, answer};
    use serde_json::Value;

    use super::*;
    use crate::terminal::without_styles;

    #[derive(Parser)]
    struct SimulateLine {
        #[command(flatten)]
        arguments: SimulateArguments,
    }

    /// Runs a command line. Returns the result and the standard output.
    fn simulate(line: &[&str]) -> (Result<bool, String>, String) {
        let line =
            SimulateLine::try_parse_from([&["simulate"], line].concat()).unwrap_or_else(|error| panic!("{error}"));
        let mut out = Vec::new();
        let result = execute(&line.arguments.command, &mut out, &mut io::sink());
        (result, without_styles(&String::from_utf8(out).unwrap()))
    }

    struct Setting {
        bridge: TestBridge,
        directory: tempfile::TempDir,
        _runtime: tokio::runtime::Runtime,
    }

    impl Setting {
        fn new() -> Self {
            let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
            let bridge = runtime.block_on(TestBridge::start(|_, ids| (200, answer(ids, &[]))));
            let directory = tempfile::tempdir().unwrap();
            key_files::init(directory.path(), bridge.sender.tenant_keys(), 1).unwrap();
            Self { bridge, directory, _runtime: runtime }
        }

        fn send(&self, more: &[&str]) -> (Result<bool, String>, String) {
            let keys = self.directory.path().to_str().unwrap();
            simulate(&[&["send", "--to", self.bridge.sender.target(), "--keys", keys], more].concat())
        }
    }

    #[test]
    fn without_types_one_event_of_each_is_sent_and_each_has_a_line() {
        let setting = Setting::new();
        let (result, out) = setting.send(&[]);
        assert_eq!(result, Ok(true), "{out}");
        assert_eq!(setting.bridge.requests().len(), Kind::ALL.len());
        for kind in Kind::ALL {
            assert!(out.contains(kind.name()), "{out}");
        }
        assert!(out.ends_with("all as expected\n"), "{out}");
    }

    #[test]
    fn a_verdict_that_is_not_the_expected_one_fails_the_command() {
        let (result, out) = Setting::new().send(&["--fault", "wrong-key", "--count", "1"]);
        assert_eq!(result, Ok(false));
        assert!(out.contains("expected 401 bad_signature"), "{out}");
    }

    #[test]
    fn many_events_are_summed_up_and_machines_get_json() {
        let setting = Setting::new();
        let many = ["--type", "user:create", "--count", "60", "--events-per-callback", "7"];
        let (result, out) = setting.send(&many);
        assert_eq!(result, Ok(true));
        assert!(out.contains("60 of 60 events settled in 9 callbacks") && !out.contains("evnt_"), "{out}");
        let (_, out) = setting.send(&[&many[..], &["--json"]].concat());
        let lines: Vec<Value> = out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(lines.len(), 61);
        assert_eq!(lines[60]["summary"]["verdicts"]["success"], 60);
    }

    #[test]
    fn data_is_the_biz_data_of_a_type_or_a_list_of_events() {
        let setting = Setting::new();
        let path = setting.directory.path().join("data.json");
        let file = path.to_str().unwrap();
        std::fs::write(&path, r#"{"userId":"user_me"}"#).unwrap();
        assert!(setting.send(&["--data", file]).0.unwrap_err().contains("--type"));
        assert_eq!(setting.send(&["--data", file, "--type", "user:delete"]).0, Ok(true));
        let item = setting.bridge.requests()[0].items[0].clone();
        assert_eq!((&item["bizId"], &item["bizData"]), (&"user_me".into(), &r#"{"userId":"user_me"}"#.into()));
        std::fs::write(&path, r#"[{"eventId":"evnt_a"},{"eventId":"evnt_b"}]"#).unwrap();
        assert_eq!(setting.send(&["--data", file, "--events-per-callback", "2"]).0, Ok(true));
        assert_eq!(setting.bridge.requests()[1].event_ids, ["evnt_a", "evnt_b"]);
        assert!(setting.send(&["--data", file, "--count", "3"]).0.unwrap_err().contains("as it is"));
    }

    #[test]
    fn init_writes_what_send_reads_and_never_overwrites() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("staging");
        let (result, out) = simulate(&["init", path.to_str().unwrap()]);
        assert_eq!(result, Ok(true));
        assert!(out.contains("signing.pem") && out.contains("simulate send"), "{out}");
        assert!(out.lines().last().unwrap().ends_with("staging/admin.token."), "{out}");
        assert!(key_files::load(&path, None).is_ok());
        assert!(simulate(&["init", path.to_str().unwrap()]).0.unwrap_err().contains("already"));
    }

    #[test]
    fn help_has_an_example_for_each_command() {
        use clap::CommandFactory;
        for command in SimulateLine::command().get_subcommands() {
            assert!(command.get_after_help().unwrap().to_string().contains("Example"), "{}", command.get_name());
        }
    }
}
