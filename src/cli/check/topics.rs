//! Checks the topics: their settings, and the permissions of this user. Publishes nothing.

use std::collections::BTreeSet;

use super::brokers::REQUEST_TIMEOUT;
use super::code::Code;
use super::finding::Finding;
use super::report::plural;
use crate::config::Config;
use crate::diagnosis::{Diagnosis, Remedy};
use crate::kafka::admin::administrator::{Administrator, Creation};
use crate::kafka::admin::permissions::{self, Reading, WriteTest, Writing};
use crate::kafka::admin::remedy::Right;
use crate::kafka::admin::topic_drift::compare::{differences, grouped};
use crate::kafka::admin::topic_drift::{Difference, Severity};
use crate::kafka::admin::topics::{ExistingTopic, State, TopicSettings, Unknown, WantedTopic};
use crate::kafka::client::settings::Cluster;

/// The inputs of the checks.
pub(super) struct Examination<'a> {
    pub(super) config: &'a Config,
    pub(super) cluster: &'a Cluster,
    pub(super) administrator: &'a Administrator,
    pub(super) plan: &'a TopicSettings,
    /// States of the topics, in the order of the plan.
    pub(super) states: &'a [State],
    /// Ids of the brokers that respond at their advertised address.
    pub(super) reached: &'a BTreeSet<i32>,
    /// Path of the configuration file.
    pub(super) path: &'a str,
    /// The command that creates missing topics.
    pub(super) creator: &'a str,
}

/// A topic that exists.
#[derive(Clone, Copy)]
pub(super) struct Existing<'a> {
    pub(super) name: &'a str,
    pub(super) present: &'a ExistingTopic,
    /// A partition whose leader responds.
    pub(super) partition: Option<i32>,
}

impl<'a> Examination<'a> {
    /// Checks event topics. Returns what is known about the right to READ those that exist.
    pub(super) fn run(&self, emit: &mut dyn FnMut(Finding)) -> Vec<(&'a str, Reading)> {
        let readings = self.tested(emit);
        self.reading(&readings, emit);
        readings
    }

    /// Checks state topics, which `materialize` restores its working state from.
    pub(super) fn run_states(&self, emit: &mut dyn FnMut(Finding)) {
        let readings = self.tested(emit);
        self.restoring(&readings, emit);
    }

    fn tested(&self, emit: &mut dyn FnMut(Finding)) -> Vec<(&'a str, Reading)> {
        for group in grouped(self.plan, self.states) {
            if group.difference == Difference::Missing && self.config.topics.create {
                self.creation(emit);
                continue;
            }
            let problem = self.sentence(&group.topics, &group.difference.to_string());
            let remedy = group.difference.remedy(&group.topics, self.path);
            let (code, key) = (Code::Difference(group.difference.code()), self.key(&group.topics));
            emit(match group.difference.severity() {
                Severity::Wrong => Finding::fault(code, &key, &problem, remedy),
                Severity::Notable => Finding::warning(code, &key, &problem, remedy),
            });
        }
        let fine = self.plan.topics.iter().zip(self.states).filter_map(|(wanted, state)| match state {
            State::Present(present) if differences(wanted, state).is_empty() => {
                Some((wanted.name.as_str(), describe(present)))
            }
            State::Present(_) | State::Missing | State::Hidden | State::Unreadable(_) => None,
        });
        for (description, topics) in by_value(fine) {
            emit(Finding::ok(Code::Topic, &self.key(&topics), &self.sentence(&topics, &description)));
        }
        let existing = self.existing();
        self.settings(&existing, emit);
        self.writing(&existing, emit);
        let asked: Vec<_> = existing.iter().filter_map(|topic| Some((topic.name, topic.partition?))).collect();
        let answers = permissions::reading(self.cluster, &asked, REQUEST_TIMEOUT);
        asked.into_iter().map(|(name, _)| name).zip(answers).collect()
    }

    /// Returns a partition whose leader responds.
    pub(super) fn reached_partition(&self, present: &ExistingTopic) -> Option<i32> {
        present.leaders.iter().find(|leader| self.reached.contains(&leader.broker)).map(|leader| leader.partition)
    }

