//! What operators see and can do.

use idaas_callback::jose::jwe::Sealed;

use super::*;
use outbox::{DiscardOutcome, RedriveOutcome, WaitReason};

use crate::journal::admin::{EntryRedrive, Lookup};
use crate::journal::store::fault_injection::FaultInjection;
use crate::journal::waiting::WaitingEntry;

#[tokio::test]
async fn a_summary_groups_entries_and_shows_the_oldest() {
    let directory = tempfile::tempdir().unwrap();
    let mut store = open(directory.path()).store;
    let mut all = entries(0..6000);
    for entry in all.iter_mut().skip(5990) {
        entry.application = "partners".to_owned();
    }
    put(&mut store, &all);
    let journal_admin = crate::journal::JournalAdmin::offline(store).unwrap();
    let summary = journal_admin.summary(2).await.unwrap();
    let groups: Vec<_> = summary.groups.iter().map(|group| (group.application.as_str(), group.events)).collect();
    assert_eq!(groups, [("partners", 10), ("workforce", 5990)]);
    assert_eq!((summary.events, summary.limit_bytes, summary.oldest_received_at), (6000, ROOM, Some(1_000_000)));
    assert_eq!(summary.oldest.iter().map(|entry| entry.event_id.as_str()).collect::<Vec<_>>(), ["evnt_0", "evnt_1"]);
}

#[tokio::test]
async fn an_export_has_each_entry_once_and_only_sealed_data() {
    let directory = tempfile::tempdir().unwrap();
    let journal_admin = admin_with_entries(directory.path());
    let (mut lines, mut from) = (String::new(), Some(0));
    while let Some(position) = from {
        let (page, next) = journal_admin.export(position, 2).await.unwrap();
        lines.push_str(&page);
        from = next;
    }
    let lines: Vec<serde_json::Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(
        lines.iter().map(|line| line["eventId"].as_str().unwrap()).collect::<Vec<_>>(),
        ["evnt_0", "evnt_1", "evnt_2"]
    );
    for (seq, line) in (0..).zip(&lines) {
        let sealed = line["value"].as_str().unwrap();
        assert_eq!(key('a').open(Sealed::parse(sealed).unwrap()).ok().unwrap(), super::noise(seq, 300));
    }
}

#[tokio::test]
async fn entries_are_found_by_event_and_by_entity() {
    let directory = tempfile::tempdir().unwrap();
    let mut store = open(directory.path()).store;
    let mut all = entries(0..8);
    all.push(Entry { seq: Seq(8), application: "partners".to_owned(), ..entry(0) });
    put(&mut store, &all);
    let journal_admin = crate::journal::JournalAdmin::offline(store).unwrap();
    for (id, seqs) in
        [("user_0", &[0, 7, 8][..]), ("user_1", &[1]), ("evnt_0", &[0, 8]), ("partners/evnt_0", &[8]), ("user_9", &[])]
    {
        let found: Vec<_> =
            journal_admin.entries_about(id, 10).await.unwrap().iter().map(|waiting| waiting.seq).collect();
        assert_eq!(found, seqs, "{id}");
    }
    assert_eq!(journal_admin.entries_about("user_0", 2).await.unwrap().len(), 2);
}

#[tokio::test]
async fn an_entry_is_removed_by_a_unique_id_only() {
    let directory = tempfile::tempdir().unwrap();
    let mut store = open(directory.path()).store;
    let mut all = entries(0..3);
    // An event of another application with the same `eventId`.
    all.push(Entry { seq: Seq(3), application: "partners".to_owned(), ..entry(0) });
    put(&mut store, &all);
    let journal_admin = crate::journal::JournalAdmin::offline(store).unwrap();
    assert!(matches!(journal_admin.find_entry("evnt_1").await.unwrap(), Lookup::Event(found) if found.seq == 1));
    assert!(matches!(journal_admin.discard_entry("evnt_1", "test").await.unwrap(), Lookup::Event(_)));
    let several = Lookup::Several(vec!["workforce/evnt_0".to_owned(), "partners/evnt_0".to_owned()]);
    assert_eq!(journal_admin.discard_entry("evnt_0", "test").await.unwrap(), several);
    let found = journal_admin.discard_entry("partners/evnt_0", "test").await.unwrap();
    assert!(matches!(found, Lookup::Event(found) if found.seq == 3));
    assert_eq!(journal_admin.discard_entry("evnt_9", "test").await.unwrap(), Lookup::Nothing);
    drop(journal_admin);
    assert_eq!(held(directory.path()), [0, 2]);
}

/// The commands look an entry up by its line, also before they remove one that cannot be read.
#[tokio::test]
async fn the_line_of_an_entry_says_which_it_is_even_if_damaged() {
    let directory = tempfile::tempdir().unwrap();
    let journal_admin = admin_with_entries(directory.path());
    let Lookup::Event(entry) = journal_admin.find_entry("evnt_1").await.unwrap() else { panic!() };
    let line = journal_admin.entry("evnt_1").await.unwrap().unwrap();
    let damaged = crate::journal::admin::damaged_line(&entry);
    assert_eq!((&line["damaged"], &damaged["damaged"]), (&serde_json::Value::Null, &true.into()));
    for line in [line, damaged] {
        assert_eq!(serde_json::from_value::<crate::journal::summary::EntrySummary>(line).unwrap(), entry);
    }
}

