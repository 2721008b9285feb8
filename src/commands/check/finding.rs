//! One line of the doctor's report.

use crate::config::{Fault, Warning};

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Level {
    Ok,
    Warning,
    Fault,
    /// Not looked at, and why.
    Skipped,
}

impl Level {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warning => "warning",
            Self::Fault => "fault",
            Self::Skipped => "skipped",
        }
    }
}

/// What was found of one thing. Never holds a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Finding {
    pub(super) level: Level,
    /// The key of the configuration, or what it is about.
    pub(super) key: String,
    /// Problem and remedy, or what is good.
    pub(super) text: String,
    /// Whether `serve` would refuse to start for it.
    pub(super) prevents_start: bool,
}

impl Finding {
    fn new(level: Level, key: &str, text: String) -> Self {
        Self { level, key: key.to_owned(), text, prevents_start: false }
    }

    pub(super) fn ok(key: &str, text: &str) -> Self {
        Self::new(Level::Ok, key, text.to_owned())
    }

    pub(super) fn warning(key: &str, problem: &str, remedy: &str) -> Self {
        Self::new(Level::Warning, key, format!("{problem}; {remedy}"))
    }

    pub(super) fn fault(key: &str, problem: &str, remedy: &str) -> Self {
        Self::new(Level::Fault, key, format!("{problem}; {remedy}"))
    }

    pub(super) fn skipped(key: &str, why: &str) -> Self {
        Self::new(Level::Skipped, key, why.to_owned())
    }

    /// A fault for which `serve` does not start.
    pub(super) fn prevents_start(fault: Fault) -> Self {
        Self { prevents_start: true, ..Self::fault(&fault.key, &fault.problem, &fault.remedy) }
    }

    /// A warning of the configuration, which names its remedy itself.
    pub(super) fn warned(warning: &Warning) -> Self {
        Self::new(Level::Warning, &warning.key, warning.text.clone())
    }
}
