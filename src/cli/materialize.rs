//! `materialize`: maintains the state topics until it is stopped.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use clap::Args;
use tokio::runtime::Runtime;

use super::output::print_error;
use super::{Exit, print_faults, runtime};
use crate::config::Config;
use crate::diagnosis::misconfigured;
use crate::http::{Admin, serve_state};
use crate::kafka::admin::administrator::{Administrator, Creation};
use crate::kafka::admin::topics::state_topics::state_pairs;
use crate::kafka::admin::topics::{Cleanup, State, TopicSettings};
use crate::materialize::{Materializer, StateHealth, Stop};
use crate::service::{self, ControlMessage, wiring};
use crate::telemetry::log_code::LogCode;
use crate::telemetry::logs;
use crate::telemetry::materialize::StateMetrics;

/// Timeout for creating topics.
const CREATION_TIMEOUT: Duration = Duration::from_secs(15);

/// Maximum time to wait for blocking tasks at the end.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_millis(200);

/// Maintain the state topics: the current state of each user, organizational unit and group
#[derive(Args)]
#[command(after_help = "Example:\n  idaas-bridge materialize --config /etc/idaas-bridge/bridge.toml\n\n\
    Reads the event topics as the consumer group of [state], and publishes to <prefix>.<entity>.state.v1 in Kafka\n\
    transactions. Several instances share the partitions. `topics --create` creates the state topics.\n\
    Runs until SIGTERM or SIGINT.")]
pub struct MaterializeArguments {
    /// Configuration file (TOML)
    #[arg(long, value_name = "FILE", env = crate::config::CONFIG_VARIABLE, default_value = super::DEFAULT_CONFIG)]
    config: PathBuf,
}

/// Runs the command.
#[must_use]
pub fn run(arguments: &MaterializeArguments) -> Exit {
    let config = match Config::load(&arguments.config) {
        Ok(config) => config,
        Err(faults) => return print_faults(&faults),
    };
    let Some(state) = &config.state else {
        let problem = "is missing, so there are no state topics to maintain";
        let fault = misconfigured(problem, "add the section [state]; its keys have defaults").at("state");
        return print_faults(&[fault]);
    };
    logs::start(&config.log);
    let Ok(metrics) = StateMetrics::new() else { return print_error("the metrics cannot be registered") };
    let health = Arc::new(StateHealth { metrics, ready: AtomicBool::new(false) });
    let materializer = Materializer {
        cluster: wiring::cluster(&config),
        state: state.clone(),
        pairs: state_pairs(&config).into(),
        health: Arc::clone(&health),
        stop: Arc::new(Stop::default()),
    };
    if config.topics.create {
        create_topics(&config);
    }
    let Some(runtime) = runtime() else { return Exit::Failed };
    let listener = match wiring::bind(state.admin_listen) {
        Ok(listener) => listener,
        Err(error) => {
            return print_faults(&[wiring::listen_fault("state.admin_listen", state.admin_listen, &error)]);
        }
    };
    let exit = work(&runtime, materializer, config.server.drain_timeout, || serve_state(listener, health));
    runtime.shutdown_timeout(SHUTDOWN_TIMEOUT);
    exit
}

/// Runs on a dedicated thread until a signal arrives or the thread ends. After a signal, waits for the current
/// transaction, but at most for `limit`, or until a second signal arrives.
fn work(
    runtime: &Runtime,
    materializer: Materializer,
    limit: Duration,
    serve: impl FnOnce() -> std::io::Result<Admin>,
) -> Exit {
    runtime.block_on(async {
        let (admin, mut messages) = match serve().and_then(|admin| Ok((admin, service::signals()?))) {
            Ok(started) => started,
            Err(error) => return print_error(format_args!("the admin listener cannot be started: {error}")),
        };
        let (stop, alive) = (Arc::clone(&materializer.stop), materializer.health.metrics.liveness.watch("materialize"));
        let mut work = tokio::task::spawn_blocking(move || {
            let _alive = alive;
            materializer.run()
        });
        let ended = loop {
            tokio::select! {
                ended = &mut work => break Some(ended),
                message = messages.recv() => match message {
                    Some(ControlMessage::Reload) => tracing::info!(
                        code = LogCode::NotReloaded.as_str(),
                        "restart to change the configuration"
                    ),
                    Some(ControlMessage::Shutdown) | None => {
                        tracing::info!(code = LogCode::Draining.as_str(), "the current transaction is finished");
                        stop.request();
                        break tokio::select! {
                            ended = work => Some(ended),
                            () = tokio::time::sleep(limit) => None,
                            () = service::wait_for_second_shutdown(&mut messages) => None,
                        };
                    }
                },
            }
        };
        admin.stop().await;
        match ended {
            Some(Ok(Ok(()))) => Exit::Success,
            Some(Ok(Err(error))) => print_error(error),
            Some(Err(panic)) => print_error(format_args!("a task has ended unexpectedly: {panic}")),
            // A call of librdkafka can wait for an unreachable broker without any limit.
            None => {
                tracing::warn!(
                    code = LogCode::DrainTimeout.as_str(),
                    "the current transaction is not finished; Kafka aborts it, and its events are read again"
                );
                Exit::Failed
            }
        }
    })
}

/// Creates the missing state topics. A failure is reported again when the topics are used.
fn create_topics(config: &Config) {
    let mut plan = TopicSettings::with_states(config);
    let Ok(administrator) = Administrator::new(&wiring::cluster(config)) else { return };
    let Ok(states) = administrator.presence(&plan, CREATION_TIMEOUT) else { return };
    plan.follow_events(config, &states);
    let topics = plan.topics.iter().zip(&states);
    let missing: Vec<_> = topics
        .filter(|(wanted, state)| **state == State::Missing && wanted.cleanup == Cleanup::Compact)
        .map(|(wanted, _)| wanted)
        .collect();
    if missing.is_empty() {
        return;
    }
    let created = administrator.create(&missing, CREATION_TIMEOUT);
    for (wanted, creation) in missing.iter().zip(created.into_iter().flatten()) {
        match creation {
            Creation::Created => {
                tracing::info!(code = LogCode::TopicCreated.as_str(), topic = wanted.name, "the topic was created")
            }
            Creation::AlreadyExists => {}
            Creation::Rejected { diagnosis, .. } => {
                tracing::warn!(code = LogCode::TopicNotCreated.as_str(), topic = wanted.name, "{diagnosis}");
            }
        }
    }
}
