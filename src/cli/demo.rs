//! `demo`: shows the main function without any installation.

use clap::Args;

use super::{Exit, output, runtime};
use crate::demo::{self, DemoFault, Options};
use crate::terminal;

/// Width of the output if it is not a terminal, in columns.
const COLUMNS: usize = 100;

/// Demonstrate the bridge without any installation: an embedded broker, a simulated IDaaS, the real service
///
/// Sends every event type over HTTP to the bridge as `serve` runs it, and shows each verdict and the resulting record;
/// then unusual events and forgeries. Needs no files, no broker and no network. Exits with 1 if a result is not as
/// expected.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    idaas-bridge demo\n  \
    Keep it running, to read the topics with kcat or to send more events:\n    \
    idaas-bridge demo --stay\n  \
    Use a real Kafka, with separate topics (idaas-demo.user.v1, …):\n    \
    idaas-bridge demo --bootstrap-servers localhost:9092\n\n\
    Output is colored on terminals only. NO_COLOR=1 turns colors off, CLICOLOR_FORCE=1 turns them on.")]
pub struct DemoArguments {
    /// Keep everything running at the end, until Ctrl-C, and show what else arrives
    #[arg(long)]
    stay: bool,
    /// Omit the values of the records
    #[arg(long)]
    brief: bool,
    /// Use a real Kafka with plaintext connections instead of the embedded broker
    #[arg(long, value_name = "HOST:PORT,…")]
    bootstrap_servers: Option<String>,
    /// Prefix of the topic names [default: idaas; idaas-demo with --bootstrap-servers]
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
        Ok(true) => Exit::Success,
        Ok(false) => Exit::Failed,
        // The reader has closed the pipe, so it has seen enough.
        Err(DemoFault::Output(error)) if error.kind() == std::io::ErrorKind::BrokenPipe => Exit::Failed,
        Err(DemoFault::Diagnosed(faults)) => {
            for fault in &faults {
                output::report(fault);
            }
            Exit::Failed
        }
        Err(fault @ (DemoFault::Output(_) | DemoFault::Environment(_) | DemoFault::Interrupted)) => {
            output::print_error(fault)
        }
    }
}

fn width() -> usize {
    terminal::columns().map_or(COLUMNS, |columns| columns.clamp(72, 160))
}
