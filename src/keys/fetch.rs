//! One fetch of a key set: bounded in time and size, over HTTP or from a file. The only place that meets `reqwest`.
//!
//! This file must never retry, remember, or log; and never pass on an error of the HTTP client, whose text can
//! hold the URL.

use std::error::Error;
use std::path::Path;
use std::time::{Duration, SystemTime};

use reqwest::header::{ACCEPT, DATE};
use reqwest::redirect::{Attempt, Policy};
use reqwest::{Certificate, Client, ClientBuilder, Response, StatusCode};
use tokio::io::AsyncReadExt;

use crate::jose::jws::KeySet;

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
const USER_AGENT: &str = concat!(env!("CARGO_PKG_NAME"), "/", env!("CARGO_PKG_VERSION"));

/// A key set as it was fetched.
pub struct Fetched {
    /// The document, byte for byte.
    pub document: Vec<u8>,
    /// The keys in it, at least one, their verifiers ready.
    pub set: KeySet,
    /// What the endpoint's clock says (`Date`, RFC 9110 §6.6.1). `None` for a file.
    pub date: Option<SystemTime>,
}

/// Fetches the key set of an application once.
///
/// The client is made anew each time, which costs some milliseconds every ten minutes, so that a CA file that was
/// exchanged counts at once and no idle connection is held.
///
/// # Errors
/// [`FetchFault`] where the source cannot be reached in time, or what it holds is no usable key set.
pub async fn fetch(source: &Source, proxy: &Proxy) -> Result<Fetched, FetchFault> {
    let (document, date) = match source {
        Source::Url { url, ca_file } => fetch_url(url, ca_file.as_deref(), proxy).await?,
        Source::File(path) => (read_file(path).await?, None),
    };
    // A document at the size limit holds thousands of keys: too long a computation for a thread that serves.
    tokio::task::spawn_blocking(move || Ok(Fetched { set: KeySet::parse(&document)?, document, date }))
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
    proxy: &Proxy,
) -> Result<(Vec<u8>, Option<SystemTime>), FetchFault> {
    let url = Url::parse(url).map_err(|_| FetchFault::InvalidUrl)?;
    if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
        return Err(FetchFault::InvalidUrl);
    }
    let client = client(ca_file, proxy).await?;
    let request = client.get(url).header(ACCEPT, "application/jwk-set+json, application/json");
    let response = request.send().await.map_err(|error| classify(&error))?;
    if response.status() != StatusCode::OK {
        return Err(FetchFault::Status(response.status().as_u16()));
    }
    let date = response.headers().get(DATE).and_then(|date| httpdate::parse_http_date(date.to_str().ok()?).ok());
    Ok((read_body(response).await?, date))
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

async fn client(ca_file: Option<&Path>, proxy: &Proxy) -> Result<Client, FetchFault> {
    let mut builder = Client::builder()
        .tls_backend_native()
        .user_agent(USER_AGENT)
        .connect_timeout(CONNECT_TIMEOUT)
        .timeout(TOTAL_TIMEOUT)
        .redirect(Policy::custom(redirect))
        .referer(false)
        .pool_max_idle_per_host(0);
    if let Some(path) = ca_file {
        builder = builder.tls_certs_merge(certificates(path).await?);
    }
    builder = match proxy {
        Proxy::Environment => builder,
        Proxy::Direct => builder.no_proxy(),
        Proxy::Url(url) => builder.proxy(reqwest::Proxy::all(url).map_err(|_| FetchFault::Client)?),
    };
    // Reading the system's roots takes some milliseconds of a thread that might serve requests.
    tokio::task::spawn_blocking(|| ClientBuilder::build(builder))
        .await
        .map_err(|_| FetchFault::Client)?
        .map_err(|_| FetchFault::Client)
}

async fn certificates(path: &Path) -> Result<Vec<Certificate>, FetchFault> {
    let pem = tokio::fs::read(path).await.map_err(|error| FetchFault::CaFile(error.kind()))?;
    match Certificate::from_pem_bundle(&pem) {
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
