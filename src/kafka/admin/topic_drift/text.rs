//! The texts of differences, with their fixes.

use std::fmt;
use std::time::Duration;

use super::{CLOCK_DIFFERENCE, Difference, OLDEST_TIMESTAMP};
use crate::diagnosis::Remedy;
use crate::kafka::admin::remedy::Right;
use crate::kafka::admin::topics::Cleanup;

impl Difference {
    /// Returns the fix. `configuration` is the path of the configuration file, for the command that creates topics.
    #[must_use]
    pub fn remedy(&self, topics: &[&str], configuration: &str) -> Remedy {
        let (name, each) = match topics {
            [topic] => (*topic, ""),
            _ => ("TOPIC", "for each topic, "),
        };
        let alter = |setting: String| alter(name, each, &setting);
        match self {
            Self::Missing => {
                let command = format!("idaas-bridge topics --config {configuration} --create");
                Remedy::command(if topics.len() == 1 { "create it" } else { "create them" }, &command)
            }
            Self::Hidden => Remedy::grant(&[Right::Write, Right::Read, Right::DescribeConfigs], topics),
            Self::Unreadable(_) | Self::NoLeader(_) | Self::NotInSync { .. } => {
                Remedy::from("start the brokers that are down, or check their logs")
            }
            Self::FewerPartitions { wanted, found } => {
                let command = "kafka-topics.sh --bootstrap-server HOST:PORT --alter";
                Remedy::command(
                    format!(
                        "set topics.partitions = {found}; or add partitions, which moves entities to other partitions"
                    ),
                    &format!("{command} --topic {name} --partitions {wanted}"),
                )
            }
            Self::StatePartitions { .. } => rebuild(name, each, configuration),
            Self::MorePartitions { found, .. } => Remedy::from(format!("set topics.partitions = {found}")),
            Self::Replication { wanted, found } => Remedy::from(format!(
                "add replicas with kafka-reassign-partitions.sh until there are {wanted}, or set \
                 topics.replication_factor = {found} if that is intended"
            )),
            Self::SingleReplica => {
                Remedy::from("use three brokers, three replicas and min.insync.replicas = 2 in production")
            }
            Self::MinInsyncReplicas { .. } => alter("min.insync.replicas=2".to_owned()),
            Self::TooFewReplicas { replication, .. } => {
                alter(format!("min.insync.replicas={}", (*replication).clamp(1, 2)))
            }
            Self::NoSpareReplica { .. } => {
                Remedy::from("have one replica more than min.insync.replicas (kafka-reassign-partitions.sh)")
            }
            Self::Compacted(_) => alter("cleanup.policy=delete".to_owned()),
            Self::NotCompacted(_) => alter("cleanup.policy=compact".to_owned()),
            Self::TombstoneRetention { .. } => {
                alter(format!("delete.retention.ms={}", Cleanup::TOMBSTONES_KEPT.as_millis()))
            }
            Self::MessageSize { wanted, found } => {
                let Remedy { text, command } = alter(format!("max.message.bytes={wanted}"));
                Remedy {
                    text: format!("set \"message.max.bytes\" = {found} in [kafka.properties], or {text}"),
                    command,
                }
            }
            Self::StateSize { wanted, .. } => alter(format!("max.message.bytes={wanted}")),
            Self::OldTimestamps { .. } => {
                alter(format!("message.timestamp.before.max.ms={}", OLDEST_TIMESTAMP.as_millis()))
            }
            Self::FutureTimestamps { .. } => alter("message.timestamp.after.max.ms=3600000".to_owned()),
            Self::Retention { wanted, .. } => alter(format!("retention.ms={wanted}")),
        }
    }
}

/// Returns the remedy for a state topic whose entities are in other partitions than their events.
fn rebuild(name: &str, each: &str, configuration: &str) -> Remedy {
    let text = format!(
        "{each}stop `materialize`, delete the offsets of its group, state.directory and the topic, and create it with \
         `idaas-bridge topics --config {configuration} --create` (docs/operations.md, \"State topics\")"
    );
    Remedy::command(text, &format!("kafka-topics.sh --bootstrap-server HOST:PORT --delete --topic {name}"))
}

fn state_size(f: &mut fmt::Formatter<'_>, wanted: usize, found: usize) -> fmt::Result {
    write!(
        f,
        "has max.message.bytes = {found}: events whose states are larger are skipped; groups with many members need up \
         to {wanted} bytes"
    )
}

fn ahead_of_clock(f: &mut fmt::Formatter<'_>, found: i64) -> fmt::Result {
    write!(
        f,
        "rejects records that are {} ahead of the broker's clock (message.timestamp.after.max.ms = {found}), and clocks \
         can differ by {}",
        span(found),
        humantime::format_duration(CLOCK_DIFFERENCE)
    )
}

fn partitions(count: i32) -> String {
    if count == 1 { "1 partition".to_owned() } else { format!("{count} partitions") }
}

