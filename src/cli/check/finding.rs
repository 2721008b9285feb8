//! One finding of the doctor: what was tested, how it went, and what to do.

use super::code::{Code, Section};
use crate::diagnosis::{Diagnosis, Remedy};

/// How a test went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, strum::IntoStaticStr)]
#[strum(serialize_all = "lowercase")]
pub(super) enum Level {
    Ok,
    Warning,
    Fault,
    /// Nobody knows: it was not tested. The text says why.
    #[strum(to_string = "not tested")]
    NotTested,
}

/// What was found of one thing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Finding {
    pub(super) level: Level,
    /// Where the report shows it.
    pub(super) section: Section,
    /// The problem and its fix; or what is good, without a remedy.
    pub(super) diagnosis: Diagnosis,
    /// Whether `serve` would refuse to start for it.
    pub(super) prevents_start: bool,
    /// Whether the service works at all depends on it: then `check` does not exit with 0 if it was not tested.
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

    /// Something was not tested that does not decide whether the service works.
    pub(super) fn not_tested(code: Code, key: &str, why: &str, remedy: impl Into<Remedy>) -> Self {
        Self::new(Level::NotTested, code, key, why, remedy)
    }

    /// Something decisive was not tested, so it is unknown whether the service works.
    pub(super) fn undecided(code: Code, key: &str, why: &str, remedy: impl Into<Remedy>) -> Self {
        Self { decisive: true, ..Self::not_tested(code, key, why, remedy) }
    }

    /// A fault that others diagnosed.
    pub(super) fn diagnosed(code: Code, fault: Diagnosis) -> Self {
        Self::of(Level::Fault, code, fault)
    }

    /// A fault for which `serve` does not start.
    pub(super) fn prevents_start(code: Code, fault: Diagnosis) -> Self {
        Self { prevents_start: true, ..Self::diagnosed(code, fault) }
    }

    /// A warning of the configuration.
    pub(super) fn warned(warning: &Diagnosis) -> Self {
        Self::of(Level::Warning, Code::ConfigurationWarning, warning.clone())
    }
}
