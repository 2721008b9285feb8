//! The command `simulate send`: sends events as IDaaS does, and judges the answers.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;
use idaas_simulator::events::{Event, Generator};
use idaas_simulator::fault::Fault;
use idaas_simulator::key_files;
use idaas_simulator::kind::{EventType, Kind};
use idaas_simulator::payload::Form;
use idaas_simulator::redelivery::Schedule;
use idaas_simulator::run::{self, RunSettings, Source};
use idaas_simulator::sender::Sender;
use serde_json::Value;
use tokio::sync::mpsc::unbounded_channel;

use super::screen::{MAX_LISTED, Screen};
use crate::cli::output;
use crate::counts::counted;

/// Arguments of `simulate send`.
#[derive(Debug, Args)]
pub struct SendArguments {
    /// URL of the bridge (http://HOST:PORT, to which /callbacks/APPLICATION is appended), or complete callback URL
    #[arg(long, value_name = "URL", required_unless_present = "print")]
    to: Option<String>,
    /// Print the bodies of the callbacks, one per line, instead of sending them
    #[arg(long, conflicts_with_all = ["to", "rate", "connections", "once", "json"])]
    print: bool,
    /// Directory that `simulate init` wrote
    #[arg(long, value_name = "DIR")]
    keys: PathBuf,
    /// Application in DIR/bridge.toml to send for [default: the first]
    #[arg(long, value_name = "NAME")]
    application: Option<String>,
    /// CA certificates (PEM) to trust in addition to the system's
    #[arg(long, value_name = "FILE")]
    ca_file: Option<PathBuf>,
    /// Event type: its URN, or the end of it (user:create). Can be repeated; types are sent in turn [default: every type]
    #[arg(long = "type", value_name = "T")]
    types: Vec<EventType>,
    /// JSON to send: an object is the bizData of every event; an array is the list of events (elements of eventData),
    /// sent as it is, once
    #[arg(long, value_name = "FILE")]
    data: Option<PathBuf>,
    /// Number of events [default: one of each type]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,
    /// Number of events in each callback
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..))]
    events_per_callback: u64,
    /// Events per second, whatever the bridge does; latency then counts from the intended time [default: as fast as
    /// the connections allow]
    #[arg(long, value_name = "R", value_parser = rate)]
    rate: Option<f64>,
    /// Maximum number of callbacks in flight [default: 1 up to 40 events, else 32; 256 with --rate]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    connections: Option<u16>,
    /// Send plainData, like an instance without encryption
    #[arg(long)]
    plain: bool,
    /// Write events in the documented form (arrays, objects, numbers), not in the form that IDaaS sends
    #[arg(long)]
    documented_form: bool,
    /// Fault to simulate
    #[arg(long, value_name = "F")]
    fault: Option<Fault>,
    /// Do not send anything again. By default, failures are sent again after 1, 5, 10, 10 and 10 seconds, as by IDaaS
    #[arg(long)]
    once: bool,
    /// Seed: the same seed generates the same events [default: random, because a bridge remembers event ids]
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// Print one JSON object per event, and one with the summary
    #[arg(long)]
    json: bool,
}

fn rate(text: &str) -> Result<f64, String> {
    let rate: f64 = text.parse().map_err(|_| "is not a number".to_owned())?;
    if (0.001..=1e6).contains(&rate) { Ok(rate) } else { Err("must be between 0.001 and 1000000".to_owned()) }
}

pub(super) fn send(arguments: &SendArguments, out: &mut dyn Write, err: &mut dyn Write) -> Result<bool, String> {
    let tenant_keys = key_files::load(&arguments.keys, arguments.application.as_deref()).map_err(|f| f.to_string())?;
    let authorities = arguments.ca_file.as_ref().map(|path| read(path)).transpose()?;
    // Printing needs no address.
    let to = arguments.to.as_deref().unwrap_or("http://localhost");
    let sender = Sender::trusting(Arc::new(tenant_keys), to, authorities.as_deref());
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
        // If stderr is closed, nothing can be reported.
        let _ = writeln!(err, "{}", output::note_line(format_args!("signing {ahead} before the first is sent")));
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(|e| e.to_string())?;
    let (sending, events) = unbounded_channel();
    let run = run::send(sender, Arc::clone(&plan), sending);
    let task = runtime.spawn(run);
    let mut screen = Screen::new(plan.count, arguments.json, out, err);
    // A closed pipe ends the run.
    let shown = runtime.block_on(screen.follow(events));
    task.abort();
    Ok(shown.and_then(|()| screen.end()).is_ok() && screen.is_as_expected())
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
        // If stderr is closed, nothing can be reported.
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
        return Err("--data is the bizData of an event: name its type with --type".into());
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
