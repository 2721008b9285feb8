//! Checks of the journal: its directory, its room, its keys, and what waits in it. Makes and changes nothing.

use std::net::SocketAddr;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use tokio::runtime::Runtime;

use super::code::Code;
use super::disk::{self, mebibytes};
use super::finding::Finding;
use super::machine::bridge_runs;
use super::report::plural;
use crate::cli::journal::access::{JournalAccess, Service};
use crate::config::{Config, Journal};
use crate::counts::counted;
use crate::diagnosis::Diagnosis;
use crate::journal::OpenFault;
use crate::journal::store::Store;
use crate::service::wiring;

pub(super) fn examine(journal: &Journal, admin: SocketAddr) -> Vec<Finding> {
    let mut findings = directory(&journal.directory, journal.max_size);
    findings.extend(contents(journal, admin));
    findings
}

fn directory(directory: &Path, max_size: u64) -> Vec<Finding> {
    let key = wiring::JOURNAL_DIRECTORY;
    let shown = directory.display();
    let existing = match disk::usable(directory) {
        Ok(existing) => existing,
        Err(problem) => {
            return vec![Finding::prevents_start(Code::JournalDirectory, wiring::directory_fault(problem))];
        }
    };
    let text = if existing == directory { "can be written to" } else { "does not exist yet, and can be created" };
    let mut findings = vec![Finding::ok(Code::JournalDirectory, key, &format!("{shown} {text}"))];
    findings.push(disk_space(&existing, max_size));
    findings
}

/// What to look at if something waits.
const WHY_WAITING: &str = "; `idaas-bridge journal` shows why they wait";

/// What waits in the running service, if there is one that can be asked.
pub(super) fn waiting(config: &Config, runtime: &Runtime) -> Option<Finding> {
    let summary = runtime.block_on(async { Service::running(config).await?.summary(0).await.ok() })?;
    let (events, callbacks) = (counted(summary.events, "event"), counted(summary.quarantine_callbacks, "callback"));
    let text = format!("the running service has {events} in the journal and {callbacks} in quarantine");
    Some(match (summary.events, summary.quarantine_callbacks) {
        (0, 0) => Finding::ok(Code::Journal, "journal", &text),
        (_, 0) => Finding::ok(Code::Journal, "journal", &format!("{text}{WHY_WAITING}")),
        (_, 1..) => Finding::warning(Code::Journal, "journal", &text, "show why they wait: idaas-bridge journal"),
    })
}

/// Opens the journal if it exists, because a start needs all of its keys and an undamaged file.
fn contents(journal: &Journal, admin: SocketAddr) -> Option<Finding> {
    let key = "journal.keys";
    if !Store::is_in(&journal.directory) {
        return None;
    }
    Some(match Store::open(&journal.directory, &journal.keys, journal.max_size) {
        Ok(opened) => {
            let events = plural(opened.inventory.len(), "event");
            let callbacks = plural(usize::try_from(opened.quarantined).unwrap_or_default(), "callback");
            let see = if opened.inventory.is_empty() && opened.quarantined == 0 { "" } else { WHY_WAITING };
            Finding::ok(Code::Journal, key, &format!("they open the journal: {events}, {callbacks} in quarantine{see}"))
        }
        Err(OpenFault::Locked(..)) if bridge_runs(admin) => {
            let why = "whether they open the journal, which the running idaas-bridge uses";
            Finding::not_tested(Code::Journal, key, why, "after a change, reload: keys that do not fit are rejected")
        }
        Err(fault) => Finding::prevents_start(Code::Journal, Diagnosis::from(&fault).at(wiring::JOURNAL_DIRECTORY)),
    })
}

