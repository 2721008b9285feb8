//! `materialize`: maintains the state topics until it is stopped.

use std::io::ErrorKind;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use clap::Args;
use tokio::runtime::Runtime;
use tokio::task::{JoinError, JoinHandle};

use super::output::print_error;
use super::{Exit, print_faults, runtime};
use crate::config::Config;
use crate::diagnosis::misconfigured;
use crate::http::{Admin, serve_state};
use crate::kafka::admin::administrator::{Administrator, Creation};
use crate::kafka::admin::topics::state_topics::state_pairs;
use crate::kafka::admin::topics::{Cleanup, State, TopicSettings};
use crate::materialize::{DirectoryError, Materializer, StateHealth, Stop, THREAD};
use crate::service::{self, ControlMessage, ControlMessages, wiring};
use crate::telemetry::liveness::Liveness;
use crate::telemetry::log_code::LogCode;
use crate::telemetry::logs;
use crate::telemetry::materialize::StateMetrics;

/// Timeout for creating topics.
const CREATION_TIMEOUT: Duration = Duration::from_secs(15);

/// Maximum time to wait for blocking tasks at the end.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_millis(200);

/// Interval at which the thread is checked.
const STALL_CHECK_INTERVAL: Duration = Duration::from_secs(5);

/// Maintain the state topics: the current state of each user, organizational unit and group
#[derive(Args)]
#[command(after_help = "Example:\n  idaas-bridge materialize --config /etc/idaas-bridge/bridge.toml\n\n\
    Reads the event topics as the consumer group of [state], and publishes to <prefix>.<entity>.state.v1 in Kafka \
    transactions. Several instances share the partitions. `topics --create` creates the state topics. \
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
            let fault = wiring::listen_fault("state.admin_listen", state.admin_listen, &error);
            // The previous process may still be ending.
            let can_pass = error.kind() == ErrorKind::AddrInUse;
            return if can_pass { print_error(&fault) } else { print_faults(&[fault]) };
        }
    };
    let exit = work(&runtime, materializer, config.server.drain_timeout, || serve_state(listener, health));
    runtime.shutdown_timeout(SHUTDOWN_TIMEOUT);
    exit
}

/// How the work ended.
#[derive(Debug)]
enum Ended {
    /// The thread has ended, because this was requested or because of an error.
    Finished(Result<(), DirectoryError>),
    /// The thread has ended in a panic.
    Panicked(JoinError),
    /// The current transaction was not finished in time.
    NotFinished,
    /// The thread no longer proceeds.
    Stalled,
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
        let (stop, liveness) = (Arc::clone(&materializer.stop), Arc::clone(&materializer.health.metrics.liveness));
        let alive = liveness.watch(THREAD);
        let thread = tokio::task::spawn_blocking(move || {
            let _alive = alive;
            materializer.run()
        });
        let ended = supervise(thread, &liveness, &stop, limit, &mut messages).await;
        admin.stop().await;
        exit(ended)
    })
}

/// Waits until the thread has ended, or must not be waited for any longer.
async fn supervise(
    mut thread: JoinHandle<Result<(), DirectoryError>>,
    liveness: &Liveness,
    stop: &Stop,
    limit: Duration,
    messages: &mut ControlMessages,
) -> Ended {
    loop {
        tokio::select! {
            result = &mut thread => return finished(result),
            () = stalled(liveness) => return Ended::Stalled,
            message = messages.recv() => match message {
                Some(ControlMessage::Reload) => tracing::info!(
                    code = LogCode::NotReloaded.as_str(),
                    "restart to change the configuration"
                ),
                Some(ControlMessage::Shutdown) | None => break,
            },
        }
    }
    tracing::info!(code = LogCode::Draining.as_str(), "the current transaction is finished");
    stop.request();
    tokio::select! {
        result = thread => finished(result),
        () = tokio::time::sleep(limit) => Ended::NotFinished,
        () = service::wait_for_second_shutdown(messages) => Ended::NotFinished,
    }
}

fn finished(result: Result<Result<(), DirectoryError>, JoinError>) -> Ended {
    result.map_or_else(Ended::Panicked, Ended::Finished)
}

/// Waits until a thread should have proceeded and has not, at two checks: after a pause of the whole process, the
/// thread first needs time to proceed.
async fn stalled(liveness: &Liveness) {
    let mut checks = 0;
    while checks < 2 {
        tokio::time::sleep(STALL_CHECK_INTERVAL).await;
        checks = if liveness.stalled().is_some() { checks + 1 } else { 0 };
    }
}

fn exit(ended: Ended) -> Exit {
    match ended {
        Ended::Finished(Ok(())) => Exit::Success,
        Ended::Finished(Err(error)) => print_error(error),
        Ended::Panicked(panic) => print_error(format_args!("a task has ended unexpectedly: {panic}")),
        // A call of librdkafka can wait for an unreachable broker without any limit.
        Ended::NotFinished => {
            tracing::warn!(
                code = LogCode::DrainTimeout.as_str(),
                "the current transaction is not finished; Kafka aborts it, and its events are read again"
            );
            Exit::Failed
        }
        Ended::Stalled => {
            tracing::error!(
                code = LogCode::ThreadStalled.as_str(),
                "a call to Kafka's client does not return; the process ends, and continues once it is started again"
            );
            Exit::Failed
        }
    }
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

#[cfg(test)]
mod tests {
    use tokio::sync::mpsc;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_thread_that_no_longer_proceeds_ends_the_process() {
        let (_sender, mut messages) = mpsc::unbounded_channel();
        let thread = tokio::spawn(std::future::pending());
        let liveness = Liveness::default();
        liveness.proceeds(THREAD, Duration::ZERO);
        let ended = supervise(thread, &liveness, &Stop::default(), Duration::MAX, &mut messages).await;
        assert!(matches!(ended, Ended::Stalled), "{ended:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_thread_that_proceeds_after_a_pause_is_not_stalled() {
        let (_sender, mut messages) = mpsc::unbounded_channel();
        let liveness = Arc::new(Liveness::default());
        liveness.proceeds(THREAD, Duration::ZERO);
        let paused = Arc::clone(&liveness);
        let thread = tokio::spawn(async move {
            tokio::time::sleep(STALL_CHECK_INTERVAL * 3 / 2).await;
            paused.proceeds(THREAD, Duration::from_secs(600));
            tokio::time::sleep(STALL_CHECK_INTERVAL * 3).await;
            Ok(())
        });
        let ended = supervise(thread, &liveness, &Stop::default(), Duration::MAX, &mut messages).await;
        assert!(matches!(ended, Ended::Finished(Ok(()))), "{ended:?}");
    }

    #[tokio::test]
    async fn a_thread_that_does_not_stop_is_not_waited_for() {
        let (sender, mut messages) = mpsc::unbounded_channel();
        let thread = tokio::spawn(std::future::pending());
        sender.send(ControlMessage::Shutdown).unwrap();
        let stop = Stop::default();
        let ended = supervise(thread, &Liveness::default(), &stop, Duration::ZERO, &mut messages).await;
        assert!(matches!(ended, Ended::NotFinished), "{ended:?}");
        assert!(stop.is_requested());
    }
}
