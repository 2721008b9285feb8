//! One fetch of a key set: bounded in time and size, over HTTP or from a file.
//!
//! This file must never retry, remember, or log.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use idaas_callback::jose::jws::KeySet;
use sha2::{Digest, Sha256};
use tokio::io::AsyncReadExt;
use tokio::sync::{Mutex, Semaphore};

use crate::http_client::{self, HttpClient};
use crate::text::without_byte_order_mark;

use super::fault::FetchFault;
use super::source::{Proxy, Source};

pub(super) use crate::http_client::Url;

/// The largest document that is read, in bytes. A set of two keys has about 900.
pub const MAX_DOCUMENT: usize = 1024 * 1024;

/// Until the connection stands, TLS and a proxy included.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// Until the last byte of the document.
const TOTAL_TIMEOUT: Duration = Duration::from_secs(5);
/// Fetches at a time. Enough that endpoints that hang do not hold up the others for long, and few enough that a start with
/// a thousand applications neither takes all processors nor opens a thousand connections.
const MAX_FETCHES: usize = 64;
/// Clients that are kept at a time.
const MAX_CLIENTS: usize = 64;
/// How long a connection waits for another fetch.
const IDLE_TIMEOUT: Duration = Duration::from_secs(2);

/// A key set as it was fetched.
pub struct Fetched {
    /// The document, without content coding and byte-order mark.
    pub document: Vec<u8>,
    /// The keys in it, at least one, their verifiers ready.
    pub set: KeySet,
    /// What the endpoint's clock says (`Date`, RFC 9110 §6.6.1). `None` for a file.
    pub date: Option<SystemTime>,
}

/// The HTTP clients that all fetches share: one for each set of extra CA certificates. A clone is the same clients.
///
/// A client costs a tenth of a second of a processor, because it reads the system's certificates, so one for each
/// application would not do. A CA file is read for each fetch, so a file that was replaced counts at once.
#[derive(Clone)]
pub struct Clients(Arc<Shared>);

struct Shared {
    proxy: Proxy,
    /// Counts the calls of [`Clients::clear`].
    generation: AtomicU64,
    made: Mutex<HashMap<ClientKey, HttpClient>>,
    turns: Semaphore,
}

/// The generation of a client, and the digest of its extra certificates.
type ClientKey = (u64, Option<[u8; 32]>);

impl Clients {
    /// No clients yet; they reach endpoints through `proxy`.
    #[must_use]
    pub fn new(proxy: Proxy) -> Self {
        let (generation, made) = (AtomicU64::new(0), Mutex::default());
        Self(Arc::new(Shared { proxy, generation, made, turns: Semaphore::new(MAX_FETCHES) }))
    }

    /// Forgets the clients, so that the system's certificates and the proxy's settings are read again.
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
        // Whoever comes while a client is made waits for it, and does not make another.
        let mut made = self.0.made.lock().await;
        if let Some(client) = made.get(&key) {
            return Ok(client.clone());
        }
        let proxy = self.0.proxy.clone();
        // Reading the system's certificates takes too long for a thread that might serve requests.
        let client = tokio::task::spawn_blocking(move || client(pem.as_deref(), &proxy))
            .await
            .map_err(|_| FetchFault::Client)??;
        made.retain(|(generation, _), _| *generation == key.0);
        if made.len() >= MAX_CLIENTS {
            made.clear();
        }
        made.insert(key, client.clone());
        Ok(client)
    }
}

/// Fetches the key set of an application once.
///
/// # Errors
/// [`FetchFault`] where the source cannot be reached in time, or what it holds is no usable key set.
pub async fn fetch(source: &Source, clients: &Clients) -> Result<Fetched, FetchFault> {
    // The semaphore is never closed.
    let _turn = clients.0.turns.acquire().await;
    let (document, date) = match source {
        Source::Url { url, ca_file } => fetch_url(url, ca_file.as_deref(), clients).await?,
        Source::File(path) => (read_file(path).await?, None),
    };
    // A document at the size limit holds thousands of keys: too long a computation for a thread that serves.
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
        // A key that was replaced must not be hidden by a cache on the way.
        ("cache-control", "no-cache"),
    ];
    let response = client.get(url, &headers, MAX_DOCUMENT).await?;
    if response.status != 200 {
        return Err(FetchFault::Status(response.status));
    }
    // What comes out of a cache has the time at which it went in (RFC 9111 §5.1).
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
        // Applications of one instance have the same endpoint: fetches that follow one another share connections.
        idle_connections: MAX_FETCHES,
        idle_timeout: IDLE_TIMEOUT,
    };
    Ok(HttpClient::new(&settings)?)
}