#[tokio::test]
async fn discard_that_the_disk_does_not_take_is_a_failure() {
    let directory = tempfile::tempdir().unwrap();
    let faults = FaultInjection::default();
    faults.on_this_thread();
    let journal_admin = admin_with_entries(directory.path());
    // The journal reads the file again after the failure.
    faults.set_sync_fails(true);
    std::fs::write(directory.path().join("journal.redb"), "no journal").unwrap();
    assert!(journal_admin.discard_entry("evnt_1", "test").await.is_err());
}

/// An outbox with one waiting head, which counts the requests.
#[derive(Default)]
struct Lanes(std::sync::atomic::AtomicUsize);

impl crate::journal::OutboxControl for Lanes {
    fn discard(&self, _: Seq, _: EventKey) -> DiscardOutcome {
        DiscardOutcome::InFlight
    }

    fn redrive(&self, key: EventKey) -> RedriveOutcome {
        self.0.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        let (reason, attempts) = (WaitReason::OtherReplica, 3);
        match [0, 1, 2].map(|seq| entry(seq).key == key) {
            [_, true, _] => RedriveOutcome::Started,
            [_, _, true] => RedriveOutcome::NotWaiting,
            _ => {
                RedriveOutcome::Blocked(outbox::WaitingHead { key, seq: Seq(0), reason, attempts, failing_since: None })
            }
        }
    }

    fn waiting(&self, limit: usize) -> Vec<WaitingEntry> {
        let head = |seq, since| WaitingEntry { seq: Seq(seq), reason: "not_authorized", attempts: 3, since };
        vec![head(1, Some(5_000_000)), head(2, None), head(77, None)].into_iter().take(limit).collect()
    }

    fn unreachable_brokers(&self) -> Vec<String> {
        Vec::new()
    }
}

fn desk_with_lanes(directory: &Path) -> (crate::journal::JournalAdmin, Arc<Lanes>) {
    let mut store = open(directory).store;
    put(&mut store, &entries(0..3));
    let lanes = Arc::new(Lanes::default());
    let journal = Arc::new(crate::journal::Journal::start(store, Arc::new(IgnoredEvents), &Arc::default()).unwrap());
    (crate::journal::JournalAdmin::new(journal, Arc::clone(&lanes) as _), lanes)
}

#[tokio::test]
async fn a_summary_says_why_lane_heads_wait_and_what_to_do() {
    let directory = tempfile::tempdir().unwrap();
    let (journal_admin, _) = desk_with_lanes(directory.path());
    let summary = journal_admin.summary(20).await.unwrap();
    let waiting: Vec<_> =
        summary.waiting.iter().map(|head| (head.event_id.as_str(), head.attempts, head.since)).collect();
    assert_eq!(waiting, [("evnt_1", 3, 5_000_000), ("evnt_2", 3, 1_000_002)]);
    assert!(summary.waiting[0].next_step.contains("WRITE on idaas.user.v1"), "{:?}", summary.waiting[0]);
}

#[tokio::test]
async fn an_entry_is_tried_again_or_said_to_be_tried_by_itself() {
    let directory = tempfile::tempdir().unwrap();
    let (journal_admin, lanes) = desk_with_lanes(directory.path());
    assert!(
        matches!(journal_admin.redrive("evnt_1", "test").await.unwrap(), EntryRedrive::Now(found) if found.seq == 1)
    );
    let EntryRedrive::Automatic(found) = journal_admin.redrive("evnt_2", "test").await.unwrap() else { panic!() };
    assert_eq!((found.seq, found.waiting), (2, None));
    let EntryRedrive::Automatic(found) = journal_admin.redrive("evnt_0", "test").await.unwrap() else { panic!() };
    let state = found.waiting.unwrap();
    assert_eq!((state.reason.as_str(), state.attempts), ("other_replica", 3));
    assert!(state.next_step.starts_with("Another replica publishes"), "{}", state.next_step);
    assert_eq!(journal_admin.redrive("evnt_9", "test").await.unwrap(), EntryRedrive::NoSingleMatch(Lookup::Nothing));
    assert_eq!(lanes.0.load(std::sync::atomic::Ordering::SeqCst), 3);
    assert!(matches!(journal_admin.discard_entry("evnt_1", "test").await.unwrap(), Lookup::InFlight(_)));
}

#[tokio::test]
async fn times_leave_in_rfc_3339_and_come_back_as_they_were() {
    let directory = tempfile::tempdir().unwrap();
    let summary = admin_with_entries(directory.path()).summary(20).await.unwrap();
    let json = serde_json::to_value(&summary).unwrap();
    assert_eq!(json["oldestAcceptedAt"], "1970-01-01T00:16:40.000Z");
    assert_eq!(json["oldest"][2]["acceptedAt"], "1970-01-01T00:16:40.002Z");
    assert_eq!(serde_json::from_value::<crate::journal::summary::Summary>(json).unwrap(), summary);
}
