//! Starts, reloads and shuts down the service.
//!
//! Control messages come from outside, so that signals are one source of them and not the only one.

mod control;
mod dedup_rebuild;
mod drain;
mod file_watch;
mod key_observer;
mod quarantine_replay;
mod reload;
mod replicas;
mod tail_window;
mod topics;
pub(crate) mod wiring;

use std::io::ErrorKind;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{sleep, timeout};

pub(crate) use self::control::wait_for_second_shutdown;
pub use self::control::{ControlMessage, ControlMessages, signals};
use crate::app_state::AppState;
use crate::config::Config;
use crate::console::Console;
use crate::delivery::dispatcher::Dispatcher;
use crate::diagnosis::Diagnosis;
use crate::http::{Admin, AdminToken, Callbacks, ListenerCertificate, serve_admin};
use crate::kafka::availability::cluster_watch::Watch;
use crate::telemetry::log_code::LogCode;
use crate::telemetry::metrics::Metrics;

/// Limit for the producer's warm-up at startup. After it the service continues; the first record then waits for Kafka.
const WARM_UP: Duration = Duration::from_secs(3);

/// The running service.
pub struct Service {
    path: PathBuf,
    config: Config,
    app_state: Arc<AppState>,
    callbacks: Callbacks,
    admin: Admin,
    admin_token: AdminToken,
    console: Arc<Console>,
    certificate: Option<ListenerCertificate>,
    key_settings: crate::keys::Settings,
    listen: SocketAddr,
    admin_listen: SocketAddr,
    dedup_rebuild: Arc<dedup_rebuild::DedupRebuild>,
    replicas: Arc<replicas::Replicas>,
    files: file_watch::FileWatch,
    topic_reconciler: Arc<topics::TopicReconciler>,
    /// True if the last reload failed for a reason that can pass.
    reload_again: bool,
    watch: Watch,
}

impl Service {
    /// Starts all parts of the service. When this returns, callbacks are accepted. The service becomes ready once at
    /// least one application has its keys and the warm-up has ended.
    ///
    /// # Errors
    /// A [`Diagnosis`]. Its code is [`LogCode::NotStarted`] if the problem can pass, and neither the configuration nor
    /// the journal has to be changed. A listener that was already started can run until the process exits.
    pub async fn start(path: &Path, config: Config) -> Result<Self, Diagnosis> {
        let certificate = wiring::listener_certificate(&config)?;
        let callbacks = listen("server.listen", config.server.listen)?;
        let admin = listen("server.admin_listen", config.server.admin_listen)?;
        wiring::journal_directory(&config)?;
        let listen = callbacks.local_addr().map_err(not_started)?;
        let admin_listen = admin.local_addr().map_err(not_started)?;
        let metrics = Metrics::new().map_err(not_started)?;
        let cluster = wiring::cluster(&config);
        let opened = wiring::journal(&config)?;
        let dispatcher = Dispatcher::start(&cluster, wiring::events_in_memory(&config), opened, Arc::clone(&metrics))?;
        if let Some(spans) = wiring::spans(&config, &metrics)? {
            dispatcher.set_spans(spans);
        }
        let key_settings = wiring::key_settings(&config, &metrics);
        let applications = wiring::applications(&config, None, &key_settings, &metrics);
        let app_state =
            Arc::new(AppState::new(wiring::limits(&config), Arc::clone(&metrics), dispatcher, applications));
        app_state.set_cluster(cluster.clone());
        let (dedup_rebuild, replicas) = replicas::start(&config, &app_state.dispatcher, &metrics);
        let watch =
            wiring::watch(&cluster, &config, &metrics, &app_state.dispatcher, &replicas).map_err(not_started)?;
        watch.begin();
        let drain = config.server.drain_timeout;
        let callbacks = Callbacks::serve(callbacks, Arc::clone(&app_state), certificate.as_ref(), drain);
        let callbacks = callbacks.map_err(not_started)?;
        let journal_admin = wiring::journal_admin(&app_state.dispatcher).map_err(not_started)?;
        let admin_token = AdminToken::default();
        admin_token.set(config.admin_token.as_ref());
        let console = Console::start(Arc::clone(&app_state), &config);
        let admin = serve_admin(admin, Arc::clone(&app_state), journal_admin, Arc::clone(&console), &admin_token);
        let admin = admin.map_err(not_started)?;
        wiring::show_certificate(&config, &metrics);
        wiring::show_kafka_certificate(&config, &metrics);
        let topic_reconciler = topics::TopicReconciler::new(&config, path.to_owned());
        warm_up(Arc::clone(&app_state), Arc::clone(&topic_reconciler), Arc::clone(&dedup_rebuild));
        log_start(listen, admin_listen, config.applications.len());
        let files = file_watch::FileWatch::start(reload::files_to_watch(&config), &metrics.liveness);
        let path = path.to_owned();
        Ok(Self {
            path,
            config,
            app_state,
            callbacks,
            admin,
            admin_token,
            console,
            certificate,
            key_settings,
            listen,
            admin_listen,
            dedup_rebuild,
            replicas,
            files,
            topic_reconciler,
            reload_again: false,
            watch,
        })
    }

