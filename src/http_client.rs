//! The HTTP client: requests with limits on time and size. The only module of the service that uses `reqwest`.
//!
//! It does not log, retry or cache. Errors of `reqwest` are never passed on, because their text can contain the URL.

use std::error::Error;
use std::io::Read;
use std::time::Duration;

use flate2::read::{DeflateDecoder, MultiGzDecoder, ZlibDecoder};
use reqwest::header::{ACCEPT_ENCODING, AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderValue};
use reqwest::redirect::{Attempt, Policy};
use reqwest::{Certificate, Client, RequestBuilder, Response};
use url::form_urlencoded;

use crate::text;

pub use reqwest::Url;

const MAX_REDIRECTS: usize = 5;
const USER_AGENT: &str = concat!(env!("CARGO_PKG_NAME"), "/", env!("CARGO_PKG_VERSION"));

/// The proxy settings of a client.
#[derive(Clone, PartialEq, Eq)]
pub enum Proxy {
    /// The environment variables `HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY` and `NO_PROXY` apply.
    Environment,
    /// No proxy, whatever the environment says.
    Direct,
    /// Through this proxy.
    Url(String),
}

/// The settings of a client.
pub struct Settings<'a> {
    /// The proxy settings.
    pub proxy: Proxy,
    /// Certificates (PEM) to trust in addition to the system's.
    pub ca: Option<&'a [u8]>,
    /// True to follow redirects within the same scheme. Must be false for requests that carry a secret.
    pub follow_redirects: bool,
    /// Limit for establishing the connection, including TLS and a proxy.
    pub connect_timeout: Duration,
    /// Limit for the whole request, until the last byte of the response.
    pub total_timeout: Duration,
    /// Maximum number of idle connections per host.
    pub idle_connections: usize,
    /// How long an idle connection is kept open.
    pub idle_timeout: Duration,
}

/// Why a request failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HttpFault {
    /// The address is not an `http` or `https` URL with a host.
    InvalidUrl,
    /// The extra CA certificates are not readable PEM.
    CaCertificate,
    /// The proxy's address is not a URL, or the client cannot be set up.
    Setup,
    /// The host name cannot be resolved.
    Dns,
    /// The host, or the proxy, cannot be connected to.
    Connect,
    /// TLS failed. The text is OpenSSL's and contains no secret.
    Tls(String),
    /// There was no complete response in time.
    Timeout,
    /// The server sent a redirect that is not followed.
    Redirect,
    /// The connection broke after it was established.
    Interrupted,
    /// The body is larger than the limit.
    TooLarge,
    /// The body has a content coding that was not requested, or is damaged.
    Encoding,
}

/// A response with any status.
pub struct HttpResponse {
    /// The status code.
    pub status: u16,
    headers: HeaderMap,
    /// The body after content decoding. Empty if the status is an error and the body cannot be read.
    pub body: Vec<u8>,
}

impl HttpResponse {
    /// Returns the first header with this name, if it is text.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }
}

/// A client. Clones share its connections.
#[derive(Clone)]
pub struct HttpClient(Client);

impl HttpClient {
    /// Creates a client. Needs a tenth of a second, because it reads the system's certificates.
    ///
    /// # Errors
    /// [`HttpFault::CaCertificate`], [`HttpFault::Setup`].
    pub fn new(settings: &Settings<'_>) -> Result<Self, HttpFault> {
        let redirects = if settings.follow_redirects { Policy::custom(redirect) } else { Policy::none() };
        let mut builder = Client::builder()
            .tls_backend_native()
            .user_agent(USER_AGENT)
            .connect_timeout(settings.connect_timeout)
            .timeout(settings.total_timeout)
            .redirect(redirects)
            .referer(false)
            .pool_max_idle_per_host(settings.idle_connections)
            .pool_idle_timeout(settings.idle_timeout);
        if let Some(pem) = settings.ca {
            builder = builder.tls_certs_merge(certificates(pem)?);
        }
        builder = match &settings.proxy {
            Proxy::Environment => builder,
            Proxy::Direct => builder.no_proxy(),
            Proxy::Url(url) => builder.proxy(reqwest::Proxy::all(url).map_err(|_| HttpFault::Setup)?),
        };
        builder.build().map(Self).map_err(|_| HttpFault::Setup)
    }

    /// Sends a GET request and reads at most `limit` bytes of the body.
    ///
    /// # Errors
    /// Any [`HttpFault`] except [`HttpFault::CaCertificate`]. [`HttpFault::Setup`] if a header is invalid.
    pub async fn get(&self, url: &str, headers: &[(&str, &str)], limit: usize) -> Result<HttpResponse, HttpFault> {
        exchange(self.0.get(parse_url(url)?), headers, limit).await
    }

    /// Sends a POST request with a form and reads at most `limit` bytes of the response body.
    ///
    /// # Errors
    /// See [`HttpClient::get`].
    pub async fn post_form(
        &self,
        url: &str,
        form: &[(&str, &str)],
        headers: &[(&str, &str)],
        limit: usize,
    ) -> Result<HttpResponse, HttpFault> {
        let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
        let request = self.0.post(parse_url(url)?).header(CONTENT_TYPE, "application/x-www-form-urlencoded").body(body);
        exchange(request, headers, limit).await
    }

    /// Sends a POST request with a body and reads at most `limit` bytes of the response body.
    ///
    /// # Errors
    /// See [`HttpClient::get`].
    pub async fn post(
        &self,
        url: &str,
        body: Vec<u8>,
        headers: &[(&str, &str)],
        limit: usize,
    ) -> Result<HttpResponse, HttpFault> {
        exchange(self.0.post(parse_url(url)?).body(body), headers, limit).await
    }
}

