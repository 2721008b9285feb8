//! The life of the service: start, reload, drain, end. The order of things stands here, and nothing else.
//!
//! What it is told to do comes from outside, so that signals are one way of telling and not the only one.

pub(crate) mod assemble;
mod topics;

use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use actix_web::dev::ServerHandle;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;
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
    bridge: Arc<Bridge>,
    callbacks: Callbacks,
    admin: ServerHandle,
    certificate: Option<Certificate>,
    key_settings: crate::keys::Settings,
    listen: SocketAddr,
    admin_listen: SocketAddr,
    _watch: Watch,
}

/// What a running service is told to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// Take a changed configuration over.
    Reload,
    /// Drain and end; a second time: do not wait any longer.
    End,
}

/// Where orders come from.
pub type Orders = mpsc::UnboundedReceiver<Order>;

impl Service {
    /// Starts everything. The service takes callbacks when this returns; it is ready once it has its keys and the
    /// producer is warm.
    ///
    /// # Errors
    /// [`StartFault`], with everything undone.
    pub async fn start(path: &Path, config: Config) -> Result<Self, StartFault> {
        let certificate = assemble::certificate(&config).map_err(|fault| StartFault::Configuration(vec![fault]))?;
        let callbacks = listen("server.listen", config.server.listen)?;
        let admin = listen("server.admin_listen", config.server.admin_listen)?;
        assemble::journal_directory(&config).map_err(|fault| StartFault::Configuration(vec![fault]))?;
        let failed = |error: std::io::Error| StartFault::Failed(error.to_string());
        let listen = callbacks.local_addr().map_err(failed)?;
        let admin_listen = admin.local_addr().map_err(failed)?;
        let metrics = Metrics::new().map_err(|error| StartFault::Failed(error.to_string()))?;
        let cluster = assemble::cluster(&config);
        let dispatcher = Dispatcher::start(&cluster, config.server.max_in_flight_events, Arc::clone(&metrics))
            .map_err(|fault| StartFault::Configuration(vec![assemble::kafka_fault(&fault.to_string())]))?;
        let key_settings = assemble::key_settings(&config, &metrics);
        let applications = assemble::applications(&config, None, &key_settings, &metrics);
        let bridge = Arc::new(Bridge::new(assemble::limits(&config), Arc::clone(&metrics), dispatcher, applications));
        let watch = assemble::watch(&cluster, &config, &metrics).map_err(StartFault::Failed)?;
        let drain = config.server.drain_timeout;
        let callbacks =
            Callbacks::serve(callbacks, Arc::clone(&bridge), certificate.as_ref(), drain).map_err(failed)?;
        let admin = serve_admin(admin, Arc::clone(&bridge), None).map_err(failed)?;
        warm_up(Arc::clone(&bridge), topics::Care::new(&config, path.to_owned()));
        tracing::info!(
            version = env!("CARGO_PKG_VERSION"),
            %listen,
            %admin_listen,
            applications = config.applications.len(),
            "idaas-bridge takes callbacks"
        );
        let path = path.to_owned();
        Ok(Self {
            path,
            config,
            bridge,
            callbacks,
            admin,
            certificate,
            key_settings,
            listen,
            admin_listen,
            _watch: watch,
        })
    }

    /// Where callbacks are taken, with the port that the system gave where the configuration says 0.
    #[must_use]
    pub const fn listen(&self) -> SocketAddr {
        self.listen
    }

    /// Where metrics and health are served, likewise.
    #[must_use]
    pub const fn admin_listen(&self) -> SocketAddr {
        self.admin_listen
    }

    /// Waits until callbacks are to be sent here, at most for `limit`. Says whether they are.
    pub async fn ready(&self, limit: Duration) -> bool {
        let ready = async {
            while !self.bridge.is_ready() {
                sleep(Duration::from_millis(5)).await;
            }
        };
        timeout(limit, ready).await.is_ok()
    }

