//! `demo`: the main job with nothing installed.

use clap::Args;

use super::{Exit, output, runtime};
use crate::demo::{self, DemoFault, Options};
use crate::terminal;

/// The columns of what is no terminal.
const COLUMNS: usize = 100;

/// Show the main job with nothing installed: an embedded broker, a simulated IDaaS, the real bridge.
///
/// Sends every event type over HTTP to the bridge as `serve` runs it, and shows each verdict and the record that came out
/// of it; then what is odd, and what is forged. Needs no files, no broker and no network. Exits 1 where anything was not
/// as it should be.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  idaas-bridge demo\n  \
    Keep it up, and look at it with kcat, or send more:\n    idaas-bridge demo --stay\n  \
    On a real Kafka, into topics of its own (idaas-demo.user.v1, …):\n    \
    idaas-bridge demo --bootstrap-servers localhost:9092\n\n\
    Colour is for terminals; NO_COLOR=1 switches it off, CLICOLOR_FORCE=1 on.")]
pub struct DemoArguments {
    /// Keep everything up at the end, until Ctrl-C, and show what else arrives
    #[arg(long)]
    stay: bool,
    /// Leave out the records' values
    #[arg(long)]
    brief: bool,
    /// Use a real Kafka that takes plain connections, in place of the embedded broker
    #[arg(long, value_name = "HOST:PORT,…")]
    bootstrap_servers: Option<String>,
    /// What the topics' names start with [default: idaas; idaas-demo with --bootstrap-servers]
    #[arg(long, value_name = "PREFIX")]
    topic_prefix: Option<String>,
}

/// Runs the command.
#[must_use]
pub fn run(arguments: DemoArguments) -> Exit {
    // Invented users must not mix with real ones by default.
    let prefix = if arguments.bootstrap_servers.is_some() { "idaas-demo" } else { "idaas" };
    let options = Options {
        topic_prefix: arguments.topic_prefix.unwrap_or_else(|| prefix.to_owned()),
        bootstrap_servers: arguments.bootstrap_servers,
        brief: arguments.brief,
        stay: arguments.stay,
        width: width(),
        program: output::program(),
    };
    let Some(runtime) = runtime() else { return Exit::Failed };
    let mut out = terminal::stdout();
    match runtime.block_on(demo::run(&options, &mut out)) {
        Ok(true) => Exit::Fine,
        Ok(false) => Exit::Failed,
        // Whoever read it has seen enough.
        Err(DemoFault::Output(error)) if error.kind() == std::io::ErrorKind::BrokenPipe => Exit::Failed,
        Err(DemoFault::Diagnosed(faults)) => {
            for fault in &faults {
                output::report(fault);
            }
            Exit::Failed
        }
        Err(fault @ (DemoFault::Output(_) | DemoFault::Stage(_) | DemoFault::Interrupted)) => {
            output::print_error(fault)
        }
    }
}

fn width() -> usize {
    terminal::columns().map_or(COLUMNS, |columns| columns.clamp(72, 160))
}
