//! The reasons why a run ends early, with remedies.

use super::deletions::MassDeletion;
use crate::diagnosis::Diagnosis;
use crate::fetch::fault::ApiFault;
use crate::fetch::known::KnownFault;
use crate::fetch::walk::Problem;
use crate::http_client::HttpFault;
use crate::kafka::client::connection_error::Unreachable;

/// The reason why a run ends early.
#[derive(Debug, thiserror::Error, strum::IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub enum RunFault {
    /// The HTTP client cannot be set up.
    #[error("{0}")]
    Http(HttpFault),
    /// The API rejects a request or does not answer.
    #[error("{0}")]
    Api(ApiFault),
    /// Kafka did not answer at the start.
    #[error("{0}")]
    Unreachable(Unreachable),
    /// A Kafka client cannot be created. The text contains no value.
    #[error("{0}")]
    Kafka(String),
    /// These topics do not exist.
    #[error("these topics do not exist, or this user may not see them: {}", .0.join(", "))]
    MissingTopics(Vec<String>),
    /// The Kafka user may not write to a topic.
    #[error("the Kafka user may not write to the topics")]
    NotAuthorized,
    /// Another cluster answers at the same address.
    #[error(
        "another Kafka cluster answers at the same address; records that were published before are only on the \
        old one"
    )]
    ClusterReplaced,
    /// The event topics cannot be read, so it is unknown what the run has already published.
    #[error("the records that the run has published cannot be read: {0}")]
    Topics(KnownFault),
    /// The state topics cannot be read, so it is unknown which entities are missing.
    #[error("the state topics cannot be read: {0}")]
    State(KnownFault),
    /// Too many entities are gone; the operator must confirm the deletions.
    #[error("no deletion is published, because too many entities are gone{}", gone(.0))]
    MassDeletion(Vec<MassDeletion>),
}

impl From<&RunFault> for Diagnosis {
    fn from(fault: &RunFault) -> Self {
        let remedy = match fault {
            RunFault::Http(_) => "check that the proxy's address is a URL and that OpenSSL works".to_owned(),
            RunFault::Api(fault) => return fault.into(),
            RunFault::Unreachable(_) => "check that kafka.bootstrap_servers and [kafka.properties] are correct; \
                `idaas-bridge check` shows details"
                .to_owned(),
            RunFault::Kafka(_) => "correct [kafka.properties]".to_owned(),
            RunFault::MissingTopics(_) => {
                "create them with `idaas-bridge topics --create`, or grant DESCRIBE and READ".to_owned()
            }
            RunFault::NotAuthorized => "grant the user of [kafka.properties] WRITE on the topics".to_owned(),
            RunFault::ClusterReplaced => {
                "create the topics there, then continue with --run and the name of this run: everything that the \
                topics do not have is published"
                    .to_owned()
            }
            RunFault::Topics(_) => {
                "grant the user of [kafka.properties] READ on the event topics, or start a new run without --run"
                    .to_owned()
            }
            RunFault::State(KnownFault::Missing(_)) => {
                "deletions are detected from the state topics: run `idaas-bridge materialize` first, or grant \
                DESCRIBE and READ"
                    .to_owned()
            }
            RunFault::State(KnownFault::Kafka(_) | KnownFault::Incomplete) => {
                "grant the user of [kafka.properties] READ on the state topics, and try again".to_owned()
            }
            RunFault::MassDeletion(_) => {
                "check that the application's synchronization scope is correct; if these entities are really gone, \
                add --allow-mass-deletion"
                    .to_owned()
            }
        };
        Self::new(fault, fault.to_string(), remedy)
    }
}

fn gone(kinds: &[MassDeletion]) -> String {
    let of_kind = |MassDeletion { entity, gone, known }: &MassDeletion| {
        format!("; {}: at least {gone} of {known}", entity.name())
    };
    kinds.iter().map(of_kind).collect()
}

impl From<&Problem> for Diagnosis {
    fn from(problem: &Problem) -> Self {
        let (text, remedy) = match problem {
            Problem::EmptyScope => (
                "the application's synchronization scope is empty".to_owned(),
                "choose units or groups in the IDaaS console",
            ),
            Problem::ScopeUnreadable(id) => (
                format!("{id} is in the application's synchronization scope and cannot be read"),
                "remove it from the scope if it is gone",
            ),
            Problem::Unstable(id) => (
                format!("the list below {id} kept changing, or its number of rows differs from its total"),
                "entities can be missing, so run fetch again",
            ),
        };
        Self::new(problem, text, remedy)
    }
}
