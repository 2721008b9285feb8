//! Checks Kafka: settings, brokers and the addresses that brokers advertise. Publishes nothing.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use super::code::Code;
use super::finding::Finding;
use super::report::plural;
use super::{replicas, state, topics};
use crate::config::Config;
use crate::diagnosis::Remedy;
use crate::kafka::admin::administrator::{Administrator, Brokers};
use crate::kafka::admin::brokers::{self, Broker};
use crate::kafka::admin::permissions::{self, Idempotence};
use crate::kafka::admin::remedy::Right;
use crate::kafka::admin::topics::{State, TopicSettings};
use crate::kafka::client::connection_error::{Cause, ConnectionError, Unreachable};
use crate::kafka::client::error::rejected_property;
use crate::kafka::client::settings::Cluster;
use crate::service::wiring;

/// Timeout of one request to the cluster.
pub(super) const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
/// Timeout of one broker at its advertised address.
const BROKER_TIMEOUT: Duration = Duration::from_secs(6);

const SERVERS: &str = "kafka.bootstrap_servers";
const USER: &str = "kafka.properties";

/// Checks whether librdkafka accepts the properties. Connects to nothing.
pub(super) fn settings(config: &Config) -> Finding {
    match permissions::settings_fault(&wiring::cluster(config)) {
        Some(problem) => Finding::prevents_start(Code::KafkaProperties, rejected_property(problem)),
        None => Finding::ok(Code::KafkaProperties, "kafka.properties", "librdkafka accepts them"),
    }
}

/// Runs every check that needs the brokers, and reports each finding at once.
pub(super) fn examine(config: &Config, path: &Path, emit: &mut dyn FnMut(Finding)) {
    let cluster = wiring::cluster(config);
    let administrator = match Administrator::new(&cluster) {
        Ok(administrator) => administrator,
        Err(fault) => return emit(Finding::prevents_start(Code::KafkaProperties, fault.into())),
    };
    let plan = TopicSettings::with_states(config);
    match observe(&administrator, &cluster, config, plan, emit) {
        Some(observed) => examine_topics(&administrator, &cluster, config, path, observed, emit),
        None => {
            emit(topics_unknown());
            state::unanswered(config).into_iter().for_each(emit);
        }
    }
}

/// What is known about the cluster.
struct Observed {
    plan: TopicSettings,
    /// States of the topics, in the order of the plan.
    states: Vec<State>,
    /// Ids of the brokers that respond at their advertised address.
    reached: BTreeSet<i32>,
}

/// Checks the brokers. `None` if nothing is known about the topics.
fn observe(
    administrator: &Administrator,
    cluster: &Cluster,
    config: &Config,
    plan: TopicSettings,
    emit: &mut dyn FnMut(Finding),
) -> Option<Observed> {
    let brokers = match reach(administrator) {
        Ok(brokers) => brokers,
        Err(unreachable) if administrator.has_answered() => {
            emit(silent_brokers(config, &unreachable));
            return None;
        }
        Err(unreachable) => {
            report_unreachable(config, &unreachable, emit);
            return None;
        }
    };
    let count = brokers.list.len();
    let servers = config.kafka.bootstrap_servers.join(", ");
    let brokers_shown = plural(count, "broker");
    emit(Finding::ok(Code::Kafka, SERVERS, &format!("{servers} answers; the cluster has {brokers_shown}")));
    let replicas = config.topics.replication_factor;
    if usize::try_from(replicas).is_ok_and(|replicas| replicas > count) {
        let problem = format!("is {replicas}, and the cluster has {brokers_shown}: no topic could be created");
        let remedy = "start the other brokers, or lower it";
        emit(Finding::warning(Code::ReplicationFactor, "topics.replication_factor", &problem, remedy));
    }
    let states = administrator.observe(&plan, REQUEST_TIMEOUT);
    let reached = advertised(cluster, &brokers, states.as_deref().unwrap_or_default(), emit);
    match states {
        Ok(states) => Some(Observed { plan, states, reached }),
        Err(unreachable) => {
            // Otherwise, the cause is the brokers that do not respond at their advertised addresses.
            if reached.len() == count {
                report_unreachable(config, &unreachable, emit);
            }
            None
        }
    }
}

/// Checks the topics, and what depends on them.
fn examine_topics(
    administrator: &Administrator,
    cluster: &Cluster,
    config: &Config,
    path: &Path,
    observed: Observed,
    emit: &mut dyn FnMut(Finding),
) {
    let Observed { mut plan, states, reached } = observed;
    plan.follow_events(config, &states);
    let state_plan = TopicSettings { topics: plan.topics.split_off(TopicSettings::of(config).topics.len()) };
    let (states, of_states) = states.split_at_checked(plan.topics.len()).unwrap_or((&states, &[]));
    idempotence(cluster, &plan, emit);
    let path = path.display().to_string();
    let examination = topics::Examination {
        config,
        cluster,
        administrator,
        plan: &plan,
        states,
        reached: &reached,
        path: &path,
        creator: "serve",
    };
    let readings = examination.run(emit);
    emit(replicas::examine(&examination));
    if config.state.is_some() {
        let examination =
            topics::Examination { plan: &state_plan, states: of_states, creator: "materialize", ..examination };
        examination.run_states(&mut |finding| emit(finding.of_states()));
        state::examine(config, cluster, &readings).into_iter().for_each(emit);
    }
}

/// Requests the list of brokers. Tries once more if a bootstrap server has responded or no error is known.
fn reach(administrator: &Administrator) -> Result<Brokers, Unreachable> {
    administrator.reach(REQUEST_TIMEOUT).or_else(|unreachable| {
        let again = administrator.has_answered() || unreachable.errors.is_empty();
        if again { administrator.reach(REQUEST_TIMEOUT) } else { Err(unreachable) }
    })
}

