//! The HTTP listeners. The only module that uses `actix-web`.
//!
//! Sockets and settings are passed in; nothing here reads the configuration.

mod access;
mod address;
mod admin;
mod answer;
mod body;
pub(crate) mod callbacks;
mod connections;
mod console;
mod dead_letters;
pub mod journal;
mod liveness;
mod materialize;
mod refusal_log;
mod tls;
mod trace;

use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use actix_web::dev::{Server, ServerHandle, Service};
use actix_web::http::{KeepAlive, Method};
use actix_web::web::ServiceConfig;
use actix_web::{App, HttpServer, web};
use futures_util::future::{Either, FutureExt, ready};
use socket2::{SockFilter, SockRef};
use tokio::task::JoinHandle;

use self::connections::{Connections, InProgress};
use self::refusal_log::RefusalLog;
use crate::app_state::AppState;
use crate::console::Console;
use crate::journal::JournalAdmin;
use crate::telemetry::log_code::LogCode;

pub use access::AdminToken;
pub use materialize::serve_state;
pub use tls::{CertificateFault, ListenerCertificate, certificate_expiry};

/// Longer than usual idle timeouts of load balancers, so that the load balancer closes idle connections.
const KEEP_ALIVE: Duration = Duration::from_secs(75);
/// Limit for receiving the headers of a connection's first request. Later ones have [`KEEP_ALIVE`] in addition, because
/// when they begin is not known.
const HEADER_TIMEOUT: Duration = Duration::from_secs(5);
/// Limit for closing a connection, and for clients to take their last answers during a stop.
const DISCONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// Limit of a TLS handshake, and how many can be in progress for each processor. Connections behind them wait.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(3);
const MAX_HANDSHAKES: usize = 2048;

/// How long the shutdown waits for requests of the metrics.
const SLOW_READER_TIMEOUT: Duration = Duration::from_millis(100);

/// The running callback listener.
pub struct Callbacks {
    server: RunningServer,
    refusals: (Arc<RefusalLog>, JoinHandle<()>),
    listener: TcpListener,
}

/// The running admin listener.
pub struct Admin(RunningServer);

/// A running server, its task and its connections.
struct RunningServer {
    handle: ServerHandle,
    task: JoinHandle<()>,
    connections: Connections,
    closing_idle: JoinHandle<()>,
}

impl Callbacks {
    /// Starts to serve callbacks on `listener`, until [`Callbacks::stop`].
    ///
    /// # Errors
    /// The socket or TLS cannot be set up.
    pub fn serve(
        listener: TcpListener,
        app_state: Arc<AppState>,
        certificate: Option<&ListenerCertificate>,
        drain: Duration,
    ) -> std::io::Result<Self> {
        let ours = listener.try_clone()?;
        let log = RefusalLog::new(Arc::clone(&app_state.metrics));
        let served = Arc::clone(&log);
        let connections = Connections::default();
        let server = HttpServer::new(move || {
            App::new()
                .app_data(web::Data::from(Arc::clone(&app_state)))
                .app_data(web::Data::from(Arc::clone(&served)))
                // A single route: the handler looks up the application faster than a router would.
                .default_service(web::to(callbacks::callback))
        })
        .keep_alive(KeepAlive::Timeout(KEEP_ALIVE))
        .client_request_timeout(HEADER_TIMEOUT)
        .client_disconnect_timeout(DISCONNECT_TIMEOUT)
        .tls_handshake_timeout(HANDSHAKE_TIMEOUT)
        .max_connection_rate(MAX_HANDSHAKES)
        .shutdown_timeout(drain.as_secs().max(1))
        .on_connect(connections.registration())
        .tcp_nodelay(true)
        .disable_signals();
        let server = match certificate {
            Some(certificate) => server.listen_openssl(listener, certificate.acceptor()?)?,
            None => server.listen(listener)?,
        };
        let summaries = tokio::spawn(Arc::clone(&log).summarize());
        Ok(Self { server: RunningServer::new(server.run(), connections), refusals: (log, summaries), listener: ours })
    }

