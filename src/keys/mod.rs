//! The public keys of applications: fetched, refreshed in the background, and kept over outages of their endpoint.
//!
//! A request only ever reads ([`KeyStore::current`]) or asks for a refresh ([`KeyStore::refresh_after_unknown_kid`]); both are
//! lock-free and neither waits. Nothing here may fetch inside a request: an endpoint that hangs would then use up
//! the time in which IDaaS awaits its answer, and unknown key ids would be an attacker's lever on that endpoint.
//!
//! | file | does |
//! |---|---|
//! | [`source`](Source) | where keys come from, and how that is named to people |
//! | `fetch` | one fetch; the only place that meets the HTTP client |
//! | `fault` | why a fetch failed, and the remedy |
//! | `store` | the current keys of one application, and the wish for newer ones |
//! | `schedule` | when to fetch next: pure |
//! | `refresh` | the background task that joins them |
//! | `cache` | the last good set on disk |
//! | `ring` | the stores of all applications, over reloads |

mod cache;
mod fault;
mod fetch;
mod refresh;
mod ring;
mod schedule;
mod source;
mod store;

pub use fault::FetchFault;
pub use fetch::{Clients, Fetched, MAX_DOCUMENT, fetch};
pub use refresh::{KeyObserver, RefreshResult, Refresher, Settings, start};
pub use ring::KeyRing;
pub use schedule::Timing;
pub use source::{Proxy, Source};
pub use store::{KeyStore, Keys};
