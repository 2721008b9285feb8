//! The life of the service: start, reload, drain, end. The order of things stands here, and nothing else.

pub(crate) mod assemble;

use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use actix_web::dev::ServerHandle;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::{Instant, sleep, timeout};

use crate::bridge::Bridge;
use crate::config::{Config, Fault};
use crate::kafka::watch::Watch;
use crate::outbox::dispatch::Dispatcher;
use crate::server::{Callbacks, Certificate, serve_admin};
use crate::telemetry::metrics::Metrics;

/// How long the start waits for the cluster before it goes on without: a first record then waits for it instead.
const WARM_UP: Duration = Duration::from_secs(10);

/// Why the service does not start.
pub enum StartFault {
    /// The configuration is wrong, or does not fit this machine.
    Configuration(Vec<Fault>),
    /// Something else failed.
    Failed(String),
}

/// The running service.
pub struct Service {
    path: PathBuf,
    config: Config,
    addresses: Addresses,
    bridge: Arc<Bridge>,
    callbacks: Callbacks,
    admin: ServerHandle,
    certificate: Option<Certificate>,
    key_settings: crate::keys::Settings,
    _watch: Watch,
    signals: Signals,
}

/// Where the service listens, with the ports that it really has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Addresses {
    /// Callbacks.
    pub callbacks: SocketAddr,
    /// Metrics, health and console.
    pub admin: SocketAddr,
}

struct Signals {
    end: Signal,
    interrupt: Signal,
    reload: Signal,
}

impl Service {
    /// Starts everything. The service takes callbacks when this returns; it is ready once it has its keys and the
    /// producer is warm.
    ///
    /// # Errors
    /// [`StartFault`], with everything undone.
    pub async fn start(path: &Path, config: Config) -> Result<Self, StartFault> {
        let signals = Signals::catch().map_err(|error| StartFault::Failed(format!("no signals: {error}")))?;
        let certificate = assemble::certificate(&config).map_err(|fault| StartFault::Configuration(vec![fault]))?;
        let callbacks = listen("server.listen", config.server.listen)?;
        let admin = listen("server.admin_listen", config.server.admin_listen)?;
        let addresses = addresses(&callbacks, &admin).map_err(|error| StartFault::Failed(error.to_string()))?;
        assemble::journal_directory(&config).map_err(|fault| StartFault::Configuration(vec![fault]))?;
        let metrics = Metrics::new().map_err(|error| StartFault::Failed(error.to_string()))?;
        let cluster = assemble::cluster(&config);
        let dispatcher = Dispatcher::start(&cluster, config.server.max_in_flight_events, Arc::clone(&metrics))
            .map_err(|fault| StartFault::Configuration(vec![assemble::kafka_fault(&fault.to_string())]))?;
        let key_settings = assemble::key_settings(&config, &metrics);
        let applications = assemble::applications(&config, None, &key_settings, &metrics);
        let bridge = Arc::new(Bridge::new(assemble::limits(&config), Arc::clone(&metrics), dispatcher, applications));
        let watch = assemble::watch(&cluster, &config, &metrics).map_err(StartFault::Failed)?;
        let failed = |error: std::io::Error| StartFault::Failed(error.to_string());
        let drain = config.server.drain_timeout;
        let callbacks =
            Callbacks::serve(callbacks, Arc::clone(&bridge), certificate.as_ref(), drain).map_err(failed)?;
        let admin = serve_admin(admin, Arc::clone(&bridge)).map_err(failed)?;
        warm_up(Arc::clone(&bridge));
        tracing::info!(
            version = env!("CARGO_PKG_VERSION"),
            listen = %addresses.callbacks,
            admin_listen = %addresses.admin,
            applications = config.applications.len(),
            "idaas-bridge takes callbacks"
        );
        let path = path.to_owned();
        Ok(Self {
            path,
            config,
            addresses,
            bridge,
            callbacks,
            admin,
            certificate,
            key_settings,
            _watch: watch,
            signals,
        })
    }

    /// Runs until SIGTERM or SIGINT, then drains. Says whether everything was confirmed.
    pub async fn run(mut self) -> bool {
        loop {
            tokio::select! {
                _ = self.signals.reload.recv() => self.reload().await,
                _ = self.signals.end.recv() => break,
                _ = self.signals.interrupt.recv() => break,
            }
        }
        self.drain().await
    }

    /// Where it listens.
    #[must_use]
    pub const fn addresses(&self) -> Addresses {
        self.addresses
    }