    /// Returns the address of the callback listener, with the actual port if the configuration says 0.
    #[must_use]
    pub const fn listen(&self) -> SocketAddr {
        self.listen
    }

    /// Returns the address of the admin listener, with the actual port if the configuration says 0.
    #[must_use]
    pub const fn admin_listen(&self) -> SocketAddr {
        self.admin_listen
    }

    /// Waits up to `limit` until the service is ready. Returns true if it is.
    pub async fn ready(&self, limit: Duration) -> bool {
        let ready = async {
            while !self.app_state.is_ready() {
                sleep(Duration::from_millis(5)).await;
            }
        };
        timeout(limit, ready).await.is_ok()
    }
}

fn log_start(listen: SocketAddr, admin_listen: SocketAddr, applications: usize) {
    let version = env!("CARGO_PKG_VERSION");
    tracing::info!(version, %listen, %admin_listen, applications, "idaas-bridge accepts callbacks");
}

/// A problem of this machine that keeps the service from starting.
fn not_started(problem: impl std::fmt::Display) -> Diagnosis {
    let remedy = "start it again; if that does not help, raise the limits on threads and open files";
    Diagnosis::new(LogCode::NotStarted, problem.to_string(), remedy)
}

/// A fault that can pass by itself, for example because the previous process still ends: the start is worth repeating.
fn passing(fault: Diagnosis) -> Diagnosis {
    Diagnosis { code: LogCode::NotStarted.as_str(), ..fault }
}

fn listen(key: &str, address: SocketAddr) -> Result<TcpListener, Diagnosis> {
    wiring::bind(address).map_err(|error| {
        let fault = wiring::listen_fault(key, address, &error);
        if error.kind() == ErrorKind::AddrInUse { passing(fault) } else { fault }
    })
}

/// Warms up the producer, creates missing topics and rebuilds the dedup cache, in the background. Then starts the tasks
/// that continue this work.
fn warm_up(
    app_state: Arc<AppState>,
    topic_reconciler: Arc<topics::TopicReconciler>,
    dedup_rebuild: Arc<dedup_rebuild::DedupRebuild>,
) {
    let liveness = Arc::clone(&app_state.metrics.liveness);
    tokio::spawn(liveness.watch("warm-up").during(async move {
        let warming = Arc::clone(&app_state);
        let known = tokio::task::spawn_blocking(move || warming.dispatcher.warm_up(WARM_UP)).await;
        let answers = matches!(known, Ok(Some(_)));
        if !answers {
            tracing::warn!(
                code = LogCode::NotWarm.as_str(),
                "Kafka did not answer at the start; continuing without it"
            );
        }
        if answers {
            Arc::clone(&topic_reconciler).create().await;
            Arc::clone(&dedup_rebuild).attempt_once(&app_state).await;
        }
        app_state.warmed_up();
        let liveness = &app_state.metrics.liveness;
        let rebuild = Arc::clone(&dedup_rebuild).run_until_shutdown(Arc::clone(&app_state));
        tokio::spawn(liveness.watch("dedup rebuild").during(rebuild));
        let rebuild =
            rebuild_after_cluster_replaced(Arc::clone(&app_state), dedup_rebuild, Arc::clone(&topic_reconciler));
        tokio::spawn(liveness.watch("cluster replacement").during(rebuild));
        tokio::spawn(quarantine_replay::run(Arc::clone(&app_state)));
        topic_reconciler.run_until_shutdown(app_state).await;
    }));
}

/// Creates missing topics and rebuilds the dedup cache whenever another cluster answers at the same address. Replay
/// stays paused until then.
async fn rebuild_after_cluster_replaced(
    app_state: Arc<AppState>,
    dedup_rebuild: Arc<dedup_rebuild::DedupRebuild>,
    topic_reconciler: Arc<topics::TopicReconciler>,
) {
    loop {
        app_state.dispatcher.until_cluster_replaced().await;
        Arc::clone(&topic_reconciler).create().await;
        let (app_state, dedup_rebuild) = (Arc::clone(&app_state), Arc::clone(&dedup_rebuild));
        // A panic in it has been logged.
        let _ = tokio::task::spawn_blocking(move || dedup_rebuild.start_over(&app_state)).await;
    }
}
