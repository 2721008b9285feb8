//! The public keys of applications: fetched, refreshed in the background, and kept while their endpoint is
//! unavailable.
//!
//! A request only ever reads ([`KeyStore::current`]) or asks for a refresh ([`KeyStore::refresh_after_unknown_kid`]);
//! both are lock-free and neither waits. Nothing here may fetch inside a request: an endpoint that hangs would then use
//! up the time in which IDaaS awaits its answer, and unknown key ids would be an attacker's lever on that endpoint.
//!
//! | file | does |
//! |---|---|
//! | `fetch` | one fetch; the only module here that uses the HTTP client |
//! | `fault` | the reasons why a fetch fails, and remedies |
//! | `store` | the current keys of one application, and pending refresh requests |
//! | `schedule` | when to fetch next; pure |
//! | `refresh` | the background task |
//! | `observer` | the results of refreshes, and who observes them |
//! | `cache` | the last good set on disk |
//! | `ring` | the stores of all applications, across reloads |

mod cache;
mod fault;
mod fetch;
mod observer;
mod refresh;
mod ring;
mod schedule;
mod store;

pub use fault::FetchFault;
pub use fetch::{Clients, Fetched, MAX_DOCUMENT, fetch};
pub use observer::{KeyObserver, RefreshResult};
pub use refresh::{Refresher, Settings, start};
pub use ring::KeyRing;
pub use schedule::Timing;
pub use store::{KeyStore, Keys};

pub use crate::http_client::Proxy;
