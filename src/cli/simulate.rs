//! The command `simulate`: writes the keys of a simulated instance, and sends events as IDaaS does.

mod directory;
mod screen;
pub mod show;

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::{Args, Subcommand};
use idaas_simulator::events::{Event, Generator};
use idaas_simulator::fault::Fault;
use idaas_simulator::key_files;
use idaas_simulator::kind::{EventType, Kind};
use idaas_simulator::payload::Form;
use idaas_simulator::redelivery::Schedule;
use idaas_simulator::run::{self, RunSettings, Source};
use idaas_simulator::sender::Sender;
use idaas_simulator::tenant_keys::TenantKeys;
use serde_json::Value;
use tokio::sync::mpsc::unbounded_channel;

use self::directory::DirectoryArguments;
use self::screen::{MAX_LISTED, Screen};
use super::{Exit, output};
use crate::counts::counted;

/// Play IDaaS, for tests and staging: make keys and a configuration, send events, judge the answers.
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
    /// Write keys and a matching bridge.toml, for tests and staging; overwrites nothing
    #[command(after_help = "Example:\n  idaas-bridge simulate init staging\n  \
        idaas-bridge serve --config staging/bridge.toml")]
    Init {
        /// The directory; made where it is missing
        directory: PathBuf,
        /// How many applications the bridge.toml has; they share the keys
        #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=5000))]
        applications: u16,
    },
    /// Play IDaaS: sign, encrypt and send events, and judge the answers
    #[command(after_help = "Examples:\n  \
        One event of every type:\n    idaas-bridge simulate send --to http://127.0.0.1:8080 --keys staging\n  \
        A forgery, which must be refused:\n    \
        idaas-bridge simulate send --to http://127.0.0.1:8080 --keys staging --fault wrong-key --count 1\n  \
        500 user events a second for a minute:\n    idaas-bridge simulate send --to http://127.0.0.1:8080 --keys \
        staging --type user:update_info --count 30000 --rate 500\n  \
        A callback to look at, or to send by other means:\n    \
        idaas-bridge simulate send --print --count 1 --keys staging \\\n      \
        | idaas-bridge inspect --config staging/bridge.toml -\n    \
        idaas-bridge simulate send --print --count 1 --keys staging \\\n      \
        | curl --data-binary @- http://127.0.0.1:8080/callbacks/workforce\n\n\
        Exit code: 0 all verdicts as expected, 1 not so, 2 the arguments or the directory are wrong.")]
    Send(SendArguments),
    Directory(DirectoryArguments),
}

/// Arguments of `simulate send`.
#[derive(Debug, Args)]
pub struct SendArguments {
    /// The bridge, http://HOST:PORT, or the whole URL of the callback (else /callbacks/APPLICATION is added)
    #[arg(long, value_name = "URL", required_unless_present = "print")]
    to: Option<String>,
    /// Print the bodies of the callbacks, one per line, instead of sending them
    #[arg(long, conflicts_with_all = ["to", "rate", "connections", "once", "json"])]
    print: bool,
    /// A directory that `simulate init` wrote
    #[arg(long, value_name = "DIR")]
    keys: PathBuf,
    /// The application in DIR/bridge.toml to send for [default: the first]
    #[arg(long, value_name = "NAME")]
    application: Option<String>,
    /// CA certificates (PEM) to trust besides the system's
    #[arg(long, value_name = "FILE")]
    ca_file: Option<PathBuf>,
    /// An event type: its URN, or its end (user:create); repeatable, sent in turn [default: every type]
    #[arg(long = "type", value_name = "T")]
    types: Vec<EventType>,
    /// JSON to send: an object is the bizData of every event; an array is the list of events (elements of eventData),
    /// sent as it is, once
    #[arg(long, value_name = "FILE")]
    data: Option<PathBuf>,
    /// How many events [default: one of each type]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,
    /// How many events in one callback
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..))]
    events_per_callback: u64,
    /// Events per second, whatever the bridge does; latency then counts from the intended time [default: as fast as
    /// the connections allow]
    #[arg(long, value_name = "R", value_parser = rate)]
    rate: Option<f64>,
    /// How many callbacks may be on the way at once [default: 1 up to 40 events, else 32; 256 with --rate]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    connections: Option<u16>,
    /// Send plainData, as an instance where encryption is switched off
    #[arg(long)]
    plain: bool,
    /// Write events as the vendor's documents do (arrays, objects, numbers), not as they come on the wire
    #[arg(long)]
    documented_form: bool,
    /// Do this wrong on purpose
    #[arg(long, value_name = "F")]
    fault: Option<Fault>,
    /// Send nothing again, whatever the answer; else as IDaaS does, after 1, 5, 10, 10 and 10 seconds
    #[arg(long)]
    once: bool,
    /// Makes the same events again [default: a random one; a bridge remembers the ids of events that it has seen]
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// One JSON object per event, and one with the summary
    #[arg(long)]
    json: bool,
}

