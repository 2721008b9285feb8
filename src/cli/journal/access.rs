//! Access to the journal, by one interface: through the running service, in the directory that no service uses, or to
//! no journal, because none was created yet.

mod address;
mod directory;
mod missing;
mod service;

use std::pin::Pin;

use serde_json::Value;

use self::directory::Directory;
use self::missing::Missing;
pub(in crate::cli) use self::service::{RequestFault, Service};
use crate::config::Config;
use crate::diagnosis::Diagnosis;
use crate::http::journal::EntryKind;
use crate::journal::QuarantineId;
use crate::journal::store::Store;
use crate::journal::summary::{EntrySummary, Summary};

/// An answer of the journal that is awaited, or a message why there is none.
pub(in crate::cli) type Pending<'a, T> = Pin<Box<dyn Future<Output = Result<T, String>> + 'a>>;

/// A page of an export: JSON lines, and the position after them. `None` at the end.
pub(in crate::cli) type Page<P> = (String, Option<P>);

/// An entry or a callback with sealed contents, or the reason why there is not exactly one.
pub(in crate::cli) type Line = Result<Value, EntryKind>;

/// Something that an id can name.
#[derive(Clone, Copy)]
pub(in crate::cli) enum Target<'a> {
    /// The callback in quarantine with this id.
    Callback(QuarantineId),
    /// The entry with this event id, or `application/id`.
    Entry(&'a str),
}

impl<'a> Target<'a> {
    /// Returns what an id can name, in the order in which it is looked up. An event id can look like that of a
    /// callback.
    fn named(id: &'a str) -> impl Iterator<Item = Self> {
        QuarantineId::parse(id).map(Self::Callback).into_iter().chain([Self::Entry(id)])
    }
}

/// What the commands can ask of a journal.
pub(in crate::cli) trait JournalAccess {
    /// Returns the name of the journal for display.
    fn name(&self) -> String;

    /// Returns true if a service runs, which publishes the entries.
    fn is_served(&self) -> bool;

    /// Returns a summary with up to `shown` entries listed individually.
    fn summary(&self, shown: usize) -> Pending<'_, Summary>;

    /// Returns a page of entries starting at `from`.
    fn export(&self, from: u64) -> Pending<'_, Page<u64>>;

    /// Returns a page of quarantined callbacks starting at `from`.
    fn export_quarantine(&self, from: QuarantineId) -> Pending<'_, Page<QuarantineId>>;

    /// Returns the entries about the id of an event or of an entity: some hundreds at most.
    fn entries_about<'a>(&'a self, id: &'a str) -> Pending<'a, Vec<EntrySummary>>;

    /// Returns the target with its sealed contents.
    fn line<'a>(&'a self, target: Target<'a>) -> Pending<'a, Line>;

    /// Looks the target up.
    fn find<'a>(&'a self, target: Target<'a>) -> Pending<'a, EntryKind>;

    /// Removes the target.
    fn discard<'a>(&'a self, target: Target<'a>) -> Pending<'a, EntryKind>;

    /// Tries to publish the target now. Only a running service publishes.
    fn redrive<'a>(&'a self, _target: Target<'a>) -> Pending<'a, EntryKind> {
        let problem = "no service runs; start it, and everything that can be published is published";
        Box::pin(std::future::ready(Err(problem.to_owned())))
    }
}

impl dyn JournalAccess + '_ {
    /// Returns the entry or callback with this id.
    pub(in crate::cli) async fn line_by_id(&self, id: &str) -> Result<Line, String> {
        let mut line = Err(EntryKind::NotFound);
        for target in Target::named(id) {
            line = self.line(target).await?;
            if line.is_ok() {
                break;
            }
        }
        Ok(line)
    }

    /// Looks up the entry or callback with this id.
    pub(super) async fn find_by_id(&self, id: &str) -> Result<EntryKind, String> {
        first_found(id, |target| self.find(target)).await
    }

    /// Removes the entry or callback with this id.
    pub(super) async fn discard_by_id(&self, id: &str) -> Result<EntryKind, String> {
        first_found(id, |target| self.discard(target)).await
    }

    /// Tries to publish the entry or callback with this id now.
    pub(super) async fn redrive_by_id(&self, id: &str) -> Result<EntryKind, String> {
        first_found(id, |target| self.redrive(target)).await
    }
}

async fn first_found<'a>(id: &'a str, ask: impl Fn(Target<'a>) -> Pending<'a, EntryKind>) -> Result<EntryKind, String> {
    let mut found = EntryKind::NotFound;
    for target in Target::named(id) {
        found = ask(target).await?;
        if found != EntryKind::NotFound {
            break;
        }
    }
    Ok(found)
}

/// Returns the journal of this configuration: that of the service if it runs, because only one process can open the
/// files.
pub(in crate::cli) async fn open(config: &Config) -> Result<Box<dyn JournalAccess>, Diagnosis> {
    let service = Service::new(config)?;
    if service.responds().await {
        return Ok(Box::new(service));
    }
    if Store::is_in(&config.journal.directory) {
        return Ok(Box::new(Directory::open(config)?));
    }
    Ok(Box::new(Missing::new(&config.journal)))
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    #[tokio::test]
    async fn an_id_is_looked_up_among_callbacks_first_and_then_entries() {
        let hex = "ab".repeat(16);
        for (id, answer, expected) in [
            ("evnt_1", EntryKind::NotFound, "entry"),
            (&hex, EntryKind::NotFound, "callback entry"),
            (&hex, EntryKind::NoRoom, "callback"),
        ] {
            let asked = RefCell::new(Vec::new());
            let ask = |target: Target<'_>| -> Pending<'_, EntryKind> {
                asked.borrow_mut().push(match target {
                    Target::Callback(_) => "callback",
                    Target::Entry(_) => "entry",
                });
                Box::pin(std::future::ready(Ok(answer.clone())))
            };
            assert_eq!(first_found(id, ask).await.unwrap(), answer);
            assert_eq!(asked.into_inner().join(" "), expected);
        }
    }
}
