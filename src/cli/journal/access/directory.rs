//! The journal in a directory that no service uses.

use super::{JournalAccess, Line, Page, Pending, Target};
use crate::config::Config;
use crate::diagnosis::{Diagnosis, misconfigured};
use crate::http::journal::EntryKind;
use crate::journal::admin::{CALLBACKS_PER_PAGE, ENTRIES_PER_PAGE, JournalAdmin};
use crate::journal::store::Store;
use crate::journal::summary::{EntrySummary, Summary};
use crate::journal::{JournalRejection, OpenFault, QuarantineId};

/// Name of the operator in the log.
const OPERATOR: &str = "command line";

/// An open journal. No service can start until it is dropped.
pub(super) struct Directory {
    journal_admin: JournalAdmin,
    path: String,
}

impl Directory {
    /// Opens the journal.
    pub(super) fn open(config: &Config) -> Result<Self, Diagnosis> {
        let journal = &config.journal;
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
        Ok(Self { journal_admin, path: journal.directory.display().to_string() })
    }
}

impl JournalAccess for Directory {
    fn name(&self) -> String {
        format!("{} (no service runs)", self.path)
    }

    fn is_served(&self) -> bool {
        false
    }

    fn summary(&self, shown: usize) -> Pending<'_, Summary> {
        Box::pin(async move { self.journal_admin.summary(shown).await.map_err(why) })
    }

    fn export(&self, from: u64) -> Pending<'_, Page<u64>> {
        Box::pin(async move { self.journal_admin.export(from, ENTRIES_PER_PAGE).await.map_err(why) })
    }

    fn export_quarantine(&self, from: QuarantineId) -> Pending<'_, Page<QuarantineId>> {
        Box::pin(async move { self.journal_admin.export_quarantine(from, CALLBACKS_PER_PAGE).await.map_err(why) })
    }

    fn entries_about<'a>(&'a self, id: &'a str) -> Pending<'a, Vec<EntrySummary>> {
        Box::pin(async move { self.journal_admin.entries_about(id, ENTRIES_PER_PAGE).await.map_err(why) })
    }

    fn line<'a>(&'a self, target: Target<'a>) -> Pending<'a, Line> {
        Box::pin(async move {
            let line = match target {
                Target::Callback(id) => self.journal_admin.callback(id).await,
                Target::Entry(id) => self.journal_admin.entry(id).await,
            };
            match line {
                Ok(Ok(line)) => Ok(Ok(line)),
                Ok(Err(found)) => Ok(Err(found.into())),
                Err(rejection) => Err(why(rejection)),
            }
        })
    }

    fn find<'a>(&'a self, target: Target<'a>) -> Pending<'a, EntryKind> {
        Box::pin(async move {
            let found = match target {
                Target::Callback(id) => self.journal_admin.find_callback(id).await,
                Target::Entry(id) => self.journal_admin.find_entry(id).await,
            };
            found.map(EntryKind::from).map_err(why)
        })
    }

    fn discard<'a>(&'a self, target: Target<'a>) -> Pending<'a, EntryKind> {
        Box::pin(async move {
            let found = match target {
                Target::Callback(id) => self.journal_admin.discard_callback(id, OPERATOR).await,
                Target::Entry(id) => self.journal_admin.discard_entry(id, OPERATOR).await,
            };
            found.map(EntryKind::from).map_err(why)
        })
    }
}

fn why(rejection: JournalRejection) -> String {
    rejection.message().to_owned()
}
