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
use socket2::SockRef;
use tokio::time::{Instant, sleep};

/// How long there must be no connection: longer than the time between accepting and counting a connection.
const QUIET_PERIOD: Duration = Duration::from_millis(40);
/// Time between checks during a stop.
const STOP_INTERVAL: Duration = Duration::from_millis(5);
/// Time between checks for connections that are idle for too long.
const WATCH_INTERVAL: Duration = Duration::from_secs(1);

/// Maximum number of connections without a request in progress. Each can hold 128 KiB of an unfinished head.
const MAX_IDLE: usize = 1024;
/// Each connection takes two file descriptors, and others are needed besides.
const DESCRIPTORS_PER_IDLE: usize = 4;
/// A connection is not closed to make room for another before it has been idle for this long, because its request may
/// be on its way.
const MIN_IDLE_TIME: Duration = Duration::from_secs(1);

/// The open connections of one server. Clones share them.
#[derive(Clone)]
pub(super) struct Connections(Arc<Shared>);

struct Shared {
    began: Instant,
    max_idle: usize,
    open: Mutex<HashMap<u64, Arc<Connection>>>,
    next_id: AtomicU64,
}

/// A connection, from the end of the handshake until it is closed.
struct Connection {
    /// A second handle of the socket, to close it. `None` in tests, and if this process may not open more files.
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
        if open.len() > self.max_idle {
            self.close_longest_idle(&open);
        }
        drop(open);
        Registered { shared: Arc::clone(self), id, connection }
    }

    /// Closes the connection that has been idle the longest, if there are too many idle ones.
    fn close_longest_idle(&self, open: &HashMap<u64, Arc<Connection>>) {
        let idle = || open.values().filter(|connection| connection.is_idle());
        let since = |connection: &&Arc<Connection>| connection.idle_since.load(Ordering::Relaxed);
        let latest = self.began.elapsed().saturating_sub(MIN_IDLE_TIME).as_millis();
        if idle().count() > self.max_idle
            && let Some(longest) = idle().min_by_key(since).filter(|longest| u128::from(since(longest)) <= latest)
        {
            longest.close();
        }
    }
}

impl Default for Connections {
    fn default() -> Self {
        let max_idle = max_open_files().map_or(MAX_IDLE, |files| MAX_IDLE.min(files / DESCRIPTORS_PER_IDLE));
        let (open, next_id) = (Mutex::default(), AtomicU64::new(0));
        Self(Arc::new(Shared { began: Instant::now(), max_idle, open, next_id }))
    }
}

/// Returns how many files this process may open, where `/proc` tells it.
fn max_open_files() -> Option<usize> {
    let limits = std::fs::read_to_string("/proc/self/limits").ok()?;
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_whitespace().next()?.parse().ok()
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
    let second = plain.as_fd().try_clone_to_owned().ok().map(TcpStream::from);
    if second.is_none() {
        // Nothing could close it later.
        let _ = SockRef::from(plain).shutdown(Shutdown::Both);
    }
    second
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
        let registered: Vec<_> = (0..connections.0.max_idle).map(|_| connections.0.register(None)).collect();
        let closing = |place: usize| registered[place].connection.is_closing.load(Ordering::Relaxed);
        registered[0].connection.requests.store(1, Ordering::Relaxed);
        registered.iter().for_each(|one| one.connection.idle_since.store(9, Ordering::Relaxed));
        registered[1].connection.idle_since.store(7, Ordering::Relaxed);
        let more = [connections.0.register(None), connections.0.register(None)];
        assert!(!closing(1), "it may be about to send its request");
        more.iter().for_each(|one| one.connection.idle_since.store(9, Ordering::Relaxed));
        sleep(2 * MIN_IDLE_TIME).await;
        let _another = connections.0.register(None);
        assert!(closing(1) && !closing(0) && !closing(2));
        connections.close_idle_since(Some(Duration::from_millis(8)));
        assert!(!closing(2));
        connections.close_idle_since(Some(Duration::from_millis(9)));
        assert!(closing(2) && !closing(0));
    }
}
