//! `check`: the doctor. Looks at everything that `serve` needs, changes nothing, and says of each finding what to do.

mod brokers;
mod finding;
mod keys;
mod machine;

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use clap::Args;

use self::finding::{Finding, Level};
use super::output::{BAD, GOOD, HEADING, QUIET, WARNING, stdout, styled};
use super::{Exit, runtime};
use crate::config::Config;

/// Say what would keep the service from working, each finding with its remedy
#[derive(Args)]
#[command(after_help = "Examples:\n  idaas-bridge check --config /etc/idaas-bridge/bridge.toml\n  \
    idaas-bridge check --config bridge.toml --offline\n\n\
    Exit code: 0 nothing is wrong (warnings may be there), 1 something is wrong,\n\
    2 `serve` would not start for its configuration. Publishes nothing and changes nothing.")]
pub struct CheckArguments {
    /// The configuration file (TOML)
    #[arg(long, value_name = "FILE", env = crate::config::CONFIG_VARIABLE, default_value = super::DEFAULT_CONFIG)]
    config: PathBuf,
    /// Leave out what needs the network: key endpoints and Kafka
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
            report.all(faults.into_iter().map(Finding::prevents_start));
            report.add(Finding::skipped("the rest", "is checked once the configuration can be read"));
            return;
        }
    };
    let applications: Vec<_> = config.applications.iter().map(|application| application.name.as_str()).collect();
    let text = format!("can be read; times nest; applications: {}", applications.join(", "));
    report.add(Finding::ok(&path.display().to_string(), &text));
    report.all(config.warnings.iter().map(Finding::warned));
    report.all(machine::examine(&config));
    let settings = brokers::settings(&config);
    let usable = settings.level != Level::Fault;
    report.add(settings);
    if offline {
        report.all(keys::examine_files(&config));
        report.add(Finding::skipped("kafka", "brokers, topics and permissions are not checked (--offline)"));
        return;
    }
    let Some(runtime) = runtime() else { return };
    report.all(keys::examine(&config, &runtime));
    if usable {
        brokers::examine(&config, path, &mut |finding| report.add(finding));
    }
}

/// Shows findings as they come, and remembers how bad they were.
struct Report<W> {
    out: W,
    faults: usize,
    warnings: usize,
    skipped: usize,
    prevented: bool,
}

impl<W: Write> Report<W> {
    const fn new(out: W) -> Self {
        Self { out, faults: 0, warnings: 0, skipped: 0, prevented: false }
    }

    fn all(&mut self, findings: impl IntoIterator<Item = Finding>) {
        findings.into_iter().for_each(|finding| self.add(finding));
    }

    fn add(&mut self, finding: Finding) {
        self.prevented |= finding.prevents_start;
        let style = match finding.level {
            Level::Ok => GOOD,
            Level::Warning => {
                self.warnings += 1;
                WARNING
            }
            Level::Fault => {
                self.faults += 1;
                BAD
            }
            Level::Skipped => {
                self.skipped += 1;
                QUIET
            }
        };
        // A pipe that was closed early changes nothing of what is found, which the exit code says.
        let _ = self.write(&finding, style);
    }

    fn write(&mut self, finding: &Finding, style: anstyle::Style) -> io::Result<()> {
        let level = format!("{:<7}", finding.level.name());
        writeln!(self.out, "{}  {}: {}", styled(style, level), styled(HEADING, &finding.key), finding.text)?;
        self.out.flush()
    }

    fn end(mut self, path: &Path) -> Exit {
        let (exit, style, verdict) = match (self.prevented, self.faults) {
            (true, _) => (Exit::Misconfigured, BAD, "serve would not start"),
            (false, 0) => (Exit::Fine, GOOD, "serve will start and work"),
            (false, _) => (Exit::Failed, BAD, "serve would start, and not do its work"),
        };
        let skipped = if self.skipped > 0 { format!(", {} not checked", self.skipped) } else { String::new() };
        let counts = format!("{}, {}{skipped}", plural(self.faults, "fault"), plural(self.warnings, "warning"));
        let _ = writeln!(self.out, "\n{}: {verdict} ({counts})", styled(style, path.display()));
        let _ = self.out.flush();
        exit
    }
}

fn plural(count: usize, what: &str) -> String {
    if count == 1 { format!("1 {what}") } else { format!("{count} {what}s") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exit(findings: Vec<Finding>) -> (Exit, String) {
        let mut bytes = Vec::new();
        let mut report = Report::new(anstream::StripStream::new(&mut bytes));
        report.all(findings);
        let exit = report.end(Path::new("bridge.toml"));
        (exit, String::from_utf8(bytes).unwrap())
    }

    #[test]
    fn the_exit_code_is_that_of_the_worst_finding() {
        let fault = || crate::config::Fault {
            key: "a".to_owned(),
            problem: "is wrong".to_owned(),
            remedy: "mend it".to_owned(),
        };
        let warning = || Finding::warning("a", "is odd", "see to it");
        assert_eq!(exit(vec![Finding::ok("a", "is good"), warning()]).0, Exit::Fine);
        assert_eq!(exit(vec![Finding::fault("a", "is wrong", "mend it"), warning()]).0, Exit::Failed);
        let (exit, shown) = exit(vec![Finding::fault("b", "is bad", "c"), Finding::prevents_start(fault())]);
        assert_eq!(exit, Exit::Misconfigured);
        assert!(shown.contains("fault    a: is wrong; mend it\n"), "{shown}");
        assert!(shown.ends_with("bridge.toml: serve would not start (2 faults, 0 warnings)\n"), "{shown}");
    }
}