    /// Returns when the service is ready, or `limit` is over. Says whether it is.
    pub async fn ready(&self, limit: Duration) -> bool {
        let ready = async {
            while !self.bridge.is_ready() {
                sleep(Duration::from_millis(5)).await;
            }
        };
        timeout(limit, ready).await.is_ok()
    }

    /// Takes a changed configuration over, or leaves everything as it is.
    async fn reload(&mut self) {
        let result = self.reloaded().await;
        let label = if result.is_ok() { "ok" } else { "failed" };
        self.bridge.metrics.config_reloads.with_label_values(&[label]).inc();
        match result {
            Ok(()) => tracing::info!("configuration reloaded"),
            Err(faults) => {
                for fault in faults {
                    tracing::error!(code = "reload_refused", "the configuration stays as it was: {fault}");
                }
            }
        }
    }

    async fn reloaded(&mut self) -> Result<(), Vec<Fault>> {
        let mut config = Config::load(&self.path)?;
        for key in self.config.needs_restart(&config) {
            tracing::warn!(code = "restart_needed", key, "a change of this key takes effect only after a restart");
        }
        let old = self.bridge.applications();
        let metrics = Arc::clone(&self.bridge.metrics);
        // What needs a restart stays as it was at the start, also inside the applications' policies.
        config.server = crate::config::Server { tls: config.server.tls.take(), ..self.config.server.clone() };
        config.kafka = self.config.kafka.clone();
        config.topics = self.config.topics.clone();
        let applications = assemble::applications(&config, Some(&old.keys), &self.key_settings, &metrics);
        applications.keys.first_attempts().await;
        if let (Some(certificate), Some(tls)) = (&self.certificate, &config.server.tls) {
            certificate.reload(&tls.certificate, &tls.key).map_err(|fault| vec![assemble::tls_fault(&fault)])?;
        }
        self.bridge.replace_applications(applications);
        self.config = config;
        Ok(())
    }

    /// Ends the service: not ready, no new callbacks, those that are there finished, the producer emptied. Says whether
    /// everything was confirmed.
    pub async fn drain(mut self) -> bool {
        let began = Instant::now();
        let limit = self.config.server.drain_timeout;
        tracing::info!(code = "draining", "shutting down; what is being worked on is finished");
        self.bridge.drain();
        let bridge = Arc::clone(&self.bridge);
        let callbacks = self.callbacks;
        let orderly = async move {
            while bridge.metrics.callbacks_in_flight.get() > 0 {
                sleep(Duration::from_millis(10)).await;
            }
            callbacks.stop().await;
        };
        tokio::select! {
            ended = timeout(limit, orderly) => {
                if ended.is_err() {
                    tracing::warn!(code = "drain_timeout", "callbacks were still being worked on");
                }
            }
            _ = self.signals.end.recv() => tracing::warn!(code = "second_signal", "not waiting any longer"),
            _ = self.signals.interrupt.recv() => tracing::warn!(code = "second_signal", "not waiting any longer"),
        }
        let dispatcher = Arc::clone(&self.bridge.dispatcher);
        let rest = limit.saturating_sub(began.elapsed()).max(Duration::from_millis(100));
        let left = tokio::task::spawn_blocking(move || dispatcher.producer().flush(rest)).await.unwrap_or_default();
        if left > 0 {
            tracing::error!(code = "not_confirmed", records = left, "records were not confirmed; IDaaS was told so");
        }
        self.admin.stop(true).await;
        tracing::info!(milliseconds = began.elapsed().as_millis() as u64, "ended");
        left == 0
    }
}

impl Signals {
    fn catch() -> std::io::Result<Self> {
        Ok(Self {
            end: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            reload: signal(SignalKind::hangup())?,
        })
    }
}

fn listen(key: &str, address: SocketAddr) -> Result<TcpListener, StartFault> {
    assemble::bind(address)
        .map_err(|error| StartFault::Configuration(vec![assemble::listen_fault(key, address, &error)]))
}

fn addresses(callbacks: &TcpListener, admin: &TcpListener) -> std::io::Result<Addresses> {
    Ok(Addresses { callbacks: callbacks.local_addr()?, admin: admin.local_addr()? })
}

/// Warms the producer up in the background.
fn warm_up(bridge: Arc<Bridge>) {
    tokio::spawn(async move {
        let warming = Arc::clone(&bridge);
        let known = tokio::task::spawn_blocking(move || warming.dispatcher.producer().warm_up(WARM_UP)).await;
        if !matches!(known, Ok(Some(_))) {
            tracing::warn!(code = "not_warm", "Kafka did not answer at the start; going on without");
        }
        bridge.warmed_up();
    });
}
