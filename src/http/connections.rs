//! The open connections of a server: how many there are, and which of them have no request in progress.
//!
//! `actix-http` limits the time of the first request's head and of an idle connection, but no later head, no chunked
//! body that nobody reads, and no answer that the client does not take. Connections without a request in progress are
//! therefore closed here: after a time, and the longest idle one if there are too many.

use std::any::Any;
use std::collections::HashMap;
use std::net::{Shutdown, TcpStream};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use actix_tls::accept::openssl::TlsStream;
use actix_web::HttpRequest;
use actix_web::dev::Extensions;
use parking_lot::Mutex;
use tokio::time::{Instant, sleep};

/// How long there must be no connection: longer than the time between accepting and counting a connection.
const QUIET_PERIOD: Duration = Duration::from_millis(40);
/// Time between checks during a stop.
const STOP_INTERVAL: Duration = Duration::from_millis(5);
/// Time between checks for connections that are idle for too long.
const WATCH_INTERVAL: Duration = Duration::from_secs(1);

/// Maximum number of connections without a request in progress. Each can hold 128 KiB of an unfinished head.
pub(super) const MAX_IDLE: usize = 2048;

/// The open connections of one server. Clones share them.
#[derive(Clone)]
pub(super) struct Connections(Arc<Shared>);

struct Shared {
    began: Instant,
    open: Mutex<HashMap<u64, Arc<Connection>>>,
    next_id: AtomicU64,
}

/// A connection, from the end of the handshake until it is closed.
struct Connection {
    /// A second handle of the socket, to close it. `None` if there are no more file descriptors.
    socket: Option<TcpStream>,
    requests: AtomicUsize,
    /// End of the last request, or of the handshake, in milliseconds since the start of the server.
    idle_since: AtomicU64,
    is_closing: AtomicBool,
}

impl Connection {
    fn is_idle(&self) -> bool {
        self.requests.load(Ordering::Acquire) == 0 && !self.is_closing.load(Ordering::Relaxed)
    }

    /// Closes both directions, so that the server gives the connection up.
    fn close(&self) {
        self.is_closing.store(true, Ordering::Relaxed);
        if let Some(socket) = &self.socket {
            // Fails only if the client has closed it already.
            let _ = socket.shutdown(Shutdown::Both);
        }
    }
}

/// Stored with a connection. It ends with the connection.
struct Registered {
    shared: Arc<Shared>,
    id: u64,
    connection: Arc<Connection>,
}

impl Drop for Registered {
    fn drop(&mut self) {
        self.shared.open.lock().remove(&self.id);
    }
}

/// A request in progress. Its connection is not idle.
pub(super) struct InProgress(Arc<Shared>, Arc<Connection>);

impl InProgress {
    /// Marks a request as in progress until the result is dropped. `None` without a connection, in tests.
    pub(super) fn of(request: &HttpRequest) -> Option<Self> {
        let registered = request.conn_data::<Registered>()?;
        registered.connection.requests.fetch_add(1, Ordering::AcqRel);
        Some(Self(Arc::clone(&registered.shared), Arc::clone(&registered.connection)))
    }
}