    /// Accepts the connections that already wait, finishes the requests in progress, and closes the listener.
    ///
    /// New connection attempts are dropped without an answer before the socket closes. A sender then finds the port
    /// closed and knows that its request was not received. A reset connection would leave it in doubt.
    pub async fn stop(self) {
        let drop_all = SockFilter::new(0x06, 0, 0, 0);
        // Not supported on every system. Without the filter, a connection made in the last moment is reset.
        if SockRef::from(&self.listener).attach_filter(&[drop_all]).is_ok() {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        self.server.stop().await;
        let (log, summaries) = self.refusals;
        summaries.abort();
        log.end();
    }
}

/// Starts to serve metrics, health, the console, the journal and dead letters.
///
/// # Errors
/// The socket cannot be set up.
pub fn serve_admin(
    listener: TcpListener,
    app_state: Arc<AppState>,
    journal_admin: Arc<JournalAdmin>,
    console: Arc<Console>,
    token: &AdminToken,
) -> std::io::Result<Admin> {
    let admin_token = token.clone();
    let routes = move |config: &mut ServiceConfig| {
        config
            .app_data(web::Data::from(Arc::clone(&app_state.metrics.liveness)))
            .app_data(web::Data::from(Arc::clone(&app_state)))
            .app_data(web::Data::from(Arc::clone(&journal_admin)))
            .app_data(web::Data::from(Arc::clone(&console)))
            .app_data(web::Data::new(admin_token.clone()))
            .route("/metrics", web::get().to(admin::metrics))
            .route("/livez", web::get().to(liveness::livez))
            .route("/readyz", web::get().to(admin::readyz));
        console::routes(config);
        journal::routes(config);
        dead_letters::routes(config);
    };
    listen_admin(listener, Some(token.clone()), routes)
}

/// Starts an admin listener with these routes. If `token` is `None`, every request is allowed.
fn listen_admin(
    listener: TcpListener,
    token: Option<AdminToken>,
    routes: impl Fn(&mut ServiceConfig) + Clone + Send + 'static,
) -> std::io::Result<Admin> {
    let connections = Connections::default();
    let server = HttpServer::new(move || {
        let token = token.clone();
        App::new().configure(&routes).wrap_fn(move |mut request, service| {
            // HEAD is handled as GET; the server omits the body.
            if request.method() == Method::HEAD {
                request.head_mut().method = Method::GET;
            }
            let in_progress = InProgress::of(request.request());
            match token.as_ref().and_then(|token| token.refusal(&request)) {
                Some(refusal) => Either::Left(ready(Ok(request.into_response(refusal)))),
                None => Either::Right(service.call(request).map(move |answer| {
                    drop(in_progress);
                    answer
                })),
            }
        })
    })
    .workers(1)
    .keep_alive(KeepAlive::Timeout(KEEP_ALIVE))
    .client_request_timeout(HEADER_TIMEOUT)
    .shutdown_timeout(1)
    .on_connect(connections.registration())
    .disable_signals()
    .listen(listener)?;
    Ok(Admin(RunningServer::new(server.run(), connections)))
}

impl Admin {
    /// Stops the listener. A request in progress has `SLOW_READER_TIMEOUT` to finish.
    pub async fn stop(self) {
        // After a timeout the connection of the slow reader is closed.
        let _ = tokio::time::timeout(SLOW_READER_TIMEOUT, self.0.stop()).await;
    }
}

impl RunningServer {
    fn new(server: Server, connections: Connections) -> Self {
        let handle = server.handle();
        let task = tokio::spawn(async move {
            if let Err(error) = server.await {
                tracing::error!(code = LogCode::ServerEnded.as_str(), %error, "an HTTP server has ended");
            }
        });
        let closing_idle = tokio::spawn(connections.clone().close_idle(KEEP_ALIVE + HEADER_TIMEOUT));
        Self { handle, task, connections, closing_idle }
    }

    /// Accepts no more connections, closes idle ones, and waits until the others have finished.
    ///
    /// The server itself checks only once a second whether its connections are closed. They are counted here as well,
    /// so that the stop is faster; once there are none, aborting the server's task interrupts nothing.
    async fn stop(self) {
        self.closing_idle.abort();
        tokio::select! {
            () = self.handle.stop(true) => {}
            () = self.connections.all_closed(DISCONNECT_TIMEOUT) => {}
        }
        self.task.abort();
        // Waits until the task has dropped the listener.
        let _ = self.task.await;
    }
}
