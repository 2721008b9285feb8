//! Prints findings as they arrive, in 80 columns, and determines the exit code.

use std::io::{self, Write};
use std::path::Path;

use super::code::Section;
use super::finding::{Finding, Level};
use crate::cli::Exit;
use crate::cli::output::fix_line_at;
use crate::counts::counted;
use crate::terminal::{BAD, GOOD, HEADING, QUIET, TEXT_WIDTH, WARNING, entry, styled, wrap};

/// Column at which the text of a finding starts.
const INDENT: usize = 14;

/// A report in progress.
pub(super) struct Report<W> {
    out: W,
    section: Option<Section>,
    faults: usize,
    /// The part of `faults` that concerns only `fetch`.
    fetch_faults: usize,
    /// The part of `faults` that concerns only `materialize`.
    state_faults: usize,
    /// The part of `faults` that keeps events in the journal.
    kafka_faults: usize,
    warnings: usize,
    not_tested: usize,
    undecided: bool,
    prevented: bool,
}

impl<W: Write> Report<W> {
    pub(super) const fn new(out: W) -> Self {
        Self {
            out,
            section: None,
            faults: 0,
            fetch_faults: 0,
            state_faults: 0,
            kafka_faults: 0,
            warnings: 0,
            not_tested: 0,
            undecided: false,
            prevented: false,
        }
    }

    pub(super) fn all(&mut self, findings: impl IntoIterator<Item = Finding>) {
        findings.into_iter().for_each(|finding| self.add(finding));
    }

    pub(super) fn add(&mut self, finding: Finding) {
        self.prevented |= finding.prevents_start;
        match finding.level {
            Level::Ok => {}
            Level::Warning => self.warnings += 1,
            Level::Fault => {
                self.faults += 1;
                self.fetch_faults += usize::from(finding.section == Section::Directory);
                self.state_faults += usize::from(finding.section == Section::States);
                self.kafka_faults += usize::from(matches!(finding.section, Section::Kafka | Section::Topics));
            }
            Level::NotTested => {
                self.not_tested += 1;
                self.undecided |= finding.decisive;
            }
        }
        // If the pipe was closed early, the exit code still reports the result.
        let _ = self.write(&finding);
    }

    fn write(&mut self, finding: &Finding) -> io::Result<()> {
        let Finding { level, section, diagnosis, .. } = finding;
        if self.section != Some(*section) {
            let gap = if self.section.is_some() { "\n" } else { "" };
            writeln!(self.out, "{gap}{}", styled(HEADING, section))?;
            self.section = Some(*section);
        }
        let style = match level {
            Level::Ok => GOOD,
            Level::Warning => WARNING,
            Level::Fault => BAD,
            Level::NotTested => QUIET,
        };
        let code = if *level == Level::Ok { String::new() } else { format!(" [{}]", diagnosis.code) };
        let mut lines = wrap(&format!("{}{code}", diagnosis.headline()), TEXT_WIDTH - INDENT).into_iter();
        let first = lines.next().unwrap_or_default();
        let first = match first.strip_prefix(&diagnosis.key) {
            Some(rest) => format!("{}{rest}", styled(HEADING, &diagnosis.key)),
            None => first,
        };
        let level: &str = level.into();
        writeln!(self.out, "  {}", entry(style, level, INDENT - 2, first))?;
        for line in lines {
            writeln!(self.out, "{:INDENT$}{line}", "")?;
        }
        if let Some(remedy) = &diagnosis.remedy {
            writeln!(self.out, "{}", fix_line_at(INDENT, "fix", remedy))?;
        }
        self.out.flush()
    }

    /// Returns the exit code. Warnings do not change it, and neither do tests skipped with `--offline`: an untested
    /// item counts only if it is decisive.
    const fn exit(&self) -> Exit {
        if self.prevented {
            Exit::Misconfigured
        } else if self.faults > 0 || self.undecided {
            Exit::Failed
        } else {
            Exit::Success
        }
    }

    /// Writes the verdict, and returns the exit code.
    pub(super) fn end(mut self, path: &Path) -> Exit {
        let exit = self.exit();
        let accepts = self.faults == self.fetch_faults + self.state_faults + self.kafka_faults;
        // Commands that have faults of their own.
        let others = match (self.fetch_faults, self.state_faults) {
            (_, 0) => "fetch",
            (0, _) => "materialize",
            (_, _) => "fetch and materialize",
        };
        let (style, verdict) = match exit {
            Exit::Misconfigured => (BAD, "serve would not start".to_owned()),
            Exit::Failed if !accepts => (BAD, "serve would start, but not work".to_owned()),
            Exit::Failed if self.kafka_faults > 0 => (BAD, "serve would start, but not publish everything".to_owned()),
            Exit::Failed if self.faults > 0 && self.not_tested == 0 => {
                (BAD, format!("serve will start and work, but {others} would not"))
            }
            Exit::Failed if self.faults > 0 && !self.undecided => {
                (BAD, format!("{others} would not work; no other problem was found in what was tested"))
            }
            Exit::Failed if self.faults > 0 => {
                (BAD, format!("{others} would not work, and it was not tested whether serve works"))
            }
            Exit::Failed => (WARNING, "no problem was found, but it was not tested whether serve works".to_owned()),
            Exit::Success if self.not_tested == 0 => (GOOD, "serve will start and work".to_owned()),
            Exit::Success => (GOOD, "no problem was found in what was tested".to_owned()),
        };
        let untested = if self.not_tested > 0 { format!(", {} not tested", self.not_tested) } else { String::new() };
        let counts = format!("{}, {}{untested}", plural(self.faults, "fault"), plural(self.warnings, "warning"));
        let _ = writeln!(self.out, "\n{}: {verdict} ({counts})", styled(style, path.display()));
        if exit == Exit::Failed && self.kafka_faults > 0 && accepts {
            let _ = writeln!(self.out, "It would accept events, and keep in the journal what Kafka does not accept.");
        }
        let _ = self.out.flush();
        exit
    }
}