/// Returns the remedy that changes a setting of a topic.
fn alter(name: &str, each: &str, setting: &str) -> Remedy {
    let command = "kafka-configs.sh --bootstrap-server HOST:PORT --alter --entity-type topics";
    Remedy::command(format!("{each}set {setting}"), &format!("{command} --entity-name {name} --add-config {setting}"))
}

/// Returns the predicate of a sentence about one topic.
impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing => f.write_str("is missing, so its records cannot be published"),
            Self::Hidden => f.write_str("is not visible to this user, so records cannot be published"),
            Self::Unreadable(problem) => write!(f, "cannot be read ({problem})"),
            Self::NoLeader(1) => f.write_str("has 1 partition without a leader, which accepts no records"),
            Self::NoLeader(count) => write!(f, "has {count} partitions without a leader, which accept no records"),
            Self::FewerPartitions { wanted, found } | Self::MorePartitions { wanted, found } => {
                write!(f, "has {}, and topics.partitions is {wanted}", partitions(*found))
            }
            Self::StatePartitions { events, wanted, found } => {
                let found = partitions(*found);
                write!(f, "has {found}, and its event topic {events} has {wanted}: `materialize` cannot maintain it")
            }
            Self::Replication { wanted, found } => {
                write!(f, "has replication factor {found}, and topics.replication_factor is {wanted}")
            }
            Self::SingleReplica => f.write_str("has one replica: the loss of a broker loses its events"),
            Self::MinInsyncReplicas { found } => {
                write!(f, "has min.insync.replicas = {found}: the loss of one broker can lose confirmed records")
            }
            Self::TooFewReplicas { needed, replication } => {
                write!(
                    f,
                    "has min.insync.replicas = {needed} and replication factor {replication}: Kafka before 3.7 accepts \
                     no records, and later versions need all replicas"
                )
            }
            Self::NoSpareReplica { needed } => {
                write!(f, "needs all of its {needed} replicas: while one broker is down, it accepts no records")
            }
            Self::NotInSync { in_sync, needed } => {
                let verb = if *in_sync == 1 { "replica is" } else { "replicas are" };
                write!(f, "accepts no records: only {in_sync} {verb} in sync, and min.insync.replicas is {needed}")
            }
            Self::Compacted(policy) => {
                write!(f, "has cleanup.policy = {policy}: compaction drops all but the last event of an entity")
            }
            Self::NotCompacted(policy) => {
                write!(f, "has cleanup.policy = {policy}; it must be compact, so that it keeps only the newest state")
            }
            Self::TombstoneRetention { found } => {
                write!(f, "keeps tombstones for {} (delete.retention.ms), and 7d are needed", span(*found))
            }
            Self::MessageSize { wanted, found } => {
                write!(f, "has max.message.bytes = {found}, and records of up to {wanted} bytes are published")
            }
            Self::StateSize { wanted, found } => state_size(f, *wanted, *found),
            Self::OldTimestamps { found } => write!(
                f,
                "rejects records that are older than {} (message.timestamp.before.max.ms or \
                 message.timestamp.difference.max.ms = {found}), and events can wait in the journal for longer",
                span(*found)
            ),
            Self::FutureTimestamps { found } => ahead_of_clock(f, *found),
            Self::Retention { wanted, found } => {
                write!(f, "keeps records for {}, and topics.retention is {}", span(*found), span(*wanted))
            }
        }
    }
}

/// Formats milliseconds for people. A negative number means no limit.
#[must_use]
pub fn span(milliseconds: i64) -> String {
    let days = |milliseconds: u64| milliseconds.is_multiple_of(86_400_000) && milliseconds > 0;
    match u64::try_from(milliseconds) {
        Err(_) => "unlimited".to_owned(),
        // humantime would format days as months and years.
        Ok(milliseconds) if days(milliseconds) => format!("{}d", milliseconds / 86_400_000),
        Ok(milliseconds) => humantime::format_duration(Duration::from_millis(milliseconds)).to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_days_or_smaller_units() {
        assert_eq!([span(-1), span(2_592_000_000), span(10_000)], ["unlimited", "30d", "10s"]);
    }

    #[test]
    fn counts_have_the_right_form() {
        let found = |found| Difference::MorePartitions { wanted: 1, found }.to_string();
        assert!(found(1).starts_with("has 1 partition,") && found(2).starts_with("has 2 partitions,"));
        assert!(Difference::NoLeader(1).to_string().starts_with("has 1 partition without"));
    }

    #[test]
    fn a_remedy_for_several_topics_names_none_of_them() {
        let remedy = Difference::Retention { wanted: 5, found: 4 }.remedy(&["a", "b"], "bridge.toml");
        assert!(remedy.text.starts_with("for each topic, set retention.ms=5"), "{remedy}");
        assert!(remedy.to_string().contains("--entity-name TOPIC"), "{remedy}");
    }
}
