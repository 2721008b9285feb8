//! Problems as users see them: a stable code, the location, what is wrong, and what to do about it.
//!
//! Each error enum converts to a [`Diagnosis`] next to its definition. The log uses `Display`; the terminal uses
//! `cli::output`. Diagnoses are not `miette` reports, because those quote the source, which can contain a secret, and
//! cannot wrap a command into lines that a shell accepts.

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

    /// Returns the key and the problem.
    #[must_use]
    pub fn headline(&self) -> String {
        if self.key.is_empty() { self.problem.clone() } else { format!("{}: {}", self.key, self.problem) }
    }
}

/// Creates a diagnosis of the configuration, or of how it fits this machine.
pub fn misconfigured(problem: impl Into<String>, remedy: impl Into<Remedy>) -> Diagnosis {
    Diagnosis::new("configuration", problem, remedy)
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

    /// Wraps the command into lines of at most `width` characters that a shell accepts. A longer word has its own line.
    #[must_use]
    pub fn command_lines(&self, width: usize) -> Vec<String> {
        let mut lines: Vec<String> = Vec::new();
        for option in self.options() {
            let joined = match lines.last() {
                // Leaves two characters for the continuation backslash.
                Some(line) if line.len() + 1 + option.len() + 2 <= width => format!("{line} {option}"),
                Some(_) | None => {
                    lines.push(if lines.is_empty() { option } else { format!("  {option}") });
                    continue;
                }
            };
            if let Some(line) = lines.last_mut() {
                *line = joined;
            }
        }
        let last = lines.len().saturating_sub(1);
        lines.into_iter().enumerate().map(|(at, line)| if at < last { format!("{line} \\") } else { line }).collect()
    }

    /// Groups the words: each option with its value.
    fn options(&self) -> Vec<String> {
        let mut options: Vec<String> = Vec::new();
        for word in &self.command {
            match options.last_mut() {
                Some(option) if !word.starts_with("--") && option.starts_with("--") && !option.contains(' ') => {
                    option.push_str(&format!(" {word}"));
                }
                Some(_) | None => options.push(word.clone()),
            }
        }
        options
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
        let remedy = Remedy::command("take it away", "chmod o= key");
        let diagnosis = misconfigured("can be read by everybody", remedy);
        assert_eq!(diagnosis.to_string(), "can be read by everybody; take it away: chmod o= key");
        assert_eq!(
            diagnosis.at("journal.keys").to_string(),
            "journal.keys: can be read by everybody; take it away: chmod o= key"
        );
    }

    #[test]
    fn command_lines_fit_and_keep_options_whole() {
        let command = "kafka-acls.sh --bootstrap-server HOST:PORT --add --allow-principal User:NAME --operation Write \
                       --topic a.user.v1 --topic a.group.v1";
        assert_eq!(
            Remedy::command("grant it", command).command_lines(50),
            [
                "kafka-acls.sh --bootstrap-server HOST:PORT --add \\",
                "  --allow-principal User:NAME --operation Write \\",
                "  --topic a.user.v1 --topic a.group.v1",
            ]
        );
        assert!(Remedy::from("wait").command_lines(50).is_empty());
    }
}
