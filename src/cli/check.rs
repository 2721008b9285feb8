//! `check`: tests everything that `serve`, `fetch` and `materialize` need, and suggests a fix for each problem. Changes nothing.
//!
//! It reports as working only what it has tested.

mod brokers;
mod code;
mod directory;
mod disk;
mod finding;
mod journal;
mod keys;
mod machine;
mod replicas;
mod report;
mod state;
mod topics;

use std::io::Write;
use std::path::{Path, PathBuf};

use clap::Args;

use self::code::Code;
use self::finding::{Finding, Level};
use self::report::Report;
use super::{Exit, runtime};
use crate::config::Config;
use crate::terminal::stdout;

/// Check the configuration and the environment, and suggest a fix for each problem
#[derive(Args)]
#[command(after_help = "Examples:\n  idaas-bridge check --config /etc/idaas-bridge/bridge.toml\n  \
    idaas-bridge check --config bridge.toml --offline\n\n\
    Exit code: 2 `serve` would not start; 1 there is a fault, or something that decides\n\
    whether the service works could not be tested; otherwise 0. Warnings do not change it,\n\
    and neither does what --offline leaves out on purpose.\n\
    Publishes nothing and changes nothing.")]
pub struct CheckArguments {
    /// Configuration file (TOML)
    #[arg(long, value_name = "FILE", env = crate::config::CONFIG_VARIABLE, default_value = super::DEFAULT_CONFIG)]
    config: PathBuf,
    /// Skip the tests that need the network: key endpoints, Kafka and the Developer API
    #[arg(long)]
    offline: bool,
}

/// Runs the command.
#[must_use]
pub fn run(arguments: &CheckArguments) -> Exit {
    let mut report = Report::new(stdout());
    examine(&arguments.config, arguments.offline, &mut report);
    report.end(&arguments.config)
}

fn examine<W: Write>(path: &Path, offline: bool, report: &mut Report<W>) {
    let config = match Config::load(path) {
        Ok(config) => config,
        Err(faults) => {
            report.all(faults.into_iter().map(|fault| Finding::prevents_start(Code::Configuration, fault)));
            let remedy = "run check again once the configuration can be read";
            report.add(Finding::undecided(
                Code::Configuration,
                "everything else",
                "the configuration has errors",
                remedy,
            ));
            return;
        }
    };
    let applications: Vec<_> = config.applications.iter().map(|application| application.name.as_str()).collect();
    let text = format!("is valid; applications: {}", applications.join(", "));
    report.add(Finding::ok(Code::Configuration, &path.display().to_string(), &text));
    report.all(config.warnings.iter().map(Finding::warned));
    report.all(machine::secret_files(&config.secret_files));
    report.all(machine::examine(&config));
    if offline {
        report.all(keys::examine_files(&config));
        report.all(directory::not_tested(&config));
        report.add(brokers::settings(&config));
        let remedy = "run check without --offline";
        let why = "whether brokers answer, topics exist and this user may write to them (--offline)";
        report.add(Finding::not_tested(Code::Kafka, "kafka", why, remedy));
        report.all(state::offline(&config));
        return;
    }
    match runtime() {
        Some(runtime) => {
            report.all(journal::waiting(&config, &runtime));
            report.all(keys::examine(&config, &runtime));
            report.all(directory::examine(&config, &runtime));
        }
        None => {
            let remedy = "raise the limits on threads and open files";
            report.add(Finding::undecided(Code::Runtime, "public keys", "threads cannot be started", remedy));
        }
    }
    let settings = brokers::settings(&config);
    let usable = settings.level != Level::Fault;
    report.add(settings);
    if usable {
        brokers::examine(&config, path, &mut |finding| report.add(finding));
    } else {
        let remedy = "correct [kafka.properties]";
        report.add(Finding::undecided(Code::Kafka, "kafka", "librdkafka rejects the properties", remedy));
        report.all(state::unanswered(&config));
    }
}
