//! What to do about a problem with Kafka: a sentence, and often a command. Pure.

use std::fmt;

/// A right of the Kafka user on topics, as Kafka's ACLs name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Right {
    /// Publish records. Implies DESCRIBE.
    Write,
    /// Read records, from which the dedup cache is rebuilt. Implies DESCRIBE.
    Read,
    /// See the topic and its partitions.
    Describe,
    /// See the topic's settings. Without it, `check` cannot test them.
    DescribeConfigs,
    /// Create the topic, for `topics.create` and `topics --create`.
    Create,
}

impl Right {
    /// The name that `kafka-acls.sh --operation` accepts.
    #[must_use]
    pub const fn operation(self) -> &'static str {
        match self {
            Self::Write => "Write",
            Self::Read => "Read",
            Self::Describe => "Describe",
            Self::DescribeConfigs => "DescribeConfigs",
            Self::Create => "Create",
        }
    }
}

/// What to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remedy {
    /// The sentence, without a full stop.
    pub text: String,
    /// The command that does it, word by word.
    pub command: Vec<String>,
}

impl Remedy {
    /// A remedy without a command.
    #[must_use]
    pub fn text(text: impl Into<String>) -> Self {
        Self { text: text.into(), command: Vec::new() }
    }

    /// A remedy with a command, whose words are separated by spaces.
    #[must_use]
    pub fn command(text: impl Into<String>, command: &str) -> Self {
        Self { text: text.into(), command: command.split(' ').map(str::to_owned).collect() }
    }

    /// Grants these rights on these topics.
    #[must_use]
    pub fn grant(rights: &[Right], topics: &[&str]) -> Self {
        let mut command = "kafka-acls.sh --bootstrap-server HOST:PORT --add --allow-principal User:NAME".to_owned();
        for right in rights {
            command.push_str(&format!(" --operation {}", right.operation()));
        }
        for topic in topics {
            command.push_str(&format!(" --topic {topic}"));
        }
        let names: Vec<_> = rights.iter().map(|right| right.operation()).collect();
        let what = if topics.len() == 1 { "the topic" } else { "the topics" };
        Self::command(format!("grant the user {} on {what}", names.join(" and ")), &command)
    }

    /// The command in lines of at most `width` characters, as a shell reads them. A longer word has its own line.
    #[must_use]
    pub fn command_lines(&self, width: usize) -> Vec<String> {
        let mut lines: Vec<String> = Vec::new();
        for option in self.options() {
            let joined = match lines.last() {
                // Two characters stay free for the backslash.
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

    /// The words, each option together with its value.
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

/// On one line, for log lines.
impl fmt::Display for Remedy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)?;
        if self.command.is_empty() { Ok(()) } else { write!(f, ": {}", self.command.join(" ")) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_grant_names_rights_and_topics() {
        let remedy = Remedy::grant(&[Right::Write, Right::Read], &["a.user.v1", "a.group.v1"]);
        assert_eq!(
            remedy.to_string(),
            "grant the user Write and Read on the topics: kafka-acls.sh --bootstrap-server HOST:PORT --add \
             --allow-principal User:NAME --operation Write --operation Read --topic a.user.v1 --topic a.group.v1"
        );
    }

    #[test]
    fn command_lines_fit_and_keep_options_whole() {
        let lines = Remedy::grant(&[Right::Write], &["a.user.v1", "a.group.v1"]).command_lines(50);
        assert_eq!(
            lines,
            [
                "kafka-acls.sh --bootstrap-server HOST:PORT --add \\",
                "  --allow-principal User:NAME --operation Write \\",
                "  --topic a.user.v1 --topic a.group.v1",
            ]
        );
        assert!(Remedy::text("wait").command_lines(50).is_empty());
    }
}