/// The finding if a bootstrap server responds, but no broker responds at its advertised address.
fn silent_brokers(config: &Config, unreachable: &Unreachable) -> Finding {
    let servers = config.kafka.bootstrap_servers.join(", ");
    let text = unreachable.errors.iter().map(|error| format!("; {}", error.text)).collect::<Vec<_>>().concat();
    let problem = format!("{servers} answers, but no broker answers at the address that it advertises{text}");
    let remedy = "correct advertised.listeners of the brokers so that it names addresses that this machine can reach, \
        or make them reachable (DNS, routes, firewalls)";
    Finding::fault(Code::BrokerUnreachable, "advertised.listeners", &problem, remedy)
}

fn topics_unknown() -> Finding {
    let remedy = "run check again once Kafka answers";
    Finding::undecided(Code::Topic, "topics", "whether they exist, and whether this user may write to them", remedy)
}

fn report_unreachable(config: &Config, unreachable: &Unreachable, emit: &mut dyn FnMut(Finding)) {
    if unreachable.errors.is_empty() {
        let problem =
            format!("{} does not answer, and librdkafka does not say why", config.kafka.bootstrap_servers.join(", "));
        let remedy = "correct the address and the port, and allow the connection in firewalls";
        emit(Finding::fault(Code::KafkaUnreachable, SERVERS, &problem, remedy));
    }
    for error in &unreachable.errors {
        let problem = format!("Kafka does not answer ({}): {}", error.cause.code(), error.text);
        emit(Finding::fault(Code::KafkaUnreachable, SERVERS, &problem, error.cause.remedy()));
    }
}

/// Contacts every broker at its advertised address. Returns the ids of those that respond.
fn advertised(cluster: &Cluster, brokers: &Brokers, states: &[State], emit: &mut dyn FnMut(Finding)) -> BTreeSet<i32> {
    let list: Vec<&Broker> = brokers.list.iter().collect();
    let unreachable = brokers::unreachable(cluster, &list, BROKER_TIMEOUT);
    let mut reached: BTreeSet<i32> = list.iter().map(|broker| broker.id).collect();
    for (broker, error) in &unreachable {
        reached.remove(&broker.id);
        emit(unreachable_broker(broker, error, states));
    }
    if unreachable.is_empty() {
        let text = match list.as_slice() {
            [broker] => format!("the broker answers at the address that it advertises: {}", broker.address()),
            _ => format!("all {} answer at the addresses that they advertise", plural(list.len(), "broker")),
        };
        emit(Finding::ok(Code::BrokerUnreachable, "advertised.listeners", &text));
    }
    reached
}

fn unreachable_broker(broker: &Broker, error: &ConnectionError, states: &[State]) -> Finding {
    let (id, address) = (broker.id, broker.address());
    let mut topics = 0;
    let mut partitions = 0;
    for state in states {
        let State::Present(present) = state else { continue };
        let led = present.leaders.iter().find(|leader| leader.broker == id).map_or(0, |leader| leader.partitions);
        partitions += led;
        topics += usize::from(led > 0);
    }
    let text = error.text.strip_prefix(&format!("{address}: ")).unwrap_or(&error.text);
    let mut problem =
        format!("broker {id} advertises {address}, and does not answer there ({}): {text}", error.cause.code());
    if !states.is_empty() {
        let (partitions, topics) = (plural(partitions, "partition"), plural(topics, "topic"));
        problem = format!("{problem}; it leads {partitions} of {topics}");
    }
    let advertised = format!(
        "correct advertised.listeners of broker {id} so that it names an address that this machine can reach, or make \
        it reachable (DNS, routes, firewalls)"
    );
    let remedy = match error.cause {
        Cause::Tls | Cause::Authentication => error.cause.remedy().to_owned(),
        Cause::Disconnected => format!("{advertised}; {}", error.cause.remedy()),
        Cause::Dns | Cause::Refused | Cause::Timeout | Cause::Other => advertised,
    };
    let (code, key) = (Code::BrokerUnreachable, "advertised.listeners");
    let exists = states.iter().any(|state| matches!(state, State::Present(_)));
    // A broker that leads no partition today can lead one tomorrow.
    if partitions == 0 && exists {
        Finding::warning(code, key, &problem, remedy)
    } else {
        Finding::fault(code, key, &problem, remedy)
    }
}

/// Checks the permission for idempotent writes, which the producer needs before its first record.
fn idempotence(cluster: &Cluster, plan: &TopicSettings, emit: &mut dyn FnMut(Finding)) {
    let code = Code::IdempotentWrite;
    let topics: Vec<_> = plan.topics.iter().map(|wanted| wanted.name.as_str()).collect();
    emit(match permissions::idempotence(cluster, REQUEST_TIMEOUT) {
        Ok(Idempotence::Allowed) => Finding::ok(code, USER, "the user may produce idempotently"),
        Ok(Idempotence::NotAllowed(text)) => {
            let problem = format!(
                "the user may not produce idempotently, because it has the right to WRITE on no topic (before Kafka \
                3.0: because it does not have IDEMPOTENT_WRITE on the cluster): {text}"
            );
            Finding::fault(code, USER, &problem, Remedy::grant(&[Right::Write], &topics))
        }
        Ok(Idempotence::Unknown) => Finding::undecided(
            code,
            USER,
            "whether the user may produce idempotently: no answer in time",
            "see the findings about brokers, and run check again",
        ),
        Err(text) => Finding::undecided(code, USER, &text, "correct [kafka.properties]"),
    });
}
