//! The headline of the console: the most severe condition that currently holds. Pure.

use serde::Serialize;

/// The severity of the headline.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Level {
    /// No action is needed.
    Ok,
    /// An operator should look at it, but not urgently.
    Warning,
    /// An operator should look at it now.
    Critical,
}

/// The state of the service in one sentence.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Headline {
    level: Level,
    title: String,
    /// Start of the condition, in milliseconds since 1970.
    since: Option<i64>,
    detail: String,
}

/// The inputs of the headline.
#[derive(Debug, Default)]
pub(super) struct HeadlineInput {
    pub(super) draining: bool,
    pub(super) ready: bool,
    pub(super) kafka_available: bool,
    /// Time of the last change of `kafka_available`, in milliseconds since 1970. `None` before the first answer.
    pub(super) kafka_since: Option<i64>,
    pub(super) partitions_unavailable: i64,
    pub(super) journal_events: u64,
    pub(super) journal_full: bool,
    pub(super) quarantine_callbacks: u64,
    pub(super) applications: usize,
    pub(super) without_keys: usize,
    pub(super) reload_failed: bool,
}

impl Headline {
    /// Returns the headline for the first condition that holds, in order of severity.
    pub(super) fn of(input: &HeadlineInput) -> Self {
        let headline =
            |level, title: String, since, detail: &str| Self { level, title, since, detail: detail.to_owned() };
        if input.draining {
            return headline(Level::Warning, "Shutting down".into(), None, "Callbacks in progress are finished.");
        }
        if let Some(headline) = Self::outage(input) {
            return headline;
        }
        if input.without_keys > 0 {
            let title = if input.without_keys == input.applications {
                "No application has its public keys".to_owned()
            } else {
                format!("{} without public keys", counted(input.without_keys as u64, "application"))
            };
            let detail = "Their callbacks are answered keys_unavailable, and IDaaS sends them again.";
            return headline(Level::Critical, title, None, detail);
        }
        if input.partitions_unavailable > 0 {
            let count = u64::try_from(input.partitions_unavailable).unwrap_or_default();
            let title = match count {
                1 => "1 partition accepts no records".to_owned(),
                count => format!("{count} partitions accept no records"),
            };
            return headline(
                Level::Critical,
                title,
                None,
                "Their events wait in the journal. All others are delivered.",
            );
        }
        if input.quarantine_callbacks > 0 {
            let title = format!("{} in quarantine", counted(input.quarantine_callbacks, "callback"));
            let detail = "They cannot be decrypted or read. They are published once a matching key is configured.";
            return headline(Level::Warning, title, None, detail);
        }
        if input.journal_events > 0 {
            let title = format!("{} in the journal", counted(input.journal_events, "event"));
            return headline(Level::Warning, title, None, "Kafka is available, and they are being published in order.");
        }
        if input.reload_failed {
            let detail = "The previous configuration stays in force. The log names the problem.";
            return headline(Level::Warning, "The last reload failed".into(), None, detail);
        }
        if !input.ready {
            return headline(
                Level::Warning,
                "Starting".into(),
                None,
                "Callbacks are accepted once the service is ready.",
            );
        }
        headline(Level::Ok, "Everything is delivered".into(), None, "Kafka is available, and nothing waits.")
    }

    fn outage(input: &HeadlineInput) -> Option<Self> {
        if input.kafka_available {
            return None;
        }
        let (level, title) = match input.kafka_since {
            Some(_) => (Level::Critical, "Kafka is unavailable"),
            None => (Level::Warning, "Kafka has not answered yet"),
        };
        let detail = if input.journal_full {
            "The journal is full: events are answered as overloaded, and IDaaS sends them again for 36 s."
        } else {
            "Events wait in the journal, and are published once Kafka is available."
        };
        Some(Self { level, title: title.to_owned(), since: input.kafka_since, detail: detail.to_owned() })
    }
}

fn counted(count: u64, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fine() -> HeadlineInput {
        HeadlineInput {
            ready: true,
            kafka_available: true,
            kafka_since: Some(1),
            applications: 3,
            ..HeadlineInput::default()
        }
    }

    fn title(input: HeadlineInput) -> (Level, String) {
        let headline = Headline::of(&input);
        (headline.level, headline.title)
    }

    #[test]
    fn the_worst_that_is_true_is_the_headline() {
        assert_eq!(title(fine()), (Level::Ok, "Everything is delivered".to_owned()));
        let journal = || HeadlineInput { journal_events: 1, ..fine() };
        assert_eq!(title(journal()), (Level::Warning, "1 event in the journal".to_owned()));
        let quarantine = || HeadlineInput { quarantine_callbacks: 2, ..journal() };
        assert_eq!(title(quarantine()), (Level::Warning, "2 callbacks in quarantine".to_owned()));
        let partitions = || HeadlineInput { partitions_unavailable: 4, ..quarantine() };
        assert_eq!(title(partitions()), (Level::Critical, "4 partitions accept no records".to_owned()));
        let keys = || HeadlineInput { without_keys: 1, ..partitions() };
        assert_eq!(title(keys()), (Level::Critical, "1 application without public keys".to_owned()));
        let kafka = || HeadlineInput { kafka_available: false, ..keys() };
        assert_eq!(title(kafka()), (Level::Critical, "Kafka is unavailable".to_owned()));
        assert_eq!(title(HeadlineInput { draining: true, ..kafka() }), (Level::Warning, "Shutting down".to_owned()));
    }

    #[test]
    fn an_outage_says_since_when_and_what_becomes_of_events() {
        let outage = HeadlineInput { kafka_available: false, kafka_since: Some(7), ..fine() };
        let headline = Headline::of(&outage);
        assert_eq!(headline.since, Some(7));
        assert!(headline.detail.contains("wait in the journal"), "{headline:?}");
        let full = Headline::of(&HeadlineInput { journal_full: true, ..outage });
        assert!(full.detail.contains("overloaded"), "{full:?}");
    }

    #[test]
    fn a_start_without_kafka_is_not_an_outage_yet() {
        let input = HeadlineInput { kafka_available: false, kafka_since: None, ready: false, ..fine() };
        assert_eq!(title(input), (Level::Warning, "Kafka has not answered yet".to_owned()));
    }
}
