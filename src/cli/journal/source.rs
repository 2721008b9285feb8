//! The source of journal data: the running service, or the journal's directory.

mod address;

use std::net::SocketAddr;
use std::time::Duration;

use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderValue};
use reqwest::{Client, Method, Response, StatusCode};
use serde::de::DeserializeOwned;
use serde_json::Value;

pub(in crate::cli) use self::address::RequestFault;
use self::address::{paths, reachable, segment};
use crate::app_state::DeadLetterOutcome;
use crate::config::Config;
use crate::diagnosis::{Diagnosis, misconfigured};
use crate::http::journal::{EntryKind, HEADER, NEXT};
use crate::journal::admin::JournalAdmin;
use crate::journal::store::Store;
use crate::journal::summary::{EntrySummary, Summary};
use crate::journal::{JournalRejection, OpenFault, QuarantineId};

/// Timeouts for connecting to the service and for its response: a summary of a million entries takes a while.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(60);

/// Page sizes of an export from a directory: entries and callbacks.
const PAGE: usize = 500;
const CALLBACK_PAGE: usize = 20;

/// Name of the operator in the log if no service is running.
const OPERATOR: &str = "command line";

/// The source of the data.
pub(in crate::cli) enum Source {
    Service {
        client: Client,
        address: SocketAddr,
    },
    Directory {
        journal_admin: Box<JournalAdmin>,
        path: String,
    },
    /// There is no journal yet.
    Empty {
        path: String,
        limit: u64,
    },
}

impl Source {
    /// Returns the service if it is running, otherwise the directory.
    pub(in crate::cli) async fn find(config: &Config) -> Result<Self, Diagnosis> {
        match Self::service(config).await? {
            (service, true) => Ok(service),
            (_, false) => Self::directory(config),
        }
    }

    /// Returns the service if it is running.
    pub(in crate::cli) async fn running(config: &Config) -> Option<Self> {
        Self::service(config).await.ok().filter(|(_, alive)| *alive).map(|(service, _)| service)
    }

    /// Returns the service, and true if it responds.
    async fn service(config: &Config) -> Result<(Self, bool), Diagnosis> {
        let address = reachable(config.server.admin_listen);
        let client = Client::builder().no_proxy().connect_timeout(CONNECT_TIMEOUT).timeout(RESPONSE_TIMEOUT);
        let client = client.default_headers(authorization(config)).build();
        let client = client.map_err(|_| misconfigured("no HTTP client", "check that OpenSSL works"))?;
        let alive = client.get(format!("http://{address}/livez")).send().await;
        let alive = alive.is_ok_and(|answer| answer.status().is_success());
        Ok((Self::Service { client, address }, alive))
    }

    fn directory(config: &Config) -> Result<Self, Diagnosis> {
        let journal = &config.journal;
        let path = journal.directory.display().to_string();
        if !Store::is_in(&journal.directory) {
            return Ok(Self::Empty { path, limit: journal.max_size });
        }
        let opened = Store::open(&journal.directory, &journal.keys, journal.max_size).map_err(|fault| {
            let listen = config.server.admin_listen;
            if let OpenFault::Locked(..) = fault {
                let problem = format!("{fault}, and the service does not answer at {listen} (server.admin_listen)");
                return Diagnosis::new(&fault, problem, "set server.admin_listen to the address that it listens on");
            }
            Diagnosis::from(&fault)
        })?;
        let journal_admin = JournalAdmin::offline(opened.store)
            .map_err(|error| misconfigured(error.to_string(), "raise the limits on threads and open files"))?;
        Ok(Self::Directory { journal_admin: Box::new(journal_admin), path })
    }

    /// Returns the name of the source for display.
    pub(super) fn name(&self) -> String {
        match self {
            Self::Service { address, .. } => format!("the service at {address}"),
            Self::Directory { path, .. } => format!("{path} (no service runs)"),
            Self::Empty { path, .. } => format!("{path} (no service runs, and there is no journal yet)"),
        }
    }

    /// Returns a summary with up to `shown` entries listed individually.
    pub(in crate::cli) async fn summary(&self, shown: usize) -> Result<Summary, String> {
        match self {
            Self::Service { .. } => {
                let answer = self.ask(Method::GET, &format!("/journal?entries={shown}")).await?;
                parse_json(answer).await
            }
            Self::Directory { journal_admin, .. } => journal_admin.summary(shown).await.map_err(why),
            Self::Empty { limit, .. } => Ok(Summary { limit_bytes: *limit, ..Summary::default() }),
        }
    }

    /// Returns a page of entries starting at `from`, and the position after it.
    pub(super) async fn export(&self, from: u64) -> Result<(String, Option<u64>), String> {
        match self {
            Self::Service { .. } => self.page(&format!("from={from}"), |next| next.parse().ok()).await,
            Self::Directory { journal_admin, .. } => journal_admin.export(from, PAGE).await.map_err(why),
            Self::Empty { .. } => Ok((String::new(), None)),
        }
    }

    /// Returns a page of quarantined callbacks starting at `from`, and the id after it.
    pub(in crate::cli) async fn export_quarantine(
        &self,
        from: QuarantineId,
    ) -> Result<(String, Option<QuarantineId>), String> {
        match self {
            Self::Service { .. } => self.page(&format!("quarantine={from}"), QuarantineId::parse).await,
            Self::Directory { journal_admin, .. } => {
                journal_admin.export_quarantine(from, CALLBACK_PAGE).await.map_err(why)
            }
            Self::Empty { .. } => Ok((String::new(), None)),
        }
    }