/// Returns a count with its noun.
pub(super) fn plural(count: usize, what: &str) -> String {
    counted(count as u64, what)
}

#[cfg(test)]
mod tests {
    use super::super::code::Code;
    use super::*;
    use crate::diagnosis::Remedy;
    use crate::kafka::admin::remedy::Right;
    use crate::terminal::without_styles;

    fn report(findings: Vec<Finding>) -> (Exit, String) {
        let mut bytes = Vec::new();
        let mut report = Report::new(&mut bytes);
        report.all(findings);
        let exit = report.end(Path::new("bridge.toml"));
        (exit, without_styles(&String::from_utf8(bytes).unwrap()))
    }

    fn ok() -> Finding {
        Finding::ok(Code::Kafka, "kafka", "answers")
    }

    fn fault() -> Finding {
        Finding::fault(Code::TopicWrite, "topic a", "is wrong", "correct it")
    }

    fn warning() -> Finding {
        Finding::warning(Code::TopicRead, "topic a", "is odd", "correct it")
    }

    #[test]
    fn the_exit_code_is_that_of_the_worst_finding() {
        assert_eq!(report(vec![ok(), warning()]).0, Exit::Success);
        assert_eq!(report(vec![fault(), warning()]).0, Exit::Failed);
        let config = crate::diagnosis::misconfigured("is wrong", "correct it").at("server.listen");
        let (exit, shown) = report(vec![fault(), Finding::prevents_start(Code::Configuration, config)]);
        assert_eq!(exit, Exit::Misconfigured);
        assert!(shown.ends_with("bridge.toml: serve would not start (2 faults, 0 warnings)\n"), "{shown}");
    }

    #[test]
    fn what_decides_and_was_not_tested_exits_with_1() {
        let (exit, shown) = report(vec![ok(), Finding::not_tested(Code::Topic, "topic a", "no answer", "test it")]);
        assert_eq!(exit, Exit::Success);
        assert!(
            shown.ends_with("no problem was found in what was tested (0 faults, 0 warnings, 1 not tested)\n"),
            "{shown}"
        );
        let (exit, shown) = report(vec![ok(), Finding::undecided(Code::Topic, "topic a", "no answer", "test it")]);
        assert_eq!(exit, Exit::Failed);
        assert!(!shown.contains("will start and work"), "{shown}");
    }

    #[test]
    fn a_kafka_fault_alone_does_not_stop_the_service_from_accepting() {
        let (exit, shown) = report(vec![ok(), fault()]);
        assert_eq!(exit, Exit::Failed);
        assert!(shown.contains("It would accept events, and keep in the journal"), "{shown}");
        let keys = Finding::fault(Code::Jwks, "application[a].jwks", "cannot be read", "correct it");
        assert!(report(vec![fault(), keys]).1.contains("serve would start, but not work"));
    }

    #[test]
    fn a_fault_of_materialize_does_not_concern_serve() {
        let state = || Finding::fault(Code::StateGroup, "state.group_id", "is denied", "grant it");
        let (exit, shown) = report(vec![ok(), state()]);
        assert_eq!(exit, Exit::Failed);
        assert!(shown.contains("serve will start and work, but materialize would not"), "{shown}");
        assert!(!shown.contains("It would accept events"), "{shown}");
        let untested = Finding::not_tested(Code::Kafka, "kafka", "not asked", "repeat without --offline");
        assert!(!report(vec![untested, state()]).1.contains("serve will start and work"));
        let topic = fault().of_states();
        assert!(report(vec![topic]).1.contains("but materialize would not"));
        let fetch = Finding::fault(Code::Directory, "application[a].fetch", "is denied", "grant it");
        assert!(report(vec![fetch, state()]).1.contains("but fetch and materialize would not"));
        assert!(report(vec![fault(), state()]).1.contains("serve would start, but not publish everything"));
    }

    #[test]
    fn the_report_fits_80_columns_and_has_sections() {
        let remedy =
            Remedy::grant(&[Right::Write], &["idaas.user.v1", "idaas.organizational-unit.v1", "idaas.group.v1"]);
        let problem =
            "may not be written to by the user of [kafka.properties], so that no event can be published at all";
        let (_, shown) = report(vec![ok(), Finding::fault(Code::TopicWrite, "6 topics", problem, remedy), warning()]);
        assert!(shown.lines().all(|line| line.chars().count() <= 80), "{shown}");
        let expected = "\
Kafka
  ok          kafka: answers

Topics
  fault       6 topics: may not be written to by the user of [kafka.properties],
              so that no event can be published at all [topic_write]
              fix: grant the user Write on the topics:
                kafka-acls.sh --bootstrap-server HOST:PORT --add \\
                  --allow-principal User:NAME --operation Write \\
                  --topic idaas.user.v1 --topic idaas.organizational-unit.v1 \\
                  --topic idaas.group.v1
  warning     topic a: is odd [topic_read]
              fix: correct it
";
        assert!(shown.starts_with(expected), "{shown}");
    }

    #[test]
    fn counts_have_the_right_form() {
        assert_eq!([plural(1, "broker"), plural(2, "broker")], ["1 broker", "2 brokers"]);
    }
}