fn rate(text: &str) -> Result<f64, String> {
    let rate: f64 = text.parse().map_err(|_| "is not a number".to_owned())?;
    if (0.001..=1e6).contains(&rate) { Ok(rate) } else { Err("must lie between 0.001 and 1000000".to_owned()) }
}

/// Runs the command: results to `out`, progress and faults to `err`. Starts a runtime, so it must not be called from
/// within one.
pub fn run(arguments: &SimulateArguments, out: &mut dyn Write, err: &mut dyn Write) -> Exit {
    match execute(&arguments.command, out, err) {
        Ok(true) => Exit::Fine,
        Ok(false) => Exit::Failed,
        Err(problem) => {
            // Where even this cannot be written, the exit code has to do.
            let _ = writeln!(err, "{}", output::error(problem));
            Exit::Misconfigured
        }
    }
}

/// Whether all is as it should be; or what is wrong with the arguments.
fn execute(command: &Command, out: &mut dyn Write, err: &mut dyn Write) -> Result<bool, String> {
    match command {
        Command::Init { directory, applications } => init(directory, *applications, out),
        Command::Send(arguments) => send(arguments, out, err),
        Command::Directory(arguments) => directory::run(arguments, out),
    }
}

fn init(directory: &Path, applications: u16, out: &mut dyn Write) -> Result<bool, String> {
    let material = TenantKeys::generate().map_err(|fault| fault.to_string())?;
    let files = key_files::init(directory, &material, applications).map_err(|fault| fault.to_string())?;
    let (program, directory) = (output::program(), output::shell_word(&directory.to_string_lossy()));
    let mut write = || -> io::Result<()> {
        for file in &files {
            writeln!(out, "{}", file.display())?;
        }
        writeln!(out, "\nNext:\n  {program} serve --config {directory}/{}", key_files::CONFIGURATION)?;
        writeln!(out, "  {program} simulate send --to http://127.0.0.1:8080 --keys {directory}")
    };
    Ok(write().is_ok())
}

