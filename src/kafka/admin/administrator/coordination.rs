//! The topic over which replicas coordinate. Its records are obsolete after an hour.

use std::time::{Duration, Instant};

use rdkafka::admin::{AdminOptions, NewTopic, TopicReplication};
use rdkafka::error::RDKafkaErrorCode;

use super::{Administrator, Creation, POLL_TIMEOUT, PROPAGATION, code, creation};
use crate::kafka::admin::topics::State;
use crate::kafka::client::connection_error::Unreachable;

/// The topic's settings. Segments are small, because only whole ones are deleted.
const SETTINGS: [(&str, &str); 3] =
    [("cleanup.policy", "delete"), ("retention.ms", "3600000"), ("segment.ms", "600000")];

impl Administrator {
    /// Returns the state of the coordination topic, without its settings. `None` if the cluster does not answer in
    /// time.
    #[must_use]
    pub fn coordination_topic(&self, topic: &str, limit: Duration) -> Option<State> {
        self.state(topic, limit).ok()
    }

    /// Like [`Administrator::coordination_topic`], with the topic's settings.
    #[must_use]
    pub fn coordination_topic_with_settings(&self, topic: &str, limit: Duration) -> Option<State> {
        let mut states = [self.coordination_topic(topic, limit)?];
        self.add_settings(&[topic], &mut states);
        let [state] = states;
        Some(state)
    }

    /// Validates what [`Administrator::create_coordination_topic`] would do: the cluster checks the request and creates
    /// nothing.
    ///
    /// # Errors
    /// See [`Administrator::create_coordination_topic`].
    pub fn try_create_coordination_topic(
        &self,
        topic: &str,
        replication: i32,
        limit: Duration,
    ) -> Result<Creation, Unreachable> {
        self.request_coordination_topic(topic, replication, limit, true)
    }

    /// Creates the coordination topic, and waits until it is visible.
    ///
    /// # Errors
    /// [`Unreachable`] if the cluster does not answer within `limit`.
    pub fn create_coordination_topic(
        &self,
        topic: &str,
        replication: i32,
        limit: Duration,
    ) -> Result<Creation, Unreachable> {
        let created = self.request_coordination_topic(topic, replication, limit, false)?;
        let end = Instant::now() + PROPAGATION;
        let is_seen = || match self.coordination_topic(topic, POLL_TIMEOUT) {
            Some(State::Present(present)) => present.leaderless == 0,
            Some(State::Missing | State::Hidden | State::Unreadable(_)) | None => false,
        };
        while created == Creation::Created && Instant::now() < end && !is_seen() {
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(created)
    }

    fn request_coordination_topic(
        &self,
        topic: &str,
        replication: i32,
        limit: Duration,
        only_try: bool,
    ) -> Result<Creation, Unreachable> {
        self.reach(limit)?;
        let new = NewTopic::new(topic, 1, TopicReplication::Fixed(replication));
        let new = SETTINGS.iter().fold(new, |new, (name, value)| new.set(name, value));
        let options =
            AdminOptions::new().request_timeout(Some(limit)).operation_timeout(Some(limit)).validate_only(only_try);
        let error = match self.runtime.block_on(self.admin.create_topics([&new], &options)) {
            Ok(results) => results.into_iter().find_map(Result::err).map(|(_, code)| code),
            Err(error) => Some(code(&error).unwrap_or(RDKafkaErrorCode::Fail)),
        };
        Ok(creation(error))
    }
}
