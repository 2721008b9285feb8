//! Sends requests to the Developer API, one at a time: token, rate limit, retries.
//!
//! The client secret is sent only in the body of the token request, and redirects are not followed. Faults and
//! notices never contain tokens, secrets or bodies.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use serde::Deserialize;

use super::answers::{ApiResponse, Meaning, Rejection, meaning};
use super::calls::{Call, segment};
use super::fault::{ApiFault, Cause};
use super::schedule::{Backoff, RateLimiter, Token, read_at, retry_after};
use crate::config::Fetch;
use crate::http_client::{HttpClient, HttpFault, HttpResponse, Proxy, Settings, Url};
use crate::secret::Secret;
use idaas_callback::event_type::Entity;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const TOTAL_TIMEOUT: Duration = Duration::from_secs(20);
const IDLE_TIMEOUT: Duration = Duration::from_secs(30);
/// Maximum size of an answer, in bytes. A page of 100 users has about 80,000.
const MAX_BODY: usize = 16 * 1024 * 1024;

/// The settings of a client. Has no `Debug`, because it contains a secret.
#[derive(Clone)]
pub struct ClientSettings {
    /// Endpoint, credentials and rate.
    pub fetch: Fetch,
    /// The IDaaS instance.
    pub instance_id: String,
    /// The application.
    pub application_id: String,
    /// The number of attempts after which a request has failed.
    pub attempts: u32,
}

/// The number of attempts per request in a run. They take about a minute.
pub const ATTEMPTS: u32 = 8;

/// A delay that the user should know about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Notice {
    /// The API throttles requests. The next one is sent after this time.
    Throttled(Duration),
    /// A request failed and is sent again after this time.
    Retrying(Duration, Cause),
    /// Kafka has not confirmed records for a while. Reading is paused.
    WaitingForKafka(String),
    /// Kafka confirms records again.
    KafkaConfirms,
}

/// Receives notices. Must return quickly.
pub type Notify = Arc<dyn Fn(Notice) + Send + Sync>;

/// A client of the API for one application.
pub struct Client {
    http: HttpClient,
    settings: ClientSettings,
    base_url: String,
    token: Option<Token>,
    pace: RateLimiter,
    requests: u64,
    /// The time of the latest request.
    read_at: i64,
    notify: Notify,
}

#[derive(Deserialize)]
struct TokenAnswer {
    access_token: String,
    #[serde(default)]
    expires_in: Option<u64>,
}

/// The result of one attempt.
enum Attempt {
    Answered(HttpResponse),
    Again(Cause, Option<Duration>),
    InvalidToken,
    Failed(Cause),
}

impl Client {
    /// Creates a client. Sends nothing.
    ///
    /// # Errors
    /// [`HttpFault`] if the HTTP client cannot be set up.
    pub fn new(settings: ClientSettings, notify: Notify) -> Result<Self, HttpFault> {
        let http = HttpClient::new(&Settings {
            proxy: if is_loopback(&settings.fetch.endpoint) { Proxy::Direct } else { Proxy::Environment },
            ca: None,
            follow_redirects: false,
            connect_timeout: CONNECT_TIMEOUT,
            total_timeout: TOTAL_TIMEOUT,
            idle_connections: 1,
            idle_timeout: IDLE_TIMEOUT,
        })?;
        let (instance, application) = (segment(&settings.instance_id), segment(&settings.application_id));
        let base_url = format!("{}/v2/{instance}/{application}", settings.fetch.endpoint);
        let pace = RateLimiter::new(settings.fetch.requests_per_second);
        Ok(Self { http, settings, base_url, token: None, pace, requests: 0, read_at: 0, notify })
    }

    /// Returns the number of requests sent, including those for tokens.
    #[must_use]
    pub const fn requests(&self) -> u64 {
        self.requests
    }

    /// Returns the time of the latest request, in milliseconds since 1970 by the API's clock: also of one that was
    /// rejected.
    #[must_use]
    pub const fn read_at(&self) -> i64 {
        self.read_at
    }

    /// Requests a token, to test the credentials.
    ///
    /// # Errors
    /// [`ApiFault`] if no token is issued.
    pub async fn authenticate(&mut self) -> Result<(), ApiFault> {
        self.fresh_token().await.map(drop)
    }

    /// Makes a call, and retries it after temporary failures.
    ///
    /// # Errors
    /// [`ApiFault`] if the API rejects the call or does not answer.
    pub async fn call(&mut self, call: &Call) -> Result<ApiResponse, ApiFault> {
        let fault = |cause| ApiFault { call: call.name(), permission: call.permission(), cause };
        let url = format!("{}{}", self.base_url, call.path());
        let (mut backoff, mut renewed) = (Backoff::new(self.settings.attempts), false);
        loop {
            let token = self.fresh_token().await?;
            self.wait_for_turn().await;
            let (sent, began) = (milliseconds(SystemTime::now()), Instant::now());
            let authorization = Secret::new(["Bearer ", token.expose().as_str()].concat());
            let headers = [("accept", "application/json"), ("authorization", authorization.expose().as_str())];
            let response = self.http.get(&url, &headers, MAX_BODY).await;
            let date = response.as_ref().ok().and_then(|response| response.header("date"));
            self.read_at = read_at(sent, date, began.elapsed());
            match classify(response, call.entity()) {
                Attempt::Answered(response) => return Ok(ApiResponse { body: response.body, read_at: self.read_at }),
                Attempt::Failed(cause) => return Err(fault(cause)),
                Attempt::InvalidToken if renewed => return Err(fault(Cause::TokenRefused)),
                Attempt::InvalidToken => {
                    self.token = None;
                    renewed = true;
                }
                Attempt::Again(cause, asked) => self.pause(&mut backoff, cause, asked).await.map_err(fault)?,
            }
        }
    }