    async fn page<T>(&self, from: &str, parse: impl Fn(&str) -> Option<T>) -> Result<(String, Option<T>), String> {
        let answer = self.ask(Method::GET, &format!("/journal/export?{from}")).await?;
        let next = answer.headers().get(NEXT).and_then(|next| parse(next.to_str().ok()?));
        Ok((answer.text().await.map_err(|_| unexpected())?, next))
    }

    /// Looks up an id.
    pub(super) async fn find_entry(&self, id: &str) -> Result<EntryKind, String> {
        match self {
            Self::Service { .. } => match self.line(id).await? {
                Ok(line) if line.get("eventId").is_some() => {
                    serde_json::from_value(line).map(EntryKind::Entry).map_err(|_| unexpected())
                }
                Ok(line) => serde_json::from_value(line).map(EntryKind::Callback).map_err(|_| unexpected()),
                Err(found) => Ok(found),
            },
            Self::Directory { journal_admin, .. } => journal_admin.find(id).await.map(EntryKind::from).map_err(why),
            Self::Empty { .. } => Ok(EntryKind::NotFound),
        }
    }

    /// Returns one entry or callback with sealed contents, or the reason why there is not exactly one.
    pub(in crate::cli) async fn line(&self, id: &str) -> Result<Result<Value, EntryKind>, String> {
        match self {
            Self::Service { .. } => {
                let mut found = Err(EntryKind::NotFound);
                for path in paths(id) {
                    let answer = self.ask(Method::GET, &path).await?;
                    if answer.status().is_success() {
                        return Ok(Ok(parse_json(answer).await?));
                    }
                    found = Err(parse_json(answer).await?);
                }
                Ok(found)
            }
            Self::Directory { journal_admin, .. } => {
                if let Some(id) = QuarantineId::parse(id)
                    && let Some(line) = journal_admin.callback(id).await.map_err(why)?
                {
                    return Ok(Ok(line));
                }
                let (found, line) = journal_admin.entry(id).await.map_err(why)?;
                Ok(line.ok_or_else(|| found.into()))
            }
            Self::Empty { .. } => Ok(Err(EntryKind::NotFound)),
        }
    }

    /// Returns the entries about the id of an event or of an entity: some hundreds at most.
    pub(in crate::cli) async fn about(&self, id: &str) -> Result<Vec<EntrySummary>, String> {
        match self {
            Self::Service { .. } => {
                parse_json(self.ask(Method::GET, &format!("/journal/entries?about={}", segment(id))).await?).await
            }
            Self::Directory { journal_admin, .. } => journal_admin.entries_about(id, PAGE).await.map_err(why),
            Self::Empty { .. } => Ok(Vec::new()),
        }
    }

    /// Removes the entry or callback with this id.
    pub(super) async fn discard(&self, id: &str) -> Result<EntryKind, String> {
        match self {
            Self::Service { .. } => self.act(Method::DELETE, id, "").await,
            Self::Directory { journal_admin, .. } => {
                journal_admin.discard(id, OPERATOR).await.map(EntryKind::from).map_err(why)
            }
            Self::Empty { .. } => Ok(EntryKind::NotFound),
        }
    }

    /// Asks the service to retry the entry or callback with this id now.
    pub(super) async fn redrive(&self, id: &str) -> Result<EntryKind, String> {
        match self {
            Self::Service { .. } => self.act(Method::POST, id, "/redrive").await,
            Self::Directory { .. } | Self::Empty { .. } => {
                Err("no service runs; start it, and everything that can be published is published".to_owned())
            }
        }
    }

    /// Publishes the event of a dead letter again. Only a running service publishes.
    pub(in crate::cli) async fn redrive_dead_letter(
        config: &Config,
        id: &str,
    ) -> Result<DeadLetterOutcome, RequestFault> {
        let (service, alive) = Self::service(config).await.map_err(|fault| RequestFault::Refused(fault.problem))?;
        if !alive {
            return Err(RequestFault::NoService);
        }
        let asked = service.ask(Method::POST, &format!("/dead-letters/{}/redrive", segment(id))).await;
        parse_json(asked.map_err(RequestFault::Refused)?).await.map_err(RequestFault::Refused)
    }

    async fn act(&self, method: Method, id: &str, action: &str) -> Result<EntryKind, String> {
        let mut found = EntryKind::NotFound;
        for path in paths(id) {
            found = parse_json(self.ask(method.clone(), &format!("{path}{action}")).await?).await?;
            if found != EntryKind::NotFound {
                break;
            }
        }
        Ok(found)
    }

    async fn ask(&self, method: Method, path: &str) -> Result<Response, String> {
        let Self::Service { client, address } = self else { return Err(unexpected()) };
        let request = client.request(method, format!("http://{address}{path}")).header(HEADER.0, HEADER.1);
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

async fn parse_json<T: DeserializeOwned>(answer: Response) -> Result<T, String> {
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

fn why(rejection: JournalRejection) -> String {
    rejection.message().to_owned()
}

fn unexpected() -> String {
    "the service answers in a form that this build does not know".to_owned()
}