    fn existing(&self) -> Vec<Existing<'a>> {
        let leader = |present: &ExistingTopic| self.reached_partition(present);
        let existing = self.plan.topics.iter().zip(self.states).filter_map(|(wanted, state)| match state {
            State::Present(present) => Some(Existing { name: &wanted.name, present, partition: leader(present) }),
            State::Missing | State::Hidden | State::Unreadable(_) => None,
        });
        existing.collect()
    }

    /// Checks whether the cluster would let `serve` create the missing topics at its start.
    fn creation(&self, emit: &mut dyn FnMut(Finding)) {
        let pairs = self.plan.topics.iter().zip(self.states);
        let missing: Vec<&WantedTopic> =
            pairs.filter(|(_, state)| **state == State::Missing).map(|(wanted, _)| wanted).collect();
        let names: Vec<&str> = missing.iter().map(|wanted| wanted.name.as_str()).collect();
        let code = Code::TopicCreate;
        let creations = match self.administrator.try_create(&missing, REQUEST_TIMEOUT) {
            Ok(creations) => creations,
            Err(unreachable) => {
                let why = format!("whether the user may create them: {unreachable}");
                let remedy = "run check again once Kafka answers";
                return emit(Finding::undecided(code, &self.key(&names), &why, remedy));
            }
        };
        for (creation, topics) in by_value(names.into_iter().zip(creations)) {
            let key = self.key(&topics);
            match creation {
                Creation::Created | Creation::AlreadyExists => {
                    let text = format!("is missing, will be created by {}, and this user may create it", self.creator);
                    emit(Finding::ok(code, &key, &self.sentence(&topics, &text)));
                    let why = "whether this user may write and read: the topic has to exist first";
                    let remedy = format!("start {} or run topics --create, then run check again", self.creator);
                    emit(Finding::not_tested(Code::TopicWrite, &key, why, remedy));
                }
                Creation::Rejected { diagnosis: Diagnosis { problem, remedy, .. }, forbidden } => {
                    let problem = format!("is missing, and cannot be created by {}: {problem}", self.creator);
                    let remedy =
                        if forbidden { Remedy::grant(&[Right::Create], &topics) } else { remedy.unwrap_or_default() };
                    emit(Finding::fault(code, &key, &self.sentence(&topics, &problem), remedy));
                }
            }
        }
    }

    fn settings(&self, existing: &[Existing<'_>], emit: &mut dyn FnMut(Finding)) {
        let unknown = existing.iter().filter_map(|topic| Some((topic.name, topic.present.settings.as_ref().err()?)));
        for (why, topics) in by_value(unknown) {
            let text = format!(
                "min.insync.replicas, cleanup.policy, max.message.bytes, retention and limits of timestamps: {why}"
            );
            let remedy = match why {
                Unknown::NotAllowed => Remedy::grant(&[Right::DescribeConfigs], &topics),
                Unknown::NotRequested | Unknown::NotSupported | Unknown::NoAnswer | Unknown::Other(_) => {
                    Remedy::from("compare them with the table of `idaas-bridge topics` by hand")
                }
            };
            emit(Finding::not_tested(Code::TopicSettings, &self.key(&topics), &text, remedy));
        }
    }

    fn writing(&self, existing: &[Existing<'_>], emit: &mut dyn FnMut(Finding)) {
        let code = Code::TopicWrite;
        let tests: Vec<_> = existing.iter().filter_map(write_test).collect();
        let answers = match permissions::writing(self.cluster, &tests, REQUEST_TIMEOUT) {
            Ok(answers) => answers,
            Err(problem) => tests.iter().map(|_| Writing::Unknown(problem.clone())).collect(),
        };
        for (writing, topics) in by_value(tests.iter().map(|test| test.topic).zip(answers)) {
            let key = self.key(&topics);
            emit(match writing {
                Writing::Allowed => Finding::ok(code, &key, "the user may write"),
                Writing::NotAllowed => {
                    let problem = "the user of [kafka.properties] does not have the right to WRITE";
                    Finding::fault(code, &key, problem, Remedy::grant(&[Right::Write], &topics))
                }
                Writing::Published => Finding::fault(
                    code,
                    &key,
                    "the user may write, but the cluster published the empty record of an invalid request, so it is \
                     not Apache Kafka",
                    "have consumers skip the record without a key, and do not run check again",
                ),
                Writing::Unknown(why) => Finding::undecided(
                    code,
                    &key,
                    &format!("whether the user may write: {why}"),
                    "see the other findings, and run check again",
                ),
            });
        }
        let untested = existing.iter().filter_map(|topic| Some((topic.name, why_untestable(topic)?)));
        for (why, topics) in by_value(untested) {
            let remedy = "see the other findings; or publish a record to another topic as this user";
            let why = format!("whether the user may write: {why}");
            emit(Finding::undecided(code, &self.key(&topics), &why, remedy));
        }
    }

    /// Checks whether the service can read, at its start, what was published before.
    fn reading(&self, readings: &[(&str, Reading)], emit: &mut dyn FnMut(Finding)) {
        let denied = |key: &str, topics: &[&str]| {
            let problem = "the user of [kafka.properties] does not have the right to READ, so after a restart the \
                           service does not know what it has published, and publishes again what IDaaS sends again";
            Finding::warning(Code::TopicRead, key, problem, Remedy::grant(&[Right::Read], topics))
        };
        self.readings(readings, denied, emit);
    }

    /// Checks whether `materialize` can restore its working state.
    fn restoring(&self, readings: &[(&str, Reading)], emit: &mut dyn FnMut(Finding)) {
        let denied = |key: &str, topics: &[&str]| {
            let problem = "the user of [kafka.properties] does not have the right to READ, so `materialize` cannot \
                           restore the states";
            Finding::fault(Code::TopicRead, key, problem, Remedy::grant(&[Right::Read], topics))
        };
        self.readings(readings, denied, emit);
    }

    fn readings(
        &self,
        readings: &[(&str, Reading)],
        denied: impl Fn(&str, &[&str]) -> Finding,
        emit: &mut dyn FnMut(Finding),
    ) {
        let code = Code::TopicRead;
        for (reading, topics) in by_value(readings.iter().map(|(name, reading)| (*name, reading))) {
            let key = self.key(&topics);
            emit(match reading {
                Reading::Allowed => Finding::ok(code, &key, "the user may read"),
                Reading::NotAllowed => denied(&key, &topics),
                Reading::Unknown(why) => Finding::not_tested(
                    code,
                    &key,
                    &format!("whether the user may read: {why}"),
                    "see the other findings, and run check again",
                ),
            });
        }
    }

    /// Returns the heading of a finding about these topics.
    fn key(&self, topics: &[&str]) -> String {
        match topics {
            [topic] => format!("topic {topic}"),
            _ if topics.len() == self.plan.topics.len() => format!("all {}", plural(topics.len(), "topic")),
            _ => plural(topics.len(), "topic"),
        }
    }

    /// Applies a predicate about one topic to these topics.
    fn sentence(&self, topics: &[&str], predicate: &str) -> String {
        match topics {
            [_] => predicate.to_owned(),
            _ if topics.len() == self.plan.topics.len() => format!("each {predicate}"),
            _ => format!("each {predicate} ({})", topics.join(", ")),
        }
    }
}

/// Returns the test of the permission to write, if it is safe. Only a cluster that returns the settings of topics, or
/// denies access to them, is known to be Apache Kafka. Another one could publish the record of the invalid request.
pub(super) fn write_test<'a>(topic: &Existing<'a>) -> Option<WriteTest<'a>> {
    if why_untestable(topic).is_some() {
        return None;
    }
    let limit = topic.present.settings.as_ref().ok().and_then(|settings| settings.max_message_bytes);
    Some(WriteTest { topic: topic.name, partition: topic.partition?, limit })
}

