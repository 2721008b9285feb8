//! Everything that meets HTTP: no other place knows the `actix-web` crate.
//!
//! Listeners and the end of the service come from outside; nothing here reads a configuration.

mod access;
mod address;
mod admin;
mod answer;
mod body;
mod callbacks;
mod connections;
mod console;
mod dead_letters;
pub mod journal;
mod refusal_log;
mod state;
mod tls;
mod trace;

use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use actix_web::dev::{Server, ServerHandle, Service};
use actix_web::http::{KeepAlive, Method};
use actix_web::web::ServiceConfig;
use actix_web::{App, HttpServer, web};
use futures_util::future::{Either, ready};
use socket2::{SockFilter, SockRef};
use tokio::task::JoinHandle;

use self::connections::Connections;
use self::refusal_log::RefusalLog;
use crate::app_state::AppState;
use crate::console::Console;
use crate::journal::JournalAdmin;
use crate::telemetry::log_code::LogCode;

pub use access::AdminToken;
pub use state::{StateHealth, serve_state};
pub use tls::{Certificate, CertificateFault};

/// Longer than load balancers keep idle connections, so that it is they who close them.
const KEEP_ALIVE: Duration = Duration::from_secs(75);
/// How long a client may take for its request's headers.
const HEADER_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a closed connection may take to end.
const DISCONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// How long the shutdown waits for requests of the metrics.
const SLOW_READER_TIMEOUT: Duration = Duration::from_millis(100);

/// The callback listener, serving.
pub struct Callbacks {
    server: RunningServer,
    refusals: (Arc<RefusalLog>, JoinHandle<()>),
    listener: TcpListener,
}

/// The admin listener, serving.
pub struct Admin(RunningServer);

/// A server with its task and its connections.
struct RunningServer {
    handle: ServerHandle,
    task: JoinHandle<()>,
    connections: Connections,
}

impl Callbacks {
    /// Starts to serve callbacks on `listener`. The server runs until [`Callbacks::stop`].
    ///
    /// # Errors
    /// The operating system's.
    pub fn serve(
        listener: TcpListener,
        app_state: Arc<AppState>,
        certificate: Option<&Certificate>,
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
                // The one route there is: the handler finds its application faster than a router would.
                .default_service(web::to(callbacks::callback))
        })
        .keep_alive(KeepAlive::Timeout(KEEP_ALIVE))
        .client_request_timeout(HEADER_TIMEOUT)
        .client_disconnect_timeout(DISCONNECT_TIMEOUT)
        .shutdown_timeout(drain.as_secs().max(1))
        .on_connect(connections.counter())
        .tcp_nodelay(true)
        .disable_signals();
        let server = match certificate {
            Some(certificate) => server.listen_openssl(listener, certificate.acceptor()?)?,
            None => server.listen(listener)?,
        };
        let summaries = tokio::spawn(Arc::clone(&log).summarize());
        Ok(Self { server: RunningServer::new(server.run(), connections), refusals: (log, summaries), listener: ours })
    }

    /// Stops: takes the connections that wait, lets what is being answered finish, and closes.
    ///
    /// New connections are dropped unheard before the socket closes: a sender then finds the port closed and knows
    /// that nothing was taken, where a reset would leave it in doubt.
    pub async fn stop(self) {
        let drop_all = SockFilter::new(0x06, 0, 0, 0);
        // Not every system can; then a connection of the last moment is reset, as it would be anywhere.
        if SockRef::from(&self.listener).attach_filter(&[drop_all]).is_ok() {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        self.server.stop().await;
        let (log, summaries) = self.refusals;
        summaries.abort();
        log.end();
    }
}

/// Starts to serve metrics, health, the console and the journal.
///
/// # Errors
/// The operating system's.
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
            .app_data(web::Data::from(Arc::clone(&app_state)))
            .app_data(web::Data::from(Arc::clone(&journal_admin)))
            .app_data(web::Data::from(Arc::clone(&console)))
            .app_data(web::Data::new(admin_token.clone()))
            .route("/metrics", web::get().to(admin::metrics))
            .route("/livez", web::get().to(admin::livez))
            .route("/readyz", web::get().to(admin::readyz));
        console::routes(config);
        journal::routes(config);
        dead_letters::routes(config);
    };
    listen_admin(listener, Some(token.clone()), routes)
}

/// Starts an admin listener with these routes. Without a token, every request is allowed.
fn listen_admin(
    listener: TcpListener,
    token: Option<AdminToken>,
    routes: impl Fn(&mut ServiceConfig) + Clone + Send + 'static,
) -> std::io::Result<Admin> {
    let connections = Connections::default();
    let server = HttpServer::new(move || {
        let token = token.clone();
        App::new().configure(&routes).wrap_fn(move |mut request, service| {
            // The answer to HEAD is that to GET; the connection leaves its body out.
            if request.method() == Method::HEAD {
                request.head_mut().method = Method::GET;
            }
            match token.as_ref().and_then(|token| token.refusal(&request)) {
                Some(refusal) => Either::Left(ready(Ok(request.into_response(refusal)))),
                None => Either::Right(service.call(request)),
            }
        })
    })
    .workers(1)
    .client_request_timeout(HEADER_TIMEOUT)
    .shutdown_timeout(1)
    .on_connect(connections.counter())
    .disable_signals()
    .listen(listener)?;
    Ok(Admin(RunningServer::new(server.run(), connections)))
}

impl Admin {
    /// Stops. Whoever reads at that moment has a moment to finish.
    pub async fn stop(self) {
        // A scraper that takes longer finds out by its connection.
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
        Self { handle, task, connections }
    }

    /// Takes nothing more, closes the connections on which nothing is going on, and waits until what is going on on the
    /// others has ended.
    ///
    /// The server itself looks only once a second whether its connections are gone, so they are counted here; what is
    /// left of it then has nothing to do.
    async fn stop(self) {
        tokio::select! {
            () = self.handle.stop(true) => {}
            () = self.connections.gone() => {}
        }
        self.task.abort();
        // Until its listener is closed.
        let _ = self.task.await;
    }
}