impl Drop for InProgress {
    fn drop(&mut self) {
        self.1.idle_since.store(self.0.now(), Ordering::Relaxed);
        self.1.requests.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Shared {
    fn now(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn register(self: &Arc<Self>, socket: Option<TcpStream>) -> Registered {
        let connection = Arc::new(Connection {
            socket,
            requests: AtomicUsize::new(0),
            idle_since: AtomicU64::new(self.now()),
            is_closing: AtomicBool::new(false),
        });
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        let mut open = self.open.lock();
        open.insert(id, Arc::clone(&connection));
        if open.len() > MAX_IDLE {
            close_longest_idle(&open);
        }
        drop(open);
        Registered { shared: Arc::clone(self), id, connection }
    }
}

/// Closes the connection that has been idle the longest, if there are more than [`MAX_IDLE`] idle ones.
fn close_longest_idle(open: &HashMap<u64, Arc<Connection>>) {
    let idle = || open.values().filter(|connection| connection.is_idle());
    if idle().count() > MAX_IDLE
        && let Some(longest) = idle().min_by_key(|connection| connection.idle_since.load(Ordering::Relaxed))
    {
        longest.close();
    }
}

impl Default for Connections {
    fn default() -> Self {
        let (open, next_id) = (Mutex::default(), AtomicU64::new(0));
        Self(Arc::new(Shared { began: Instant::now(), open, next_id }))
    }
}

impl Connections {
    /// Returns a callback for `on_connect`, which adds the connection until its data is dropped.
    pub(super) fn registration(&self) -> impl Fn(&dyn Any, &mut Extensions) + Send + Sync + 'static {
        let shared = Arc::clone(&self.0);
        move |stream, data| drop(data.insert(shared.register(socket(stream))))
    }

    /// Closes connections that have had no request in progress for `limit`, until the future is dropped.
    pub(super) async fn close_idle(self, limit: Duration) {
        loop {
            sleep(WATCH_INTERVAL).await;
            self.close_idle_since(self.0.began.elapsed().checked_sub(limit));
        }
    }

    /// Closes the connections without a request in progress that have been idle since `latest` or longer.
    fn close_idle_since(&self, latest: Option<Duration>) {
        let Some(latest) = latest else { return };
        for connection in self.0.open.lock().values().filter(|connection| connection.is_idle()) {
            if u128::from(connection.idle_since.load(Ordering::Relaxed)) <= latest.as_millis() {
                connection.close();
            }
        }
    }

    /// Waits until there are no connections for [`QUIET_PERIOD`]. After `patience`, connections without a request in
    /// progress are closed: their clients do not take their answers.
    pub(super) async fn all_closed(&self, patience: Duration) {
        let (began, mut quiet) = (Instant::now(), Duration::ZERO);
        while quiet < QUIET_PERIOD {
            sleep(STOP_INTERVAL).await;
            quiet = if self.0.open.lock().is_empty() { quiet + STOP_INTERVAL } else { Duration::ZERO };
            if began.elapsed() >= patience {
                self.close_idle_since(self.0.began.elapsed().checked_sub(patience));
            }
        }
    }
}

/// Returns a second handle of the socket of a new connection.
fn socket(stream: &dyn Any) -> Option<TcpStream> {
    type Plain = actix_web::rt::net::TcpStream;
    let plain =
        stream.downcast_ref::<Plain>().or_else(|| Some(stream.downcast_ref::<TlsStream<Plain>>()?.get_ref()))?;
    plain.as_fd().try_clone_to_owned().ok().map(TcpStream::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_last_connection_is_waited_for() {
        let connections = Connections::default();
        let (mut one, mut other) = (Extensions::new(), Extensions::new());
        let register = connections.registration();
        register(&(), &mut one);
        register(&(), &mut other);
        let waiting = tokio::spawn({
            let connections = connections.clone();
            async move { connections.all_closed(Duration::from_secs(90)).await }
        });
        drop(one);
        sleep(Duration::from_secs(60)).await;
        assert!(!waiting.is_finished());
        drop(other);
        waiting.await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn only_idle_connections_are_closed_longest_idle_first() {
        let connections = Connections::default();
        let registered: Vec<_> = (0..MAX_IDLE).map(|_| connections.0.register(None)).collect();
        let closing = || registered.iter().position(|one| one.connection.is_closing.load(Ordering::Relaxed));
        registered[0].connection.requests.store(1, Ordering::Relaxed);
        registered[1].connection.idle_since.store(7, Ordering::Relaxed);
        registered[2].connection.idle_since.store(7, Ordering::Relaxed);
        sleep(Duration::from_secs(1)).await;
        let more = connections.0.register(None);
        assert_eq!(closing(), None, "one of them has a request in progress");
        registered[3].connection.idle_since.store(0, Ordering::Relaxed);
        (4..MAX_IDLE).for_each(|one| registered[one].connection.idle_since.store(9, Ordering::Relaxed));
        let _again = connections.0.register(None);
        assert_eq!(closing(), Some(3));
        drop(more);
        connections.close_idle_since(Some(Duration::from_millis(8)));
        let is_closing = |one: &Registered| one.connection.is_closing.load(Ordering::Relaxed);
        assert_eq!(registered.iter().filter(|one| is_closing(one)).count(), 3);
        assert!(!is_closing(&registered[0]));
    }
}
