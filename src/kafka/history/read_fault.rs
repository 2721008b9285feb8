//! Why topics cannot be read.

use crate::diagnosis::Diagnosis;
use crate::kafka::client::connection_error::Unreachable;
use crate::kafka::client::error::rejected_property;

/// Why topics cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadFault {
    /// librdkafka rejects a property. The text shows no value.
    #[error("{0}")]
    Settings(String),
    /// The cluster does not answer.
    #[error("{0}")]
    Unreachable(Unreachable),
    /// This user may not read the topics: it needs READ and DESCRIBE on them.
    #[error("the user of [kafka.properties] may not read the topics; grant it READ on them")]
    NotAllowed,
}

impl From<&ReadFault> for Diagnosis {
    fn from(fault: &ReadFault) -> Self {
        match fault {
            ReadFault::Settings(problem) => rejected_property(problem),
            ReadFault::Unreachable(unreachable) => Self::from(unreachable).context("the topics cannot be read"),
            ReadFault::NotAllowed => {
                let problem = "the user of [kafka.properties] may not read the topics";
                Self::new("topic_read", problem, "grant it READ on them")
            }
        }
    }
}
