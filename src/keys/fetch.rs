//! Fetches a key set once, over HTTP or from a file, with limits for time and size.
//!
//! This module must never retry, cache documents, or log.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use idaas_callback::jose::jws::KeySet;
use sha2::{Digest, Sha256};
use tokio::io::AsyncReadExt;
use tokio::sync::{Mutex, Semaphore};

use crate::config::JwksSource;
use crate::http_client::{self, HttpClient, Proxy};
use crate::text::without_byte_order_mark;

use super::fault::FetchFault;

/// The maximum size of a document, in bytes. A set of two keys has about 900.
pub const MAX_DOCUMENT: usize = 1024 * 1024;

/// Maximum time until the connection is established, including TLS and a proxy.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// Maximum time until the last byte of the document.
const TOTAL_TIMEOUT: Duration = Duration::from_secs(5);
/// Maximum number of concurrent fetches. High enough that unresponsive endpoints do not delay the others for long,
/// and low enough that a start with a thousand applications neither uses all processors nor opens a thousand
/// connections.
const MAX_FETCHES: usize = 64;
/// Maximum number of cached clients.
const MAX_CLIENTS: usize = 64;
/// Maximum lifetime of an idle connection.
const IDLE_TIMEOUT: Duration = Duration::from_secs(2);

/// A fetched key set.
pub struct Fetched {
    /// The document, without content coding and byte-order mark.
    pub document: Vec<u8>,
    /// The keys in it, at least one.
    pub set: KeySet,
    /// The endpoint's time (`Date`, RFC 9110 §6.6.1). `None` for a file.
    pub date: Option<SystemTime>,
}

/// The HTTP clients that all fetches share: one for each set of extra CA certificates. Clones share the same clients.
///
/// Creating a client takes a tenth of a second of processor time, because it reads the system's certificates, so a
/// client per application would be too expensive. A CA file is read for each fetch, so a replaced file takes effect
/// at once.
#[derive(Clone)]
pub struct Clients(Arc<Shared>);

struct Shared {
    proxy: Proxy,
    /// The number of calls of [`Clients::clear`].
    generation: AtomicU64,
    clients: Mutex<HashMap<ClientKey, HttpClient>>,
    permits: Semaphore,
}

/// The generation of a client, and the SHA-256 of its extra certificates.
type ClientKey = (u64, Option<[u8; 32]>);

impl Clients {
    /// Creates an empty set of clients that use `proxy`.
    #[must_use]
    pub fn new(proxy: Proxy) -> Self {
        let (generation, clients) = (AtomicU64::new(0), Mutex::default());
        Self(Arc::new(Shared { proxy, generation, clients, permits: Semaphore::new(MAX_FETCHES) }))
    }

    /// Discards the clients, so that the system's certificates are read again.
    pub fn clear(&self) {
        self.0.generation.fetch_add(1, Ordering::AcqRel);
    }

    async fn get(&self, ca_file: Option<&Path>) -> Result<HttpClient, FetchFault> {
        let pem = match ca_file {
            Some(path) => Some(tokio::fs::read(path).await.map_err(|error| FetchFault::CaFile(error.kind()))?),
            None => None,
        };
        let generation = self.0.generation.load(Ordering::Acquire);
        let key = (generation, pem.as_ref().map(|pem| Sha256::digest(pem).into()));
        // The lock is held while a client is created, so that concurrent fetches do not create the same one.
        let mut clients = self.0.clients.lock().await;
        if let Some(client) = clients.get(&key) {
            return Ok(client.clone());
        }
        let proxy = self.0.proxy.clone();
        // Reading the system's certificates would block a thread that serves requests.
        let client = tokio::task::spawn_blocking(move || client(pem.as_deref(), &proxy))
            .await
            .map_err(|_| FetchFault::Client)??;
        clients.retain(|(generation, _), _| *generation == key.0);
        if clients.len() >= MAX_CLIENTS {
            clients.clear();
        }
        clients.insert(key, client.clone());
        Ok(client)
    }
}

/// Fetches the key set of an application once.
///
/// # Errors
/// [`FetchFault`] if the source cannot be reached in time, or if it has no usable key set.
pub async fn fetch(source: &JwksSource, clients: &Clients) -> Result<Fetched, FetchFault> {
    // The semaphore is never closed, so this cannot fail.
    let _permit = clients.0.permits.acquire().await;
    let (document, date) = match source {
        JwksSource::Url { url, ca_file } => fetch_url(url, ca_file.as_deref(), clients).await?,
        JwksSource::File(path) => (read_file(path).await?, None),
    };
    // A document at the size limit has thousands of keys. Parsing them would block a thread that serves requests.
    tokio::task::spawn_blocking(move || {
        let document = without_byte_order_mark(&document).to_vec();
        Ok(Fetched { set: KeySet::parse(&document)?, document, date })
    })
    .await
    .map_err(|_| FetchFault::Client)?
}

async fn read_file(path: &Path) -> Result<Vec<u8>, FetchFault> {
    let file = tokio::fs::File::open(path).await.map_err(|error| FetchFault::File(error.kind()))?;
    let mut document = Vec::new();
    let limit = MAX_DOCUMENT as u64 + 1;
    file.take(limit).read_to_end(&mut document).await.map_err(|error| FetchFault::File(error.kind()))?;
    if document.len() > MAX_DOCUMENT { Err(FetchFault::TooLarge) } else { Ok(document) }
}

async fn fetch_url(
    url: &str,
    ca_file: Option<&Path>,
    clients: &Clients,
) -> Result<(Vec<u8>, Option<SystemTime>), FetchFault> {
    let client = clients.get(ca_file).await?;
    let headers = [
        ("accept", "application/jwk-set+json, application/json"),
        // A cache must not hide that a key was replaced.
        ("cache-control", "no-cache"),
    ];
    let response = client.get(url, &headers, MAX_DOCUMENT).await?;
    if response.status != 200 {
        return Err(FetchFault::Status(response.status));
    }
    // The `Date` of a cached response is the time at which it was cached (RFC 9111 §5.1).
    let age = response.header("age").and_then(|age| age.parse().ok()).map(Duration::from_secs).unwrap_or_default();
    let date = response.header("date").and_then(|date| httpdate::parse_http_date(date).ok()?.checked_add(age));
    Ok((response.body, date))
}

fn client(pem: Option<&[u8]>, proxy: &Proxy) -> Result<HttpClient, FetchFault> {
    let settings = http_client::Settings {
        proxy: proxy.clone(),
        ca: pem,
        follow_redirects: true,
        connect_timeout: CONNECT_TIMEOUT,
        total_timeout: TOTAL_TIMEOUT,
        // Applications of one instance have the same endpoint, so consecutive fetches can share connections.
        idle_connections: MAX_FETCHES,
        idle_timeout: IDLE_TIMEOUT,
    };
    Ok(HttpClient::new(&settings)?)
}