fn send(arguments: &SendArguments, out: &mut dyn Write, err: &mut dyn Write) -> Result<bool, String> {
    let material = key_files::load(&arguments.keys, arguments.application.as_deref()).map_err(|f| f.to_string())?;
    let authorities = arguments.ca_file.as_ref().map(|path| read(path)).transpose()?;
    // Printing needs no address.
    let to = arguments.to.as_deref().unwrap_or("http://localhost");
    let sender = Sender::trusting(Arc::new(material), to, authorities.as_deref());
    let sender = sender.map_err(|fault| fault.to_string())?;
    let sender = if arguments.documented_form { sender.form(Form::Documented) } else { sender };
    let sender = Arc::new(if arguments.plain { sender.plain() } else { sender });
    let plan = Arc::new(plan(arguments)?);
    if arguments.print {
        return print(&sender, &plan, out, err);
    }
    let signed_ahead = plan.signed_ahead();
    if signed_ahead > MAX_LISTED {
        let ahead = counted(signed_ahead, "callback");
        // Where stderr is closed there is nobody to tell.
        let _ = writeln!(err, "{}", output::note_line(format_args!("signing {ahead} before the first is sent")));
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(|e| e.to_string())?;
    let (sending, events) = unbounded_channel();
    let run = run::send(sender, Arc::clone(&plan), sending);
    let task = runtime.spawn(run);
    let mut screen = Screen::new(plan.count, arguments.json, out, err);
    // A closed pipe ends the showing, and so the run: nobody reads it.
    let shown = runtime.block_on(screen.follow(events));
    task.abort();
    Ok(shown.and_then(|()| screen.end()).is_ok() && screen.all_good())
}

/// Prints the body of each callback on a line of its own.
fn print(sender: &Sender, plan: &RunSettings, out: &mut dyn Write, err: &mut dyn Write) -> Result<bool, String> {
    let mut encoding = None;
    for number in 0..plan.callbacks() {
        let request = plan.request(sender, number).map_err(|fault| fault.to_string())?;
        encoding = encoding.or(request.encoding);
        if out.write_all(&request.body).and_then(|()| out.write_all(b"\n")).is_err() {
            // Whoever closed the pipe has read enough.
            return Ok(true);
        }
    }
    if let Some(encoding) = encoding {
        // Where stderr is closed there is nobody to tell.
        let _ = writeln!(
            err,
            "{}",
            output::note_line(format_args!("send them with the header Content-Encoding: {encoding}"))
        );
    }
    Ok(out.flush().is_ok())
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    std::fs::read(path).map_err(|error| format!("{} cannot be read: {error}", path.display()))
}

fn plan(arguments: &SendArguments) -> Result<RunSettings, String> {
    let source = source(arguments)?;
    let count = match &source {
        Source::Given(events) => events.len() as u64,
        Source::Generated { types, .. } => arguments.count.unwrap_or(types.len() as u64),
    };
    let few = if count <= MAX_LISTED { 1 } else { 32 };
    let connections = arguments.connections.map(usize::from);
    Ok(RunSettings {
        source,
        count,
        events_per_callback: arguments.events_per_callback,
        rate: arguments.rate,
        connections: connections.unwrap_or(if arguments.rate.is_some() { 256 } else { few }),
        fault: arguments.fault,
        schedule: if arguments.once { Schedule::once() } else { Schedule::idaas() },
    })
}

fn source(arguments: &SendArguments) -> Result<Source, String> {
    let data: Option<Value> = match &arguments.data {
        None => None,
        Some(path) => {
            let value = serde_json::from_slice(&read(path)?);
            Some(value.map_err(|error| format!("{} is not JSON: {error}", path.display()))?)
        }
    };
    if let Some(Value::Array(items)) = data {
        if arguments.count.is_some() || !arguments.types.is_empty() || arguments.fault.is_some() {
            return Err(
                "--data is a list of events, which is sent as it is: leave --type, --count and --fault out".into()
            );
        }
        return Ok(Source::Given(items.into_iter().map(Event::given).collect()));
    }
    if data.as_ref().is_some_and(|data| !data.is_object()) {
        return Err("--data is neither a JSON object (bizData) nor an array (events)".into());
    }
    if data.is_some() && arguments.types.is_empty() {
        return Err("--data is the bizData of an event: say of which type, by --type".into());
    }
    let types = match (arguments.types.as_slice(), arguments.fault) {
        ([], fault) => every_type(fault),
        (types, _) => types.to_vec(),
    };
    let seed = arguments.seed.unwrap_or_else(|| fastrand::u64(..));
    Ok(Source::Generated { types, generator: Generator::new(seed), biz_data: data })
}

/// Every type, or every one that `fault` does something to.
fn every_type(fault: Option<Fault>) -> Vec<EventType> {
    let touched = |kind: &Kind| {
        let event = Generator::new(0).event(&(*kind).into(), 0, 0);
        fault.is_none_or(|fault| fault.touches(&event))
    };
    Kind::ALL.into_iter().filter(touched).map(EventType::from).collect()
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use idaas_simulator::test_bridge::{TestBridge, answer};

    use super::*;
    use crate::terminal::without_styles;

    #[derive(Parser)]
    struct SimulateLine {
        #[command(flatten)]
        arguments: SimulateArguments,
    }

    /// Runs a command line; gives the result and what went to the standard output.
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
            key_files::init(directory.path(), bridge.sender.material(), 1).unwrap();
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
