//! The journal of the running service, through its admin listener.

use std::net::SocketAddr;
use std::time::Duration;

use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderValue};
use reqwest::{Client, Method, Response, StatusCode};
use serde::de::DeserializeOwned;

use super::address::{path, reachable, segment};
use super::{JournalAccess, Line, Page, Pending, Target};
use crate::app_state::DeadLetterOutcome;
use crate::config::Config;
use crate::diagnosis::{Diagnosis, misconfigured};
use crate::http::journal::{EntryKind, HEADER, NEXT};
use crate::journal::QuarantineId;
use crate::journal::summary::{EntrySummary, Summary};

/// Timeouts for connecting to the service and for its response: a summary of a million entries takes a while.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(60);

/// The admin listener of a service.
pub(in crate::cli) struct Service {
    client: Client,
    address: SocketAddr,
}

/// Reason why a service does not do what is requested.
pub(in crate::cli) enum RequestFault {
    /// No service responds.
    NoService,
    /// The service rejects the request, or its response is unexpected. Contains the message.
    Refused(String),
}

impl RequestFault {
    /// Returns a description of the problem.
    pub(in crate::cli) fn problem(&self, config: &Config) -> String {
        match self {
            Self::NoService => format!(
                "no service answers at {} (server.admin_listen), and only a running service publishes",
                config.server.admin_listen
            ),
            Self::Refused(why) => why.clone(),
        }
    }
}

impl Service {
    /// Returns the service of this configuration, whether or not it runs.
    pub(super) fn new(config: &Config) -> Result<Self, Diagnosis> {
        let client = Client::builder().no_proxy().connect_timeout(CONNECT_TIMEOUT).timeout(RESPONSE_TIMEOUT);
        let client = client.default_headers(authorization(config)).build();
        let client = client.map_err(|_| misconfigured("no HTTP client", "check that OpenSSL works"))?;
        Ok(Self { client, address: reachable(config.server.admin_listen) })
    }

    /// Returns the service if it runs.
    pub(in crate::cli) async fn running(config: &Config) -> Option<Self> {
        let service = Self::new(config).ok()?;
        service.responds().await.then_some(service)
    }

    /// Returns true if the service runs, even if it is not well.
    pub(super) async fn responds(&self) -> bool {
        let answer = self.client.get(format!("http://{}/livez", self.address)).send().await;
        answer.is_ok_and(|answer| answer.status().is_success() || answer.status().is_server_error())
    }

    /// Publishes the event of a dead letter again. Only a running service publishes.
    pub(in crate::cli) async fn redrive_dead_letter(
        config: &Config,
        id: &str,
    ) -> Result<DeadLetterOutcome, RequestFault> {
        let service = Self::new(config).map_err(|fault| RequestFault::Refused(fault.problem))?;
        if !service.responds().await {
            return Err(RequestFault::NoService);
        }
        let path = format!("/dead-letters/{}/redrive", segment(id));
        service.json(Method::POST, &path).await.map_err(RequestFault::Refused)
    }

    async fn page<P>(&self, from: &str, parse: impl Fn(&str) -> Option<P>) -> Result<Page<P>, String> {
        let answer = self.ask(Method::GET, &format!("/journal/export?{from}")).await?;
        let next = answer.headers().get(NEXT).and_then(|next| parse(next.to_str().ok()?));
        Ok((answer.text().await.map_err(|_| unexpected())?, next))
    }

    async fn get_line(&self, target: Target<'_>) -> Result<Line, String> {
        let answer = self.ask(Method::GET, &path(target)).await?;
        if answer.status().is_success() { parse(answer).await.map(Ok) } else { parse(answer).await.map(Err) }
    }

    async fn json<T: DeserializeOwned>(&self, method: Method, path: &str) -> Result<T, String> {
        parse(self.ask(method, path).await?).await
    }

    async fn ask(&self, method: Method, path: &str) -> Result<Response, String> {
        let address = self.address;
        let request = self.client.request(method, format!("http://{address}{path}")).header(HEADER.0, HEADER.1);
        let answer = request.send().await.map_err(|_| format!("the service at {address} does not answer"))?;
        let known =
            answer.headers().get("content-type").is_some_and(|kind| kind.as_bytes().starts_with(b"application/"));
        match answer.status() {
            StatusCode::OK => Ok(answer),
            _ if known => Ok(answer),
            StatusCode::SERVICE_UNAVAILABLE => Err(answer.text().await.unwrap_or_default().trim().to_owned()),
            StatusCode::UNAUTHORIZED => Err(format!(
                "the service at {address} does not accept server.admin_token of this configuration, or has one that is \
                 missing here"
            )),
            status => Err(format!("the service at {address} does not support this request (status {status})")),
        }
    }
}

impl JournalAccess for Service {
    fn name(&self) -> String {
        format!("the service at {}", self.address)
    }

    fn is_served(&self) -> bool {
        true
    }

    fn summary(&self, shown: usize) -> Pending<'_, Summary> {
        Box::pin(async move { self.json(Method::GET, &format!("/journal?entries={shown}")).await })
    }

    fn export(&self, from: u64) -> Pending<'_, Page<u64>> {
        Box::pin(async move { self.page(&format!("from={from}"), |next| next.parse().ok()).await })
    }

    fn export_quarantine(&self, from: QuarantineId) -> Pending<'_, Page<QuarantineId>> {
        Box::pin(async move { self.page(&format!("quarantine={from}"), QuarantineId::parse).await })
    }

    fn entries_about<'a>(&'a self, id: &'a str) -> Pending<'a, Vec<EntrySummary>> {
        Box::pin(async move { self.json(Method::GET, &format!("/journal/entries?about={}", segment(id))).await })
    }

    fn line<'a>(&'a self, target: Target<'a>) -> Pending<'a, Line> {
        Box::pin(self.get_line(target))
    }

    fn find<'a>(&'a self, target: Target<'a>) -> Pending<'a, EntryKind> {
        Box::pin(async move {
            let line = match self.get_line(target).await? {
                Ok(line) => line,
                Err(found) => return Ok(found),
            };
            let found = match target {
                Target::Callback(_) => serde_json::from_value(line).map(EntryKind::Callback),
                Target::Entry(_) => serde_json::from_value(line).map(EntryKind::Entry),
            };
            found.map_err(|_| unexpected())
        })
    }

    fn discard<'a>(&'a self, target: Target<'a>) -> Pending<'a, EntryKind> {
        Box::pin(async move { self.json(Method::DELETE, &path(target)).await })
    }

    fn redrive<'a>(&'a self, target: Target<'a>) -> Pending<'a, EntryKind> {
        Box::pin(async move { self.json(Method::POST, &format!("{}/redrive", path(target))).await })
    }
}

async fn parse<T: DeserializeOwned>(answer: Response) -> Result<T, String> {
    let body = answer.bytes().await.map_err(|_| unexpected())?;
    serde_json::from_slice(&body).map_err(|_| unexpected())
}

/// Returns the headers that authorize reading ids from the service.
fn authorization(config: &Config) -> HeaderMap {
    let mut headers = HeaderMap::new();
    let token = config.admin_token.as_ref();
    // The configuration accepts only a token that can be sent.
    if let Some(mut value) = token.and_then(|token| format!("Bearer {}", token.expose()).parse::<HeaderValue>().ok()) {
        value.set_sensitive(true);
        headers.insert(AUTHORIZATION, value);
    }
    headers
}

fn unexpected() -> String {
    "the service answers in a form that this build does not know".to_owned()
}