fn disk_space(directory: &Path, max_size: u64) -> Finding {
    let (code, key) = (Code::JournalRoom, "journal.max_size");
    let Some(free) = disk::free_bytes(directory) else {
        let remedy = "compare it with journal.max_size by hand: df";
        return Finding::not_tested(
            code,
            key,
            "whether the disk has enough space: its free space cannot be read",
            remedy,
        );
    };
    // What the file takes already need not be free.
    let in_use = std::fs::metadata(directory.join(Store::FILE)).map_or(0, |file| file.blocks() * 512);
    let available = free.saturating_add(in_use);
    let needed = Store::disk_need(max_size);
    let (available_shown, wanted) = (mebibytes(available), mebibytes(needed));
    let grows = format!("the journal's file can become {wanted}, because journal.max_size is {}", mebibytes(max_size));
    if available < needed {
        let problem = format!("{grows}, and the disk of {} has {available_shown} for it", directory.display());
        Finding::warning(code, key, &problem, "free some space, or lower journal.max_size")
    } else {
        Finding::ok(code, key, &format!("{grows}; the disk has {available_shown} for it"))
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::super::finding::Level;
    use super::*;

    #[test]
    fn a_journal_below_a_file_keeps_the_service_from_starting() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("file");
        std::fs::write(&file, "").unwrap();
        let findings = super::directory(&file.join("journal"), 1);
        assert!(findings.iter().any(|finding| finding.prevents_start), "{findings:?}");
    }

    #[test]
    fn a_journal_that_can_be_made_is_good_and_not_made() {
        let directory = tempfile::tempdir().unwrap();
        let journal_directory = directory.path().join("a/b");
        let findings = super::directory(&journal_directory, 1);
        assert!(findings.iter().all(|finding| finding.level == Level::Ok), "{findings:?}");
        assert!(!journal_directory.exists());
        let findings = super::directory(directory.path(), u64::MAX);
        assert_eq!(findings.last().unwrap().level, Level::Warning);
    }

    #[test]
    fn a_missing_journal_key_prevents_the_start() {
        let directory = tempfile::tempdir().unwrap();
        let section = |key: &str| Journal {
            directory: directory.path().to_owned(),
            max_size: 64 << 20,
            keys: vec![std::sync::Arc::new(idaas_callback::jose::jwe::ContentKey::from_hex(key).unwrap())],
        };
        use crate::journal::store::Batch;
        let (here, gone) = ("00".repeat(32), "11".repeat(32));
        let nobody = SocketAddr::from((Ipv4Addr::LOCALHOST, 1));
        assert!(contents(&section(&here), nobody).is_none(), "there is no journal yet");
        let mut opened = Store::open(directory.path(), &section(&gone).keys, 64 << 20).unwrap();
        let entry = crate::journal::tests::entry_of(1, 10);
        opened.store.commit(&Batch { puts: &[entry], ..Batch::default() });
        drop(opened);
        assert_eq!(contents(&section(&gone), nobody).unwrap().level, Level::Ok);
        assert!(contents(&section(&here), nobody).unwrap().prevents_start);
    }

    #[test]
    fn a_relative_directory_is_made_where_the_command_is_run() {
        let findings = directory(Path::new("there-is-no-such-directory/journal"), 1);
        assert!(findings.iter().all(|finding| finding.level == Level::Ok), "{findings:?}");
    }

    /// Fills the journal with entries of one size, and replaces some of them several times.
    fn file_of_a_full_journal(size: usize, max_size: u64) -> u64 {
        use crate::journal::store::Batch;
        let directory = tempfile::tempdir().unwrap();
        let key = idaas_callback::jose::jwe::ContentKey::from_hex(&"00".repeat(32)).unwrap();
        let mut store = Store::open(directory.path(), &[std::sync::Arc::new(key)], max_size).unwrap().store;
        let (mut next, mut held) = (0, Vec::<outbox::Seq>::new());
        for round in 0..4 {
            // Every other one is confirmed, then every third.
            let step = 2 + round % 2;
            let (gone, left): (Vec<_>, Vec<_>) = held.iter().enumerate().partition(|(at, _)| at % step == 0);
            let gone: Vec<_> = gone.into_iter().map(|(_, seq)| *seq).collect();
            held = left.into_iter().map(|(_, seq)| *seq).collect();
            for deletes in gone.chunks(500) {
                store.commit(&Batch { deletes, ..Batch::default() });
            }
            loop {
                let count = ((1 << 20) / size as u64).clamp(1, 512);
                let puts: Vec<_> = (next..next + count).map(|seq| crate::journal::tests::entry_of(seq, size)).collect();
                next += count;
                let committed = store.commit(&Batch { puts: &puts, ..Batch::default() });
                held.extend(&committed.written);
                if !committed.rejected.is_empty() {
                    break;
                }
            }
        }
        store.size_on_disk()
    }

    #[test]
    fn the_file_of_a_full_journal_is_as_large_as_announced() {
        let max_size = 16 << 20;
        // The store gives a value a power of two of pages: the worst sizes are those that are just above one.
        let sizes = [1_500, 4_200, 33_000, 270_000];
        let files: Vec<_> = sizes.iter().map(|size| (*size, file_of_a_full_journal(*size, max_size))).collect();
        let shown: Vec<_> =
            files.iter().map(|(size, file)| format!("{size}: {:.2}", *file as f64 / max_size as f64)).collect();
        let largest = files.iter().map(|(_, file)| *file).max().unwrap();
        assert!(largest <= Store::disk_need(max_size), "{shown:?}");
        // Not much less, either: a volume costs money.
        assert!(largest > Store::disk_need(max_size) / 2, "{shown:?}");
    }
}
