//! Simulates the Developer API of Alibaba Cloud IDaaS (version 2022-02-25) for tests and staging.
//!
//! | file | contents |
//! |---|---|
//! | `directory` | units, users and groups in memory, and changes to them |
//! | `generate` | generates a directory from a seed |
//! | `views` | the JSON of a unit, a user and a group |
//! | `tokens` | access tokens that expire |
//! | `faults` | throttling, failures and missing permissions |
//! | `api` | answers one request, without a socket |
//! | `calls` | the calls of the API |
//! | `control` | the endpoints with which a test changes the directory and requests faults |
//! | `server` | serves the simulator over HTTP |
//!
//! All entities in a generated directory are invented. Addresses use domains and number ranges that are reserved for
//! examples.

mod api;
mod calls;
mod control;
mod directory;
mod faults;
mod generate;
mod server;
mod tokens;
mod views;

use std::time::{SystemTime, UNIX_EPOCH};

use parking_lot::Mutex;

pub use api::{Request, Response};
pub use directory::{Directory, Group, Unit, User};
pub use faults::{Failure, Permission};
pub use generate::Size;
pub use server::Server;

use faults::Faults;
use tokens::Tokens;

/// The settings of a simulator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// The id of the IDaaS instance.
    pub instance_id: String,
    /// The id of the application, which is also its client id.
    pub application_id: String,
    /// The client secret that the token call expects.
    pub client_secret: String,
    /// The size of the directory.
    pub size: Size,
    /// The seed. Two simulators with the same seed and size have the same directory.
    pub seed: u64,
    /// Lifetime of an access token, in seconds.
    pub token_lifetime: u64,
    /// The number of requests per second above which requests are throttled. `None` means no limit.
    pub requests_per_second: Option<u32>,
    /// The number of requests after which one random change is made to the directory. `None` makes no changes.
    pub drift: Option<u64>,
}

impl Options {
    /// Creates options without faults, for a directory of this many users, with invented ids and a random client
    /// secret.
    #[must_use]
    pub fn new(users: usize) -> Self {
        let seed = 1;
        let mut random = fastrand::Rng::with_seed(seed);
        Self {
            instance_id: generate::id("idaas_", &mut random),
            application_id: generate::id("app_", &mut random),
            client_secret: generate::id("CS", &mut fastrand::Rng::new()),
            size: Size::of(users),
            seed,
            token_lifetime: 1200,
            requests_per_second: None,
            drift: None,
        }
    }
}

/// A simulated instance: a directory, its tokens, and the faults that tests have requested.
pub struct Simulator {
    options: Options,
    state: Mutex<State>,
}

/// A change of the directory that is made before a call is answered.
struct PlannedChange {
    call: &'static str,
    count: u64,
    change: Box<dyn FnOnce(&mut Directory) + Send>,
}

struct State {
    directory: Directory,
    tokens: Tokens,
    faults: Faults,
    /// The number of answered requests by name of the call.
    calls: std::collections::BTreeMap<&'static str, u64>,
    requests: u64,
    secrets_in_urls: u64,
    planned: Vec<PlannedChange>,
    /// The difference to this machine's clock, in milliseconds.
    clock_ahead: i64,
    random: fastrand::Rng,
}

impl State {
    /// Counts a call, and makes the changes that were planned for it.
    fn count_call(&mut self, name: &'static str) {
        let calls = self.calls.entry(name).or_default();
        *calls += 1;
        let calls = *calls;
        for planned in self.planned.extract_if(.., |planned| planned.call == name && planned.count <= calls) {
            (planned.change)(&mut self.directory);
        }
    }
}

impl Simulator {
    /// Creates a simulator and generates its directory.
    #[must_use]
    pub fn new(options: Options) -> Self {
        let directory = generate::directory(&options.instance_id, &options.size, options.seed);
        let state = State {
            directory,
            tokens: Tokens::new(options.token_lifetime * 1000),
            faults: Faults::new(options.requests_per_second),
            calls: std::collections::BTreeMap::new(),
            requests: 0,
            secrets_in_urls: 0,
            planned: Vec::new(),
            clock_ahead: 0,
            random: fastrand::Rng::with_seed(options.seed ^ 0xd1f7),
        };
        Self { options, state: Mutex::new(state) }
    }

    /// Returns the settings.
    #[must_use]
    pub const fn options(&self) -> &Options {
        &self.options
    }

    /// Reads or changes the directory.
    pub fn with_directory<T>(&self, change: impl FnOnce(&mut Directory) -> T) -> T {
        change(&mut self.state.lock().directory)
    }

    /// Changes the directory right before the call with this name and number, from 1, is answered.
    pub fn change_at(&self, call: &'static str, count: u64, change: impl FnOnce(&mut Directory) + Send + 'static) {
        self.state.lock().planned.push(PlannedChange { call, count, change: Box::new(change) });
    }

    /// Sets the simulator's clock this many milliseconds ahead of this machine's, or behind it if negative. Answers
    /// have its time in `Date`.
    pub fn set_clock_ahead(&self, milliseconds: i64) {
        self.state.lock().clock_ahead = milliseconds;
    }

    /// Returns the time of the simulator's clock, in milliseconds since 1970.
    pub(crate) fn now(&self) -> u64 {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
        u64::try_from(now).unwrap_or(u64::MAX).saturating_add_signed(self.state.lock().clock_ahead)
    }

    /// Answers the next `count` requests to the API with this failure.
    pub fn fail_next(&self, count: u64, failure: Failure) {
        self.state.lock().faults.fail_next(count, failure);
    }

    /// Withdraws a permission from the application.
    pub fn deny(&self, permission: Permission) {
        self.state.lock().faults.deny(permission);
    }

    /// Sets the lifetime of tokens that are issued from now on, in milliseconds.
    pub fn set_token_lifetime(&self, milliseconds: u64) {
        self.state.lock().tokens.set_lifetime(milliseconds);
    }

    /// Expires all tokens.
    pub fn expire_tokens(&self) {
        self.state.lock().tokens.expire_all();
    }

    /// Returns how often a call of the API was answered, successfully or not.
    #[must_use]
    pub fn calls(&self, name: &str) -> u64 {
        self.state.lock().calls.get(name).copied().unwrap_or_default()
    }

    /// Returns the number of answered requests to the API.
    #[must_use]
    pub fn requests(&self) -> u64 {
        self.state.lock().requests
    }
    /// Returns the number of requests that had the client secret in the URL, where proxies would log it.
    #[must_use]
    pub fn secrets_in_urls(&self) -> u64 {
        self.state.lock().secrets_in_urls
    }
}
