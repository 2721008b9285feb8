//! Why a run ends before everything is read and published.

use std::fmt;

use super::deletions::MassDeletion;
use crate::fetch::fault::ApiFault;
use crate::fetch::known::KnownFault;
use crate::fetch::walk::Problem;
use crate::http_client::HttpFault;
use crate::kafka::client::connection_error::Unreachable;

/// Why a run ends early.
#[derive(Debug)]
pub enum RunFault {
    /// The HTTP client cannot be set up.
    Http(HttpFault),
    /// The API rejects a request or does not answer.
    Api(ApiFault),
    /// Kafka does not answer at the beginning.
    Away(Unreachable),
    /// A Kafka client cannot be made, in words that show no value.
    Kafka(String),
    /// These topics do not exist.
    MissingTopics(Vec<String>),
    /// The Kafka user may not write to a topic.
    NotAuthorized,
    /// The event topics cannot be read, so that it is not known what the run has published.
    Topics(KnownFault),
    /// The state topics cannot be read, so that it is not known what is missing.
    State(KnownFault),
    /// So many entities are gone that the operator has to consent.
    MassDeletion(Vec<MassDeletion>),
}

impl RunFault {
    /// What to do about it.
    #[must_use]
    pub fn remedy(&self) -> String {
        match self {
            Self::Http(_) => "see that the proxy's address is a URL and that OpenSSL is intact".to_owned(),
            Self::Api(fault) => fault.remedy(),
            Self::Away(_) => "see that kafka.bootstrap_servers and [kafka.properties] are right; \
                              `idaas-bridge check` tells more"
                .to_owned(),
            Self::Kafka(_) => "correct [kafka.properties]".to_owned(),
            Self::MissingTopics(_) => "create them: idaas-bridge topics --create".to_owned(),
            Self::NotAuthorized => "grant the user of [kafka.properties] WRITE on the topics".to_owned(),
            Self::Topics(_) => {
                "grant the user of [kafka.properties] READ on the event topics, or start a new run without --run"
                    .to_owned()
            }
            Self::State(KnownFault::Missing(_)) => {
                "deletions are found by the state topics; run `idaas-bridge materialize` first".to_owned()
            }
            Self::State(KnownFault::Kafka(_) | KnownFault::Incomplete) => {
                "grant the user of [kafka.properties] READ on the state topics, and try again".to_owned()
            }
            Self::MassDeletion(_) => {
                "see that the application's synchronization scope is as it should be; if these entities are really \
                 gone, add --allow-mass-deletion"
                    .to_owned()
            }
        }
    }
}

impl fmt::Display for RunFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Http(fault) => write!(f, "{fault}"),
            Self::Api(ApiFault { call, cause, .. }) => write!(f, "{call}: {cause}"),
            Self::Away(away) => write!(f, "{away}"),
            Self::Kafka(words) => f.write_str(words),
            Self::MissingTopics(topics) => write!(f, "there is no topic {}", topics.join(", ")),
            Self::NotAuthorized => f.write_str("the Kafka user may not write to the topics"),
            Self::Topics(fault) => write!(f, "the records that the run has published cannot be read: {fault}"),
            Self::State(fault) => write!(f, "the state topics cannot be read: {fault}"),
            Self::MassDeletion(kinds) => {
                f.write_str("no deletion is published, because too many entities are gone")?;
                for MassDeletion { entity, gone, known } in kinds {
                    write!(f, "; {}: at least {gone} of {known}", entity.name())?;
                }
                Ok(())
            }
        }
    }
}

impl std::error::Error for RunFault {}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::EmptyScope => f.write_str(
                "the application's synchronization scope is empty; choose units or groups in the IDaaS console",
            ),
            Self::ScopeUnreadable(id) => write!(
                f,
                "{id} is in the application's synchronization scope and cannot be read; remove it from the scope if it \
                 is gone"
            ),
            Self::Unstable(id) => write!(
                f,
                "the list below {id} kept changing, or has another number of rows than it says; entities of it may be \
                 missing, so run fetch again"
            ),
        }
    }
}