/// Returns why the permission to write cannot be tested. `None` if it can be.
pub(super) fn why_untestable(topic: &Existing<'_>) -> Option<String> {
    if topic.partition.is_none() {
        return Some("no leader of its partitions answers".to_owned());
    }
    match &topic.present.settings {
        Ok(_) | Err(Unknown::NotAllowed) => None,
        Err(why @ (Unknown::NotRequested | Unknown::NotSupported | Unknown::NoAnswer | Unknown::Other(_))) => {
            Some(format!("without the topic's settings, the test could publish a record ({why})"))
        }
    }
}

fn describe(present: &ExistingTopic) -> String {
    let known = present.settings.clone().unwrap_or_default();
    let count = |count: i32, what: &str| plural(usize::try_from(count).unwrap_or_default(), what);
    let mut text =
        format!("has {} and {}", count(present.partitions, "partition"), count(present.replication, "replica"));
    if let Some(in_sync) = known.min_insync_replicas {
        text.push_str(&format!(", min.insync.replicas {in_sync}"));
    }
    if let Some(policy) = known.cleanup_policy {
        text.push_str(&format!(", cleanup.policy {policy}"));
    }
    text
}

/// Groups the topics by value.
fn by_value<'a, T: PartialEq>(items: impl Iterator<Item = (&'a str, T)>) -> Vec<(T, Vec<&'a str>)> {
    let mut groups: Vec<(T, Vec<&'a str>)> = Vec::new();
    for (topic, value) in items {
        match groups.iter_mut().find(|(other, _)| *other == value) {
            Some((_, topics)) => topics.push(topic),
            None => groups.push((value, vec![topic])),
        }
    }
    groups
}
