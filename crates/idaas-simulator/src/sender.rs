//! Posts callbacks to a bridge and reads the answers. One attempt each; [`super::redelivery`] repeats them.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use reqwest::header::{CONTENT_ENCODING, CONTENT_TYPE};
use reqwest::{Certificate, Client, Url};

use super::answer::{Answer, AnswerFault, Verdict, refusal_code};
use super::events::Event;
use super::fault::{Fault, Request};
use super::payload::Form;
use super::tenant_keys::TenantKeys;
use super::token::Callback;
use crate::signing::SigningFault;

/// The time that IDaaS waits for an answer.
pub const TIMEOUT: Duration = Duration::from_secs(10);

/// A simulated instance that sends to one bridge. Contains a pool of connections; share it in an `Arc`.
pub struct Sender {
    client: Client,
    target: Url,
    tenant_keys: Arc<TenantKeys>,
    form: Form,
    plain: bool,
}

/// The reason why a sender cannot be created.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SenderFault {
    /// The address is not an `http` or `https` URL.
    Target(String),
    /// The CA certificates cannot be read.
    Certificates,
    /// The HTTP client cannot be created.
    Client,
}

impl std::fmt::Display for SenderFault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Target(text) => {
                write!(f, "{text:?} is not the URL of a bridge; use one like http://127.0.0.1:8080/callbacks/workforce")
            }
            Self::Certificates => f.write_str("the CA file contains no PEM certificates"),
            Self::Client => f.write_str("the HTTP client cannot be created; check OpenSSL's configuration"),
        }
    }
}

impl std::error::Error for SenderFault {}

/// The reason why there is no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum NoAnswer {
    /// The connection failed.
    NotConnected,
    /// The server's certificate is not trusted.
    NotTrusted,
    /// There was no answer within [`TIMEOUT`].
    TimedOut,
    /// The connection broke before the answer was complete.
    Broken,
    /// A 200 that is not the JSON object with the four lists.
    Unreadable,
}

impl NoAnswer {
    /// Returns a short name for reports.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::NotConnected => "not_connected",
            Self::NotTrusted => "certificate_not_trusted",
            Self::TimedOut => "timed_out",
            Self::Broken => "connection_broken",
            Self::Unreadable => "unreadable_answer",
        }
    }
}

/// The result of one attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// A 200 with a verdict per event.
    Answered(Answer),
    /// Another status.
    Refused {
        /// The HTTP status.
        status: u16,
        /// The member `error` of the body, if it has one.
        code: Option<String>,
    },
    /// No usable answer.
    Nothing(NoAnswer),
}

/// One attempt and its result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// The result.
    pub reply: Reply,
    /// The time from the start of the request, or from its planned start, to the end of the answer.
    pub latency: Duration,
}

impl Delivery {
    /// Returns the HTTP status. `None` if there was no answer.
    #[must_use]
    pub const fn status(&self) -> Option<u16> {
        match &self.reply {
            Reply::Answered(_) | Reply::Nothing(NoAnswer::Unreadable) => Some(200),
            Reply::Refused { status, .. } => Some(*status),
            Reply::Nothing(NoAnswer::NotConnected | NoAnswer::NotTrusted | NoAnswer::TimedOut | NoAnswer::Broken) => {
                None
            }
        }
    }

    /// Returns the verdicts of an answer. Empty if the callback was refused.
    #[must_use]
    pub fn verdicts(&self) -> &[Verdict] {
        match &self.reply {
            Reply::Answered(answer) => &answer.verdicts,
            Reply::Refused { .. } | Reply::Nothing(_) => &[],
        }
    }

    /// Returns the faults of the answer, given the ids that were sent.
    #[must_use]
    pub fn faults<'a>(&self, event_ids: impl IntoIterator<Item = &'a str>) -> Vec<AnswerFault> {
        match &self.reply {
            Reply::Answered(answer) => answer.faults(event_ids),
            Reply::Nothing(NoAnswer::Unreadable) => vec![AnswerFault::Unreadable],
            Reply::Refused { .. } | Reply::Nothing(_) => Vec::new(),
        }
    }
}

impl Sender {
    /// Creates a sender of valid, encrypted callbacks to `target`: the URL of a callback, or of a bridge, to which
    /// the path `/callbacks/<application>` is added.
    ///
    /// # Errors
    /// [`SenderFault`] if `target` is not such a URL, or if the HTTP client cannot be created.
    pub fn new(tenant_keys: Arc<TenantKeys>, target: &str) -> Result<Self, SenderFault> {
        Self::trusting(tenant_keys, target, None)
    }

