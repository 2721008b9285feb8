//! One finding of `check`: what was tested, the result, and what to do.

use super::code::{Code, Section};
use crate::diagnosis::{Diagnosis, Remedy};

/// Result of a test.
#[derive(Debug, Clone, Copy, PartialEq, Eq, strum::IntoStaticStr)]
#[strum(serialize_all = "lowercase")]
pub(super) enum Level {
    Ok,
    Warning,
    Fault,
    /// Not tested. The text says why.
    #[strum(to_string = "not tested")]
    NotTested,
}

/// One finding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Finding {
    pub(super) level: Level,
    /// Section of the report that shows it.
    pub(super) section: Section,
    /// The problem and its fix. If there is no problem, a description without a remedy.
    pub(super) diagnosis: Diagnosis,
    /// True if `serve` would refuse to start because of it.
    pub(super) prevents_start: bool,
    /// True if the service cannot work without it. If it was not tested, `check` does not exit with 0.
    pub(super) decisive: bool,
}

impl Finding {
    fn of(level: Level, code: Code, diagnosis: Diagnosis) -> Self {
        let diagnosis = Diagnosis { code: code.name(), ..diagnosis };
        Self { level, section: code.section(), diagnosis, prevents_start: false, decisive: false }
    }

    fn new(level: Level, code: Code, key: &str, problem: &str, remedy: impl Into<Remedy>) -> Self {
        Self::of(level, code, Diagnosis::new(code.name(), problem, remedy).at(key))
    }

    pub(super) fn ok(code: Code, key: &str, text: &str) -> Self {
        Self::of(Level::Ok, code, Diagnosis { remedy: None, ..Diagnosis::new(code.name(), text, "").at(key) })
    }

    pub(super) fn warning(code: Code, key: &str, problem: &str, remedy: impl Into<Remedy>) -> Self {
        Self::new(Level::Warning, code, key, problem, remedy)
    }

    pub(super) fn fault(code: Code, key: &str, problem: &str, remedy: impl Into<Remedy>) -> Self {
        Self::new(Level::Fault, code, key, problem, remedy)
    }

    /// Creates a finding about something that was not tested and is not decisive.
    pub(super) fn not_tested(code: Code, key: &str, why: &str, remedy: impl Into<Remedy>) -> Self {
        Self::new(Level::NotTested, code, key, why, remedy)
    }

    /// Something decisive was not tested, so it is unknown whether the service works.
    pub(super) fn undecided(code: Code, key: &str, why: &str, remedy: impl Into<Remedy>) -> Self {
        Self { decisive: true, ..Self::not_tested(code, key, why, remedy) }
    }

    /// Creates a fault from an existing diagnosis.
    pub(super) fn diagnosed(code: Code, fault: Diagnosis) -> Self {
        Self::of(Level::Fault, code, fault)
    }

    /// Creates a fault that keeps `serve` from starting.
    pub(super) fn prevents_start(code: Code, fault: Diagnosis) -> Self {
        Self { prevents_start: true, ..Self::diagnosed(code, fault) }
    }

    /// Moves the finding to the state topics, which `serve` does not need.
    pub(super) fn of_states(self) -> Self {
        Self { section: Section::States, decisive: false, ..self }
    }

    /// Creates a warning about the configuration.
    pub(super) fn warned(warning: &Diagnosis) -> Self {
        Self::of(Level::Warning, Code::ConfigurationWarning, warning.clone())
    }
}