fn parse_url(url: &str) -> Result<Url, HttpFault> {
    let url = Url::parse(url).map_err(|_| HttpFault::InvalidUrl)?;
    if matches!(url.scheme(), "http" | "https") && url.has_host() { Ok(url) } else { Err(HttpFault::InvalidUrl) }
}

async fn exchange(
    mut request: RequestBuilder,
    headers: &[(&str, &str)],
    limit: usize,
) -> Result<HttpResponse, HttpFault> {
    // Without this header, the server may use any content coding (RFC 9110 §12.5.3).
    request = request.header(ACCEPT_ENCODING, "gzip, deflate, identity");
    for (name, value) in headers {
        let mut value = HeaderValue::from_str(value).map_err(|_| HttpFault::Setup)?;
        value.set_sensitive(name.eq_ignore_ascii_case(AUTHORIZATION.as_str()));
        request = request.header(*name, value);
    }
    let mut response = request.send().await.map_err(|error| classify(&error))?;
    let (status, headers) = (response.status(), std::mem::take(response.headers_mut()));
    let codings = headers.get_all(CONTENT_ENCODING).iter();
    let codings: Vec<_> = codings.map(|value| value.to_str().unwrap_or("?")).collect();
    let body = match read_body(response, limit).await {
        Ok(body) => decode_body(body, &codings.join(","), limit),
        Err(fault) => Err(fault),
    };
    // An error status is more useful than a body that cannot be read.
    let body = if status.is_success() { body? } else { body.unwrap_or_default() };
    Ok(HttpResponse { status: status.as_u16(), headers, body })
}

/// Reverts the content codings (RFC 9110 §8.4), last one first.
fn decode_body(document: Vec<u8>, codings: &str, limit: usize) -> Result<Vec<u8>, HttpFault> {
    codings.split(',').rev().try_fold(document, |document, coding| {
        match coding.trim().to_ascii_lowercase().as_str() {
            // Some servers put the charset here.
            "" | "identity" | "utf-8" | "utf8" => Ok(document),
            "gzip" | "x-gzip" => inflate(MultiGzDecoder::new(document.as_slice()), limit),
            // RFC 9110 §8.4.1.2 specifies the zlib format. Some servers send raw deflate.
            "deflate" => inflate(ZlibDecoder::new(document.as_slice()), limit)
                .or_else(|_| inflate(DeflateDecoder::new(document.as_slice()), limit)),
            _ => Err(HttpFault::Encoding),
        }
    })
}

fn inflate(decoder: impl Read, limit: usize) -> Result<Vec<u8>, HttpFault> {
    let mut document = Vec::new();
    decoder.take(limit as u64 + 1).read_to_end(&mut document).map_err(|_| HttpFault::Encoding)?;
    if document.len() > limit { Err(HttpFault::TooLarge) } else { Ok(document) }
}

/// Reads the body, and stops at `limit` whatever Content-Length says.
async fn read_body(mut response: Response, limit: usize) -> Result<Vec<u8>, HttpFault> {
    if response.content_length().is_some_and(|length| length > limit as u64) {
        return Err(HttpFault::TooLarge);
    }
    let mut document = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| classify(&error))? {
        if document.len() + chunk.len() > limit {
            return Err(HttpFault::TooLarge);
        }
        document.extend_from_slice(&chunk);
    }
    Ok(document)
}

fn certificates(pem: &[u8]) -> Result<Vec<Certificate>, HttpFault> {
    match Certificate::from_pem_bundle(&text::plain(pem)) {
        Ok(certificates) if !certificates.is_empty() => Ok(certificates),
        Ok(_) | Err(_) => Err(HttpFault::CaCertificate),
    }
}

#[derive(Debug)]
struct NotFollowed;

impl std::fmt::Display for NotFollowed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the redirect is not followed")
    }
}

impl Error for NotFollowed {}

/// Follows redirects within the same scheme only. A redirect from `https` to `http` would let anybody replace the
/// response.
fn redirect(attempt: Attempt<'_>) -> reqwest::redirect::Action {
    let same_scheme = attempt.previous().first().is_some_and(|first| first.scheme() == attempt.url().scheme());
    if same_scheme && attempt.previous().len() <= MAX_REDIRECTS { attempt.follow() } else { attempt.error(NotFollowed) }
}

fn classify(error: &reqwest::Error) -> HttpFault {
    if error.is_redirect() {
        return HttpFault::Redirect;
    }
    let mut cause: Option<&(dyn Error + 'static)> = error.source();
    while let Some(inner) = cause {
        if let Some(tls) = inner.downcast_ref::<native_tls::Error>() {
            return HttpFault::Tls(tls.to_string());
        }
        cause = inner.source();
    }
    if error.is_dns() {
        HttpFault::Dns
    } else if error.is_timeout() {
        HttpFault::Timeout
    } else if error.is_connect() {
        HttpFault::Connect
    } else {
        HttpFault::Interrupted
    }
}

impl std::fmt::Display for HttpFault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::InvalidUrl => "the address is not an http or https URL",
            Self::CaCertificate => "the CA certificates are not readable PEM",
            Self::Setup => "the HTTP client cannot be set up",
            Self::Dns => "the host's name cannot be resolved",
            Self::Connect => "no connection to the host",
            Self::Tls(problem) => return write!(f, "TLS failed: {problem}"),
            Self::Timeout => "no complete answer in time",
            Self::Redirect => "the endpoint redirects, which is not followed",
            Self::Interrupted => "the connection was closed before the answer was complete",
            Self::TooLarge => "the answer is too large",
            Self::Encoding => "the answer has an unknown content coding or is damaged",
        })
    }
}

impl Error for HttpFault {}
