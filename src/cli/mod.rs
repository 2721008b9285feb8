//! The commands of the program: arguments in, exit code out. Results go to stdout, everything else to stderr.

pub mod check;
pub mod completions;
pub mod dead_letter;
pub mod demo;
pub mod fetch;
pub mod find;
pub mod init;
pub mod inspect;
pub mod journal;
pub mod materialize;
mod output;
pub mod push_report;
pub mod schema;
pub mod serve;
pub mod simulate;
pub mod tail;
pub mod topics;

use std::io::Write;
use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};

use crate::counts::counted;
use crate::diagnosis::Diagnosis;
use crate::terminal::stderr;

/// Path of the configuration, unless `--config` or the environment specifies another.
pub(crate) const DEFAULT_CONFIG: &str = "/etc/idaas-bridge/bridge.toml";

/// Result of a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// Success.
    Success,
    /// Something failed, or a check found a problem.
    Failed,
    /// The configuration or the arguments are wrong.
    Misconfigured,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        match exit {
            Exit::Success => Self::SUCCESS,
            Exit::Failed => Self::from(1),
            Exit::Misconfigured => Self::from(2),
        }
    }
}

/// Receives Alibaba Cloud IDaaS event callbacks and publishes them to Kafka.
///
/// Alibaba Cloud IDaaS is a directory of a company's accounts, organizational units and groups. It reports every change
/// to one URL, with signed and encrypted HTTP callbacks. This service is that URL: each event becomes a record on
/// Kafka, and IDaaS receives "success" only after the broker has confirmed the record.
#[derive(Parser)]
#[command(
    name = "idaas-bridge",
    version,
    max_term_width = 110,
    after_help = "Getting started:\n  \
        idaas-bridge demo                          see it work, without any installation\n  \
        idaas-bridge simulate init staging         write a configuration for a trial\n  \
        idaas-bridge init /etc/idaas-bridge        write one for production\n  \
        idaas-bridge check --config bridge.toml    find problems in yours, with a fix for each\n\n\
        Exit codes: 0 success; 1 failure, or a problem was found; 2 the configuration or the arguments are wrong."
)]
struct Program {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Serve(serve::ServeArguments),
    Check(check::CheckArguments),
    Topics(topics::TopicsArguments),
    Demo(demo::DemoArguments),
    Simulate(simulate::SimulateArguments),
    Inspect(inspect::InspectArguments),
    Tail(tail::TailArguments),
    Materialize(materialize::MaterializeArguments),
    PushReport(push_report::PushReportArguments),
    Journal(journal::JournalArguments),
    DeadLetter(dead_letter::DeadLetterArguments),
    Find(find::FindArguments),
    Fetch(fetch::FetchArguments),
    Schema(schema::SchemaArguments),
    Init(init::InitArguments),
    Completions(completions::CompletionsArguments),
}

/// Runs the program with the arguments of the process.
#[must_use]
pub fn main() -> ExitCode {
    match Program::parse().command {
        Command::Serve(arguments) => serve::run(&arguments).into(),
        Command::Demo(arguments) => demo::run(arguments).into(),
        Command::Simulate(arguments) => simulate::run(&arguments, &mut std::io::stdout(), &mut stderr()).into(),
        Command::Check(arguments) => check::run(&arguments).into(),
        Command::Topics(arguments) => topics::run(&arguments).into(),
        Command::Inspect(arguments) => inspect::run(&arguments).into(),
        Command::Tail(arguments) => tail::run(&arguments).into(),
        Command::PushReport(arguments) => push_report::run(&arguments).into(),
        Command::Materialize(arguments) => materialize::run(&arguments).into(),
        Command::Journal(arguments) => journal::run(&arguments).into(),
        Command::DeadLetter(arguments) => dead_letter::run(&arguments).into(),
        Command::Find(arguments) => find::run(&arguments).into(),
        Command::Fetch(arguments) => fetch::run(&arguments).into(),
        Command::Schema(arguments) => schema::run(&arguments).into(),
        Command::Init(arguments) => init::run(&arguments).into(),
        Command::Completions(arguments) => completions::run(&arguments, &mut Program::command()).into(),
    }
}

/// Prints the faults of the configuration to stderr.
pub(crate) fn print_faults(faults: &[Diagnosis]) -> Exit {
    output::print_error(format_args!("the configuration has {}", counted(faults.len() as u64, "fault")));
    for fault in faults {
        // If stderr is closed, nothing can be reported.
        let _ = writeln!(stderr(), "  {}", fault.headline());
        fault.remedy.iter().cloned().for_each(output::fix);
    }
    Exit::Misconfigured
}

/// Creates the runtime for everything except the HTTP workers, which have their own.
pub(crate) fn runtime() -> Option<tokio::runtime::Runtime> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    if let Err(error) = &runtime {
        output::print_error(format_args!("the runtime cannot be started: {error}"));
    }
    runtime.ok()
}
