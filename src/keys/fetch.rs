//! One fetch of a key set: bounded in time and size, over HTTP or from a file. The only place that meets `reqwest`.
//!
//! This file must never retry, remember, or log; and never pass on an error of the HTTP client, whose text can
//! hold the URL.

use std::collections::HashMap;
use std::error::Error;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use flate2::read::{DeflateDecoder, MultiGzDecoder, ZlibDecoder};
use idaas_callback::jose::jws::KeySet;
use reqwest::header::{ACCEPT, ACCEPT_ENCODING, AGE, CACHE_CONTROL, CONTENT_ENCODING, DATE};
use reqwest::redirect::{Attempt, Policy};
use reqwest::{Certificate, Client, Response, StatusCode};
use sha2::{Digest, Sha256};
use tokio::io::AsyncReadExt;
use tokio::sync::{Mutex, Semaphore};

use crate::text::{self, without_byte_order_mark};

use super::fault::FetchFault;
use super::source::{Proxy, Source};

pub(super) use reqwest::Url;

/// The largest document that is read, in bytes. A set of two keys has about 900.
pub const MAX_DOCUMENT: usize = 1024 * 1024;

/// Until the connection stands, TLS and a proxy included.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// Until the last byte of the document.
const TOTAL_TIMEOUT: Duration = Duration::from_secs(5);
const MAX_REDIRECTS: usize = 5;
/// Fetches at a time. Enough that endpoints that hang do not hold up the others for long, and few enough that a start with
/// a thousand applications neither takes all processors nor opens a thousand connections.
const MAX_FETCHES: usize = 64;
/// Clients that are kept at a time.
const MAX_CLIENTS: usize = 64;
/// How long a connection waits for another fetch.
const IDLE_TIMEOUT: Duration = Duration::from_secs(2);
const USER_AGENT: &str = concat!(env!("CARGO_PKG_NAME"), "/", env!("CARGO_PKG_VERSION"));

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
    made: Mutex<HashMap<ClientKey, Client>>,
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

    async fn get(&self, ca_file: Option<&Path>) -> Result<Client, FetchFault> {
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
    let url = Url::parse(url).map_err(|_| FetchFault::InvalidUrl)?;
    if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
        return Err(FetchFault::InvalidUrl);
    }
    let client = clients.get(ca_file).await?;
    let request = client
        .get(url)
        .header(ACCEPT, "application/jwk-set+json, application/json")
        // A key that was replaced must not be hidden by a cache on the way.
        .header(CACHE_CONTROL, "no-cache")
        // Without this header any coding would be acceptable (RFC 9110 §12.5.3).
        .header(ACCEPT_ENCODING, "gzip, deflate, identity");
    let response = request.send().await.map_err(|error| classify(&error))?;
    if response.status() != StatusCode::OK {
        return Err(FetchFault::Status(response.status().as_u16()));
    }
    let header = |name| response.headers().get(name).and_then(|value| value.to_str().ok());
    // What comes out of a cache has the time at which it went in (RFC 9111 §5.1).
    let age = header(AGE).and_then(|age| age.parse().ok()).map(Duration::from_secs).unwrap_or_default();
    let date = header(DATE).and_then(|date| httpdate::parse_http_date(date).ok()?.checked_add(age));
    let codings = response.headers().get_all(CONTENT_ENCODING).iter();
    let codings: Vec<_> = codings.map(|value| value.to_str().unwrap_or("?").to_owned()).collect();
    Ok((decoded(read_body(response).await?, &codings.join(","))?, date))
}

