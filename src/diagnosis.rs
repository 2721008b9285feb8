//! A problem as people see it: a stable code, where it is, what is wrong, and what to do about it.
//!
//! Every closed list of faults becomes a [`Diagnosis`] by `From`, beside the list. The log shows its `Display`; the
//! terminal shows it by `cli::output::report`, or by `cli::print_faults` if the configuration cannot be used. It is not
//! a `miette` report, because that quotes the source, which can hold a secret, and does not break a command into lines
//! that a shell can read.

use std::fmt;

use serde::{Serialize, Serializer};

/// A problem and its fix. Never contains a value that can be a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnosis {
    /// The stable code.
    pub code: &'static str,
    /// The configuration key (`server.listen`), the environment variable that set it, a position in a file (`line 3,
    /// column 7`), or another subject. Empty if the problem itself names the subject.
    pub key: String,
    /// What is wrong.
    pub problem: String,
    /// What to do. `None` if no action is needed.
    pub remedy: Option<Remedy>,
}

impl Diagnosis {
    /// Creates a diagnosis with a remedy.
    pub fn new(code: impl Into<&'static str>, problem: impl Into<String>, remedy: impl Into<Remedy>) -> Self {
        Self { code: code.into(), key: String::new(), problem: problem.into(), remedy: Some(remedy.into()) }
    }

    /// Sets the key.
    #[must_use]
    pub fn at(self, key: impl Into<String>) -> Self {
        Self { key: key.into(), ..self }
    }

    /// Prefixes the problem with what failed because of it.
    #[must_use]
    pub fn context(self, what: impl fmt::Display) -> Self {
        Self { problem: format!("{what}: {}", self.problem), ..self }
    }

    /// Returns true if the configuration has to be corrected.
    #[must_use]
    pub fn is_misconfiguration(&self) -> bool {
        self.code == CONFIGURATION
    }

    /// Returns the key and the problem.
    #[must_use]
    pub fn headline(&self) -> String {
        if self.key.is_empty() { self.problem.clone() } else { format!("{}: {}", self.key, self.problem) }
    }
}

/// The code of every problem of the configuration.
const CONFIGURATION: &str = "configuration";

/// Creates a diagnosis of the configuration, or of how it fits this machine.
pub fn misconfigured(problem: impl Into<String>, remedy: impl Into<Remedy>) -> Diagnosis {
    Diagnosis::new(CONFIGURATION, problem, remedy)
}

/// On one line, for the log.
impl fmt::Display for Diagnosis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.headline())?;
        self.remedy.as_ref().map_or(Ok(()), |remedy| write!(f, "; {remedy}"))
    }
}

impl std::error::Error for Diagnosis {}

/// Serializes the same text as `Display`.
impl Serialize for Diagnosis {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// What to do: a sentence, and optionally a command. A text alone converts to a remedy without a command.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Remedy {
    /// The sentence, without a full stop.
    pub text: String,
    /// The words of the command.
    pub command: Vec<String>,
}

impl Remedy {
    /// Creates a remedy with a command, whose words are separated by spaces.
    #[must_use]
    pub fn command(text: impl Into<String>, command: &str) -> Self {
        Self { text: text.into(), command: command.split(' ').map(str::to_owned).collect() }
    }
}

/// On one line, for the log.
impl fmt::Display for Remedy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)?;
        if self.command.is_empty() { Ok(()) } else { write!(f, ": {}", self.command.join(" ")) }
    }
}

impl<T: Into<String>> From<T> for Remedy {
    fn from(text: T) -> Self {
        Self { text: text.into(), command: Vec::new() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_diagnosis_is_one_line_in_the_log() {
        let remedy = Remedy::command("restrict it", "chmod o= key");
        let diagnosis = misconfigured("can be read by everybody", remedy);
        assert_eq!(diagnosis.to_string(), "can be read by everybody; restrict it: chmod o= key");
        assert_eq!(
            diagnosis.at("journal.keys").to_string(),
            "journal.keys: can be read by everybody; restrict it: chmod o= key"
        );
    }
}