    /// Runs until it is told to end, then drains. Says whether everything was confirmed.
    pub async fn run(mut self, mut orders: Orders) -> bool {
        // Whoever can give no more orders has no more use for the service.
        while let Some(Order::Reload) = orders.recv().await {
            self.reload().await;
        }
        self.drain(orders).await
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
        // An application may have come with a prefix of its own.
        tokio::spawn(topics::Care::new(&config, self.path.clone()).persist(Arc::clone(&self.bridge)));
        self.config = config;
        Ok(())
    }

    /// Ends the service: not ready, no new callbacks, those that are there finished, the producer emptied.
    async fn drain(self, mut orders: Orders) -> bool {
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
        let mut until = began + limit;
        tokio::select! {
            ended = timeout(limit, orderly) => {
                if ended.is_err() {
                    tracing::warn!(code = "drain_timeout", "callbacks were still being worked on");
                }
            }
            () = told_again(&mut orders) => until = Instant::now(),
        }
        let dispatcher = &self.bridge.dispatcher;
        let left = tokio::select! {
            left = flushed(dispatcher, until) => left,
            () = told_again(&mut orders) => flushed(dispatcher, Instant::now()).await,
        };
        if left > 0 {
            tracing::error!(code = "not_confirmed", records = left, "records were not confirmed; IDaaS was told so");
        }
        self.admin.stop(true).await;
        tracing::info!(milliseconds = began.elapsed().as_millis() as u64, "ended");
        left == 0
    }
}

/// Empties the producer, for a tenth of a second at least. Says how many records are left in it.
async fn flushed(dispatcher: &Arc<Dispatcher>, until: Instant) -> usize {
    loop {
        let dispatcher = Arc::clone(dispatcher);
        // In slices, because a flush that has begun cannot be told to hurry.
        let flush = move || dispatcher.producer().flush(Duration::from_millis(100));
        let left = tokio::task::spawn_blocking(flush).await.unwrap_or_default();
        if left == 0 || Instant::now() >= until {
            return left;
        }
    }
}

/// Waits until the end is ordered again; for ever where it is not.
async fn told_again(orders: &mut Orders) {
    while let Some(order) = orders.recv().await {
        if order == Order::End {
            return tracing::warn!(code = "second_signal", "not waiting any longer");
        }
    }
    std::future::pending().await
}

/// The process's signals as orders: SIGTERM and SIGINT end, SIGHUP reloads. From now on they do nothing else.
///
/// # Errors
/// The operating system's.
pub fn signals() -> std::io::Result<Orders> {
    let (give, orders) = mpsc::unbounded_channel();
    let kinds = [
        (SignalKind::terminate(), Order::End),
        (SignalKind::interrupt(), Order::End),
        (SignalKind::hangup(), Order::Reload),
    ];
    for (kind, order) in kinds {
        let (mut caught, give): (Signal, _) = (signal(kind)?, give.clone());
        tokio::spawn(async move { while caught.recv().await.is_some() && give.send(order).is_ok() {} });
    }
    Ok(orders)
}

fn listen(key: &str, address: SocketAddr) -> Result<TcpListener, StartFault> {
    assemble::bind(address)
        .map_err(|error| StartFault::Configuration(vec![assemble::listen_fault(key, address, &error)]))
}

/// Warms the producer up in the background, and sees to the topics.
fn warm_up(bridge: Arc<Bridge>, care: Arc<topics::Care>) {
    tokio::spawn(async move {
        let warming = Arc::clone(&bridge);
        let known = tokio::task::spawn_blocking(move || warming.dispatcher.producer().warm_up(WARM_UP)).await;
        let answers = matches!(known, Ok(Some(_)));
        if !answers {
            tracing::warn!(code = "not_warm", "Kafka did not answer at the start; going on without");
        }
        if answers {
            Arc::clone(&care).create().await;
        }
        bridge.warmed_up();
        care.persist(bridge).await;
    });
}
