//! The commands that grant missing rights to the Kafka user. Pure.

use crate::diagnosis::Remedy;

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
    /// Returns the name that `kafka-acls.sh --operation` accepts.
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

impl Remedy {
    /// Returns the command that lets the user be a member of a consumer group. `group` is a word of the shell.
    #[must_use]
    pub fn grant_group(group: &str) -> Self {
        let command = format!("{} --group {group}", grant_of(&[Right::Read]));
        Self::command("grant the user Read on the consumer group", &command)
    }

    /// Returns the command that lets the user use the transactional ids with a prefix. `prefix` is a word of the shell.
    #[must_use]
    pub fn grant_transactions(prefix: &str) -> Self {
        let rights = grant_of(&[Right::Write, Right::Describe]);
        let command = format!("{rights} --transactional-id {prefix} --resource-pattern-type prefixed");
        Self::command("grant the user Write and Describe on the transactional ids with this prefix", &command)
    }

    /// Returns the command that grants these rights on these topics.
    #[must_use]
    pub fn grant(rights: &[Right], topics: &[&str]) -> Self {
        let mut command = grant_of(rights);
        for topic in topics {
            command.push_str(&format!(" --topic {topic}"));
        }
        let names: Vec<_> = rights.iter().map(|right| right.operation()).collect();
        let what = if topics.len() == 1 { "the topic" } else { "the topics" };
        Self::command(format!("grant the user {} on {what}", names.join(" and ")), &command)
    }
}

/// Returns the command without what the rights are on.
fn grant_of(rights: &[Right]) -> String {
    let mut command = "kafka-acls.sh --bootstrap-server HOST:PORT --add --allow-principal User:NAME".to_owned();
    for right in rights {
        command.push_str(&format!(" --operation {}", right.operation()));
    }
    command
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
        let group = Remedy::grant_group("states").to_string();
        assert!(group.ends_with("--allow-principal User:NAME --operation Read --group states"), "{group}");
        let transactions = Remedy::grant_transactions("states").to_string();
        let end = "--operation Write --operation Describe --transactional-id states --resource-pattern-type prefixed";
        assert!(transactions.ends_with(end), "{transactions}");
    }
}