/// Undoes the content codings (RFC 9110 §8.4), the last one first.
fn decoded(document: Vec<u8>, codings: &str) -> Result<Vec<u8>, FetchFault> {
    codings.split(',').rev().try_fold(document, |document, coding| {
        match coding.trim().to_ascii_lowercase().as_str() {
            // Some servers name the charset here.
            "" | "identity" | "utf-8" | "utf8" => Ok(document),
            "gzip" | "x-gzip" => inflated(MultiGzDecoder::new(document.as_slice())),
            // RFC 9110 §8.4.1.2 means zlib's format; some servers send the bare stream.
            "deflate" => inflated(ZlibDecoder::new(document.as_slice()))
                .or_else(|_| inflated(DeflateDecoder::new(document.as_slice()))),
            _ => Err(FetchFault::Encoding),
        }
    })
}

fn inflated(decoder: impl Read) -> Result<Vec<u8>, FetchFault> {
    let mut document = Vec::new();
    decoder.take(MAX_DOCUMENT as u64 + 1).read_to_end(&mut document).map_err(|_| FetchFault::Encoding)?;
    if document.len() > MAX_DOCUMENT { Err(FetchFault::TooLarge) } else { Ok(document) }
}

/// Reads the document and stops where it gets too large, whatever length was announced.
async fn read_body(mut response: Response) -> Result<Vec<u8>, FetchFault> {
    if response.content_length().is_some_and(|length| length > MAX_DOCUMENT as u64) {
        return Err(FetchFault::TooLarge);
    }
    let mut document = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| classify(&error))? {
        if document.len() + chunk.len() > MAX_DOCUMENT {
            return Err(FetchFault::TooLarge);
        }
        document.extend_from_slice(&chunk);
    }
    Ok(document)
}

fn client(pem: Option<&[u8]>, proxy: &Proxy) -> Result<Client, FetchFault> {
    let mut builder = Client::builder()
        .tls_backend_native()
        .user_agent(USER_AGENT)
        .connect_timeout(CONNECT_TIMEOUT)
        .timeout(TOTAL_TIMEOUT)
        .redirect(Policy::custom(redirect))
        .referer(false)
        // Applications of one instance have the same endpoint: fetches that follow one another share connections.
        .pool_max_idle_per_host(MAX_FETCHES)
        .pool_idle_timeout(IDLE_TIMEOUT);
    if let Some(pem) = pem {
        builder = builder.tls_certs_merge(certificates(pem)?);
    }
    builder = match proxy {
        Proxy::Environment => builder,
        Proxy::Direct => builder.no_proxy(),
        Proxy::Url(url) => builder.proxy(reqwest::Proxy::all(url).map_err(|_| FetchFault::Client)?),
    };
    builder.build().map_err(|_| FetchFault::Client)
}

fn certificates(pem: &[u8]) -> Result<Vec<Certificate>, FetchFault> {
    match Certificate::from_pem_bundle(&text::plain(pem)) {
        Ok(certificates) if !certificates.is_empty() => Ok(certificates),
        Ok(_) | Err(_) => Err(FetchFault::CaCertificate),
    }
}

/// Follows within the scheme only: `https` to `http` would give the keys into anybody's hand.
fn redirect(attempt: Attempt<'_>) -> reqwest::redirect::Action {
    let same_scheme = attempt.previous().first().is_some_and(|first| first.scheme() == attempt.url().scheme());
    if same_scheme && attempt.previous().len() <= MAX_REDIRECTS {
        attempt.follow()
    } else {
        attempt.error(FetchFault::Redirect)
    }
}

fn classify(error: &reqwest::Error) -> FetchFault {
    if error.is_redirect() {
        return FetchFault::Redirect;
    }
    let mut cause: Option<&(dyn Error + 'static)> = error.source();
    while let Some(inner) = cause {
        if let Some(tls) = inner.downcast_ref::<native_tls::Error>() {
            return FetchFault::Tls(tls.to_string());
        }
        cause = inner.source();
    }
    if error.is_dns() {
        FetchFault::Dns
    } else if error.is_timeout() {
        FetchFault::Timeout
    } else if error.is_connect() {
        FetchFault::Connect
    } else {
        FetchFault::Interrupted
    }
}
