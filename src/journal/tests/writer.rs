//! The journal's thread: what it commits together, what it reports, and in which order.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use super::*;
use crate::journal::store::fault_injection::FaultInjection;
use crate::journal::{Journal, JournalEvents, JournalRejection};

#[derive(Debug, PartialEq, Eq)]
enum Notification {
    Written(Vec<u64>),
    Refused(Vec<u64>, JournalRejection),
    Read(Vec<(u64, bool)>),
    Unread(Vec<u64>, JournalRejection),
}

struct NotificationSender(Sender<Notification>);

impl NotificationSender {
    fn record(&self, notifications: Notification) {
        // The test may have ended.
        let _ = self.0.send(notifications);
    }
}

impl JournalEvents for NotificationSender {
    fn written(&self, written: Vec<Seq>) {
        self.record(Notification::Written(seqs(&written)));
    }

    fn rejected(&self, refused: Vec<Seq>, rejection: JournalRejection) {
        self.record(Notification::Refused(seqs(&refused), rejection));
    }

    fn read(&self, entries: Vec<(Seq, Option<Entry>)>) {
        self.record(Notification::Read(entries.into_iter().map(|(seq, entry)| (seq.0, entry.is_some())).collect()));
    }

    fn unread(&self, unread: Vec<Seq>, rejection: JournalRejection) {
        self.record(Notification::Unread(seqs(&unread), rejection));
    }
}

fn started(store: Store) -> (Journal, Receiver<Notification>) {
    let (sender, notifications) = channel();
    (Journal::start(store, Arc::new(NotificationSender(sender)), &Arc::default()).unwrap(), notifications)
}

fn next(notifications: &Receiver<Notification>) -> Notification {
    notifications.recv_timeout(Duration::from_secs(60)).expect("nothing was heard")
}

/// Waits until `count` entries are written, in any number of reports.
fn written(notifications: &Receiver<Notification>, count: usize) -> Vec<u64> {
    let mut all = Vec::new();
    while all.len() < count {
        let Notification::Written(seqs) = next(notifications) else { panic!("something else was heard") };
        all.extend(seqs);
    }
    all
}

fn wait_until(what: impl Fn() -> bool) {
    let end = std::time::Instant::now() + Duration::from_secs(60);
    while !what() {
        assert!(std::time::Instant::now() < end, "it did not happen");
        std::thread::yield_now();
    }
}

#[test]
fn written_entries_exist_and_deleted_ones_do_not() {
    let directory = tempfile::tempdir().unwrap();
    let (journal, notifications) = started(open(directory.path()).store);
    for seq in 0..100 {
        journal.write(entries([seq]));
    }
    assert_eq!(written(&notifications, 100), (0..100).collect::<Vec<_>>());
    let usage = journal.usage();
    assert_eq!((usage.events, usage.limit, usage.oldest_received_at), (100, ROOM, Some(1_000_000)));
    journal.delete((0..40).map(Seq).collect());
    // No write follows that the deletion could join.
    wait_until(|| journal.usage().events == 60);
    assert_eq!(journal.usage().oldest_received_at, Some(1_000_040));
    journal.read(vec![Seq(39), Seq(40)]);
    assert_eq!(next(&notifications), Notification::Read(vec![(39, false), (40, true)]));
    journal.close();
    assert_eq!(held(directory.path()), (40..100).collect::<Vec<_>>());
}

#[test]
fn closing_waits_for_everything_that_was_asked_for() {
    let directory = tempfile::tempdir().unwrap();
    let (journal, notifications) = started(open(directory.path()).store);
    journal.write((0..3000).map(|seq| entry_of(seq, 4000)).collect());
    journal.delete((0..2990).map(Seq).collect());
    journal.close();
    assert_eq!(written(&notifications, 3000).len(), 3000);
    assert_eq!(held(directory.path()), (2990..3000).collect::<Vec<_>>());
}

#[test]
fn what_is_forgotten_before_it_was_written_does_not_stay() {
    let directory = tempfile::tempdir().unwrap();
    let (journal, notifications) = started(open(directory.path()).store);
    // The first batch is larger than one commit, so the deletions wait behind it.
    journal.write((0..4000).map(|seq| entry_of(seq, 4000)).collect());
    journal.delete(vec![Seq(3999), Seq(5)]);
    let mut all = written(&notifications, 4000);
    all.sort_unstable();
    assert_eq!(all, (0..4000).collect::<Vec<_>>());
    journal.close();
    let held = held(directory.path());
    assert_eq!(held.len(), 3998);
    assert!(!held.contains(&5) && !held.contains(&3999));
}

#[test]
fn a_full_journal_accepts_again_after_a_removal() {
    let directory = tempfile::tempdir().unwrap();
    let (journal, notifications) = started(opened(directory.path(), &[key('a')], 50_000).ok().unwrap().store);
    journal.write(entries(0..200));
    let Notification::Written(some) = next(&notifications) else { panic!() };
    let Notification::Refused(rest, JournalRejection::Full) = next(&notifications) else { panic!() };
    assert_eq!(some.len() + rest.len(), 200);
    journal.delete(some.iter().copied().map(Seq).collect());
    wait_until(|| journal.usage().events == 0);
    journal.write(entries([500]));
    assert_eq!(next(&notifications), Notification::Written(vec![500]));
}

#[test]
fn a_failing_disk_loses_nothing_and_deletes_entries_later() {
    let directory = tempfile::tempdir().unwrap();
    let faults = FaultInjection::default();
    faults.on_this_thread();
    let store = open(directory.path()).store;
    // The store is opened again on the journal's thread, which has no faults then.
    let (journal, notifications) = started(store);
    journal.write(entries(0..10));
    written(&notifications, 10);
    faults.set_sync_fails(true);
    journal.write(entries(10..12));
    journal.delete(vec![Seq(0)]);
    assert_eq!(next(&notifications), Notification::Refused(vec![10, 11], JournalRejection::Failed));
    wait_until(|| journal.usage().events == 9);
    journal.write(entries([20]));
    assert_eq!(next(&notifications), Notification::Written(vec![20]));
    journal.close();
    faults.set_sync_fails(false);
    assert_eq!(held(directory.path()), (1..10).chain([20]).collect::<Vec<_>>());
}

#[test]
fn closing_in_time_counts_what_is_not_known_to_be_written() {
    let directory = tempfile::tempdir().unwrap();
    let faults = FaultInjection::default();
    faults.on_this_thread();
    let (journal, notifications) = started(open(directory.path()).store);
    let stalled = faults.hold_sync();
    journal.write(entries(0..5));
    assert_eq!(journal.close_within(Duration::from_millis(20)), 5);
    drop(stalled);
    // The thread continues, and reports what is written then.
    assert_eq!(written(&notifications, 5), [0, 1, 2, 3, 4]);
    assert_eq!(held(directory.path()), [0, 1, 2, 3, 4]);
}

#[test]
fn closing_in_time_is_like_closing_where_the_disk_is_fast() {
    let directory = tempfile::tempdir().unwrap();
    let (journal, notifications) = started(open(directory.path()).store);
    journal.write(entries(0..5));
    assert_eq!(journal.close_within(Duration::from_secs(60)), 0);
    assert_eq!(written(&notifications, 5).len(), 5);
    assert_eq!(held(directory.path()), [0, 1, 2, 3, 4]);
}

#[tokio::test]
async fn whoever_asks_a_closed_journal_is_told_so() {
    let directory = tempfile::tempdir().unwrap();
    let (journal, _heard) = started(open(directory.path()).store);
    journal.close();
    assert!(journal.list(Seq(0), 1).await.is_err());
}
