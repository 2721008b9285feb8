//! One finding of the doctor: what was tested, how it went, and what to do.

use super::code::Code;
use crate::config::{Fault, Warning};
use crate::kafka::admin::remedy::Remedy;

/// How a test went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Level {
    Ok,
    Warning,
    Fault,
    /// Nobody knows: it was not tested. The text says why.
    NotTested,
}

impl Level {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warning => "warning",
            Self::Fault => "fault",
            Self::NotTested => "not tested",
        }
    }
}

/// What was found of one thing. Never holds a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Finding {
    pub(super) level: Level,
    pub(super) code: Code,
    /// The key of the configuration, or what it is about.
    pub(super) key: String,
    /// The problem, or what is good.
    pub(super) text: String,
    /// What to do. Absent if all is well.
    pub(super) remedy: Option<Remedy>,
    /// Whether `serve` would refuse to start for it.
    pub(super) prevents_start: bool,
    /// Whether the service works at all depends on it: then `check` does not exit with 0 if it was not tested.
    pub(super) decisive: bool,
}

impl Finding {
    fn new(level: Level, code: Code, key: &str, text: &str, remedy: Option<Remedy>) -> Self {
        let (key, text) = (key.to_owned(), text.to_owned());
        Self { level, code, key, text, remedy, prevents_start: false, decisive: false }
    }

    pub(super) fn ok(code: Code, key: &str, text: &str) -> Self {
        Self::new(Level::Ok, code, key, text, None)
    }

    pub(super) fn warning(code: Code, key: &str, problem: &str, remedy: Remedy) -> Self {
        Self::new(Level::Warning, code, key, problem, Some(remedy))
    }

    pub(super) fn fault(code: Code, key: &str, problem: &str, remedy: Remedy) -> Self {
        Self::new(Level::Fault, code, key, problem, Some(remedy))
    }

    /// Something was not tested that does not decide whether the service works.
    pub(super) fn not_tested(code: Code, key: &str, why: &str, remedy: Remedy) -> Self {
        Self::new(Level::NotTested, code, key, why, Some(remedy))
    }

    /// Something was not tested without which nobody knows whether the service works.
    pub(super) fn undecided(code: Code, key: &str, why: &str, remedy: Remedy) -> Self {
        Self { decisive: true, ..Self::not_tested(code, key, why, remedy) }
    }

    /// A fault for which `serve` does not start.
    pub(super) fn prevents_start(code: Code, fault: Fault) -> Self {
        let Fault { key, problem, remedy } = fault;
        Self { prevents_start: true, ..Self::fault(code, &key, &problem, Remedy::text(remedy)) }
    }

    /// A warning of the configuration, which names its remedy itself, behind the last semicolon.
    pub(super) fn warned(warning: &Warning) -> Self {
        let (problem, remedy) =
            warning.text.rsplit_once("; ").unwrap_or((&warning.text, "change it if this is not intended"));
        Self::warning(Code::ConfigurationWarning, &warning.key, problem, Remedy::text(remedy))
    }
}