    /// Returns the current token, or a new one after two thirds of its lifetime.
    async fn fresh_token(&mut self) -> Result<Secret<String>, ApiFault> {
        if let Some(token) = self.token.as_ref().filter(|token| token.is_fresh(Instant::now())) {
            return Ok(token.value().clone());
        }
        let fault = |cause| ApiFault { call: "GenerateToken", permission: "the application's API", cause };
        let url = format!("{}/oauth2/token", self.base_url);
        let mut backoff = Backoff::new(self.settings.attempts);
        loop {
            self.wait_for_turn().await;
            let asked_at = Instant::now();
            let Fetch { client_id, client_secret, .. } = &self.settings.fetch;
            let form = [
                ("grant_type", "client_credentials"),
                ("client_id", client_id.as_str()),
                ("client_secret", client_secret.expose().as_str()),
            ];
            let response = self.http.post_form(&url, &form, &[("accept", "application/json")], MAX_BODY).await;
            match classify(response, None) {
                Attempt::Answered(response) => {
                    let answer: TokenAnswer =
                        serde_json::from_slice(&response.body).map_err(|_| fault(Cause::Malformed))?;
                    let token = Token::new(answer.access_token, answer.expires_in, asked_at);
                    let value = token.value().clone();
                    self.token = Some(token);
                    return Ok(value);
                }
                Attempt::Failed(cause) => return Err(fault(cause)),
                Attempt::InvalidToken => return Err(fault(Cause::Rejected(Rejection::InvalidClient))),
                Attempt::Again(cause, asked) => self.pause(&mut backoff, cause, asked).await.map_err(fault)?,
            }
        }
    }

    async fn wait_for_turn(&mut self) {
        self.requests += 1;
        let wait = self.pace.reserve(Instant::now());
        if !wait.is_zero() {
            tokio::time::sleep(wait).await;
        }
    }

    /// Waits before the next attempt. Returns the cause as an error after too many attempts.
    async fn pause(&self, backoff: &mut Backoff, cause: Cause, asked: Option<Duration>) -> Result<(), Cause> {
        let Some(wait) = backoff.next(asked, fastrand::f64()) else { return Err(cause) };
        (self.notify)(match cause {
            Cause::Throttled => Notice::Throttled(wait),
            cause @ (Cause::Rejected(_)
            | Cause::TokenRefused
            | Cause::Status(_)
            | Cause::Http(_)
            | Cause::Malformed) => Notice::Retrying(wait, cause),
        });
        tokio::time::sleep(wait).await;
        Ok(())
    }
}

fn classify(response: Result<HttpResponse, HttpFault>, entity: Option<Entity>) -> Attempt {
    let response = match response {
        Ok(response) => response,
        Err(fault) => return unanswered(fault),
    };
    let asked = retry_after(response.header("retry-after"), SystemTime::now());
    match meaning(response.status, &response.body, entity) {
        Meaning::Answered => Attempt::Answered(response),
        Meaning::InvalidToken => Attempt::InvalidToken,
        Meaning::Throttled => Attempt::Again(Cause::Throttled, asked),
        Meaning::Failed => Attempt::Again(Cause::Status(response.status), asked),
        Meaning::Rejected(rejection) => Attempt::Failed(Cause::Rejected(rejection)),
    }
}

/// Classifies a failed request: network errors are retried, configuration errors are not.
fn unanswered(fault: HttpFault) -> Attempt {
    match fault {
        HttpFault::InvalidUrl
        | HttpFault::CaCertificate
        | HttpFault::Setup
        | HttpFault::Tls(_)
        | HttpFault::Redirect
        | HttpFault::TooLarge
        | HttpFault::Encoding => Attempt::Failed(Cause::Http(fault)),
        HttpFault::Dns | HttpFault::Connect | HttpFault::Timeout | HttpFault::Interrupted => {
            Attempt::Again(Cause::Http(fault), None)
        }
    }
}

fn is_loopback(endpoint: &str) -> bool {
    let host = Url::parse(endpoint).ok().and_then(|url| url.host_str().map(str::to_owned)).unwrap_or_default();
    let address = host.trim_matches(['[', ']']).parse::<std::net::IpAddr>();
    host == "localhost" || address.is_ok_and(|address| address.is_loopback())
}

/// Returns a time in milliseconds since 1970.
pub(super) fn milliseconds(time: SystemTime) -> i64 {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