    /// Same as [`Sender::new`], but also trusts the CA certificates in `authorities` (PEM).
    ///
    /// # Errors
    /// Same as [`Sender::new`], and if `authorities` contains no certificates.
    pub fn trusting(
        tenant_keys: Arc<TenantKeys>,
        target: &str,
        authorities: Option<&[u8]>,
    ) -> Result<Self, SenderFault> {
        let no_target = || SenderFault::Target(target.to_owned());
        let mut url = Url::parse(target).map_err(|_| no_target())?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(no_target());
        }
        if url.path() == "/" {
            url.set_path(&format!("/callbacks/{}", tenant_keys.identity.application));
        }
        let client = Client::builder().timeout(TIMEOUT).redirect(reqwest::redirect::Policy::none());
        // A proxy from the environment is for other machines; this one can be reached directly.
        let client = if is_loopback(&url) { client.no_proxy() } else { client };
        let client = match authorities.map(Certificate::from_pem_bundle) {
            None => client,
            Some(Ok(certificates)) if !certificates.is_empty() => client.tls_certs_merge(certificates),
            Some(_) => return Err(SenderFault::Certificates),
        };
        let client = client.build().map_err(|_| SenderFault::Client)?;
        Ok(Self { client, target: url, tenant_keys, form: Form::Wire, plain: false })
    }

    /// Returns the same sender with another form of events.
    #[must_use]
    pub fn form(mut self, form: Form) -> Self {
        self.form = form;
        self
    }

    /// Returns the same sender without encryption, as if it were switched off in the instance.
    #[must_use]
    pub fn plain(mut self) -> Self {
        self.plain = true;
        self
    }

    /// Returns the URL that callbacks are sent to.
    #[must_use]
    pub fn target(&self) -> &str {
        self.target.as_str()
    }

    /// Returns the simulated instance.
    #[must_use]
    pub fn tenant_keys(&self) -> &TenantKeys {
        &self.tenant_keys
    }

    /// Creates the request for `events`, with `fault` if it is given. Signing takes about a millisecond of processor
    /// time; the token is valid for half an hour.
    ///
    /// # Errors
    /// [`SigningFault`] if the crypto library fails.
    pub fn request(&self, events: &[Event], fault: Option<Fault>) -> Result<Request, SigningFault> {
        let now = now_ms() / 1000;
        if let Some(fault) = fault {
            return fault.request(&self.tenant_keys, events, self.form, self.plain, now);
        }
        let callback = Callback::new(&self.tenant_keys, now).form(self.form).events(events);
        let callback = if self.plain { callback.plain() } else { callback };
        Ok(callback.body()?.into())
    }

    /// Signs and posts `events` as one callback, once.
    ///
    /// # Errors
    /// [`SigningFault`] if the crypto library fails.
    pub async fn deliver(&self, events: &[Event]) -> Result<Delivery, SigningFault> {
        let request = self.request(events, None)?;
        Ok(self.post(request, Instant::now()).await)
    }

    /// Posts a request once. The latency counts from `started`.
    pub async fn post(&self, request: Request, started: Instant) -> Delivery {
        let reply = self.reply(request).await;
        Delivery { reply, latency: started.elapsed() }
    }

    async fn reply(&self, request: Request) -> Reply {
        let mut post = self.client.post(self.target.clone()).body(request.body);
        post = post.header(CONTENT_TYPE, "application/json;charset=utf-8");
        if let Some(encoding) = request.encoding {
            post = post.header(CONTENT_ENCODING, encoding);
        }
        let response = match post.send().await {
            Ok(response) => response,
            Err(error) => return Reply::Nothing(no_answer(&error)),
        };
        let status = response.status().as_u16();
        match response.bytes().await {
            Err(error) => Reply::Nothing(no_answer(&error)),
            Ok(body) if status == 200 => {
                Answer::parse(&body).map_or(Reply::Nothing(NoAnswer::Unreadable), Reply::Answered)
            }
            Ok(body) => Reply::Refused { status, code: refusal_code(&body) },
        }
    }
}

fn is_loopback(url: &Url) -> bool {
    let address = url.host_str().map(|host| host.trim_matches(['[', ']'])).and_then(|host| host.parse::<IpAddr>().ok());
    url.host_str() == Some("localhost") || address.is_some_and(|address| address.is_loopback())
}

fn no_answer(error: &reqwest::Error) -> NoAnswer {
    if error.is_timeout() {
        NoAnswer::TimedOut
    } else if error.is_connect() {
        if names_a_certificate(error) { NoAnswer::NotTrusted } else { NoAnswer::NotConnected }
    } else {
        NoAnswer::Broken
    }
}

/// Returns true if OpenSSL, at the end of the chain of causes, does not trust the certificate. Only its text shows
/// that.
fn names_a_certificate(error: &reqwest::Error) -> bool {
    let mut causes = std::iter::successors(Some(error as &dyn std::error::Error), |error| error.source());
    causes.any(|cause| cause.to_string().contains("certificate"))
}

/// Returns the current time in milliseconds since 1970.
#[must_use]
pub fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
#[path = "tests/sender.rs"]
mod tests;
