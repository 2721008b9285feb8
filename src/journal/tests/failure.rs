//! A disk that is full or fails to sync: only durable entries are reported as written, and the journal recovers by
//! itself.

use super::*;
use crate::journal::JournalRejection;
use crate::journal::store::fault_injection::FaultInjection;

fn with_trouble(directory: &Path) -> (Store, FaultInjection) {
    let faults = FaultInjection::default();
    faults.on_this_thread();
    (open(directory).store, faults)
}

fn refused(committed: &Committed, rejection: JournalRejection, seqs: &[u64]) {
    assert!(committed.written.is_empty());
    assert_eq!(committed.rejected, seqs.iter().map(|seq| (Seq(*seq), rejection)).collect::<Vec<_>>());
}

#[test]
fn a_full_disk_rejects_writes_but_allows_removals() {
    let directory = tempfile::tempdir().unwrap();
    let (mut store, faults) = with_trouble(directory.path());
    put(&mut store, &entries(0..10));
    faults.set_reserve_fails(true);
    refused(&put(&mut store, &entries(10..12)), JournalRejection::DiskFull, &[10, 11]);
    assert!(delete(&mut store, 0..5).deleted);
    faults.set_reserve_fails(false);
    assert_eq!(seqs(&put(&mut store, &entries(12..14)).written), [12, 13]);
    drop(store);
    assert_eq!(held(directory.path()), [5, 6, 7, 8, 9, 12, 13]);
}

#[test]
fn a_disk_full_in_a_commit_loses_nothing_written_before() {
    let directory = tempfile::tempdir().unwrap();
    let (mut store, faults) = with_trouble(directory.path());
    put(&mut store, &entries(0..10));
    faults.set_write_full(true);
    refused(&put(&mut store, &entries(10..12)), JournalRejection::DiskFull, &[10, 11]);
    refused(&put(&mut store, &entries(12..13)), JournalRejection::DiskFull, &[12]);
    assert!(!delete(&mut store, [1]).deleted, "to be asked for again");
    faults.set_write_full(false);
    let end = std::time::Instant::now() + std::time::Duration::from_secs(60);
    while put(&mut store, &entries([20])).written.is_empty() {
        assert!(std::time::Instant::now() < end, "it does not work again");
        std::thread::yield_now();
    }
    drop(store);
    assert_eq!(held(directory.path()), (0..10).chain([20]).collect::<Vec<_>>());
}

#[test]
fn a_failed_sync_keeps_only_what_was_committed_before() {
    let directory = tempfile::tempdir().unwrap();
    let (mut store, faults) = with_trouble(directory.path());
    put(&mut store, &entries(0..10));
    faults.set_sync_fails(true);
    refused(&put(&mut store, &entries(10..12)), JournalRejection::Failed, &[10, 11]);
    faults.set_sync_fails(false);
    let end = std::time::Instant::now() + std::time::Duration::from_secs(60);
    while put(&mut store, &entries([20])).written.is_empty() {
        assert!(std::time::Instant::now() < end, "it does not work again");
        std::thread::yield_now();
    }
    assert!(store.read(&[Seq(10)]).unwrap()[0].1.is_none());
    assert_eq!(store.contents().events, 11);
    drop(store);
    assert_eq!(held(directory.path()), (0..10).chain([20]).collect::<Vec<_>>());
}

#[test]
fn a_file_damaged_before_verification_is_not_used_again() {
    let directory = tempfile::tempdir().unwrap();
    let (mut store, faults) = with_trouble(directory.path());
    put(&mut store, &entries(0..10));
    faults.set_sync_fails(true);
    put(&mut store, &entries(10..12));
    faults.set_sync_fails(false);
    let path = directory.path().join("journal.redb");
    std::fs::write(&path, b"redb\x1a\x0a\xa9\x0d\x0a and nothing else").unwrap();
    refused(&put(&mut store, &entries([20])), JournalRejection::Failed, &[20]);
    assert_eq!(store.read(&[Seq(1)]).err(), Some(JournalRejection::Failed));
}

/// A small file system that is soon full, if this process may mount one.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    fn mounted(mebibytes: u32) -> Option<Self> {
        let directory = tempfile::tempdir().unwrap();
        let size = format!("size={mebibytes}m");
        let mut mount = std::process::Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(directory.path());
        let mounted = mount.stderr(std::process::Stdio::null()).status().is_ok_and(|status| status.success());
        mounted.then(|| Self(directory))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // If this fails, it stays mounted until the machine stops.
        let _ = std::process::Command::new("umount").arg(self.0.path()).status();
    }
}

#[test]
fn a_full_disk_loses_nothing_and_is_used_again_later() {
    let Some(disk) = SmallDisk::mounted(12) else { return };
    let path = disk.0.path();
    let mut store = open(path).store;
    let mut written = Vec::new();
    let mut refused_at = None;
    for from in (0..20_000).step_by(100) {
        let batch: Vec<_> = (from..from + 100).map(|seq| entry_of(seq, 1500)).collect();
        let committed = put(&mut store, &batch);
        written.extend(seqs(&committed.written));
        if let Some((_, rejection)) = committed.rejected.first() {
            assert_eq!(*rejection, JournalRejection::DiskFull);
            refused_at = Some(from);
            break;
        }
    }
    let from = refused_at.expect("the disk was never full");
    assert!(written.len() > 500, "{}", written.len());
    // Another file uses the remaining space.
    let other = path.join("other");
    let mut rest = std::fs::File::create(&other).unwrap();
    while std::io::Write::write(&mut rest, &[1; 4096]).is_ok_and(|length| length > 0) {}
    let gone = written.len() * 6 / 10;
    assert!(delete(&mut store, written.drain(..gone)).deleted, "there is room for deleting");
    let batch: Vec<_> = (from..from + 100).map(|seq| entry_of(seq, 1500)).collect();
    let committed = put(&mut store, &batch);
    assert_eq!(committed.rejected, [], "what was deleted made room in the file");
    written.extend(seqs(&committed.written));
    drop(rest);
    std::fs::remove_file(other).unwrap();
    let batch: Vec<_> = (from + 100..from + 200).map(|seq| entry_of(seq, 1500)).collect();
    written.extend(seqs(&put(&mut store, &batch).written));
    assert!(written.ends_with(&[from + 199]), "it is used again");
    drop(store);
    assert_eq!(held(path), written);
}
