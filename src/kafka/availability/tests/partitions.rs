use outbox::Seq;

use super::*;

const TOPIC: &str = "idaas.user.v1";

fn handle(number: u64) -> EventHandle {
    EventHandle::new(Seq(number), 0)
}

const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

struct Stage {
    availability: Partitions,
    sent: u64,
}

impl Stage {
    fn new(partitions: usize) -> Self {
        let mut availability = Partitions::default();
        availability.set_counts([(TOPIC.to_owned(), partitions)]);
        Self { availability, sent: 0 }
    }

    fn send(&mut self, key: &str, now: Duration) -> Option<(PartitionIndex, EventHandle)> {
        self.sent += 1;
        let handle = handle(self.sent);
        self.availability.hand_over((TOPIC, Some(key)), handle, 100, now).map(|index| (index, handle))
    }

    /// Returns two keys of different partitions.
    fn two_keys() -> (&'static str, &'static str) {
        let of = |partition| {
            ["a", "b", "c", "d", "e", "f"].into_iter().find(|key| partition_of(key.as_bytes(), 2) == partition)
        };
        (of(0).unwrap(), of(1).unwrap())
    }
}

#[test]
fn silence_closes_a_partition_and_names_who_waits() {
    let (mut stage, (a, b)) = (Stage::new(2), Stage::two_keys());
    let (_, waiting) = stage.send(a, seconds(0)).unwrap();
    stage.send(b, seconds(1)).unwrap();
    assert_eq!(stage.availability.tick(seconds(1)), Changes::default());
    let changes = stage.availability.tick(seconds(2));
    assert_eq!(changes.waiting, [waiting]);
    assert_eq!(changes.topics, [(TOPIC.to_owned(), 1)]);
    assert!(!stage.availability.accepts(TOPIC, Some(a)));
    assert!(stage.availability.accepts(TOPIC, Some(b)));
    assert!(stage.availability.tick(seconds(2)).topics.is_empty());
}

#[test]
fn confirmations_keep_a_busy_partition_open() {
    let mut stage = Stage::new(1);
    let mut records: Vec<_> = (0..10).filter_map(|second| stage.send("a", seconds(second))).collect();
    for second in 10..18 {
        let (index, handle) = records.remove(0);
        stage.availability.confirmed(index, handle, seconds(second));
        assert!(stage.availability.tick(seconds(second + 1)).waiting.is_empty());
    }
}

#[test]
fn a_failure_closes_a_partition_and_a_confirmation_opens_it() {
    let mut stage = Stage::new(1);
    let (index, first) = stage.send("a", seconds(0)).unwrap();
    let (_, second) = stage.send("a", seconds(0)).unwrap();
    let waiting = stage.availability.failed(index, first, Some(FailureCode::NotAuthorized), seconds(0));
    assert_eq!(waiting, [second, first]);
    assert!(!stage.availability.accepts(TOPIC, Some("a")));
    assert!(stage.availability.confirmed(index, second, seconds(1)));
    assert!(stage.availability.accepts(TOPIC, Some("a")));
    assert!(!stage.availability.confirmed(index, second, seconds(1)), "it is open already");
}

#[test]
fn a_failure_that_is_not_the_partition_s_closes_nothing() {
    let mut stage = Stage::new(1);
    let (index, handle) = stage.send("a", seconds(0)).unwrap();
    assert!(stage.availability.failed(index, handle, None, seconds(0)).is_empty());
    assert!(stage.availability.accepts(TOPIC, Some("a")));
}

#[test]
fn a_closed_partition_gets_a_few_probes_and_no_more() {
    let mut stage = Stage::new(1);
    stage.send("a", seconds(0)).unwrap();
    stage.availability.tick(seconds(3));
    let taken = (0..100).filter(|_| stage.send("a", seconds(3)).is_some()).count();
    assert_eq!(taken + 1, MAX_PROBES);
}

#[test]
fn probes_that_fail_at_once_are_as_few() {
    let mut stage = Stage::new(1);
    let (index, first) = stage.send("a", seconds(0)).unwrap();
    stage.availability.failed(index, first, Some(FailureCode::UnknownTopic), seconds(0));
    let mut probes = 0;
    for millisecond in 0..1000 {
        let now = Duration::from_millis(millisecond);
        if let Some((index, handle)) = stage.send("a", now) {
            stage.availability.failed(index, handle, Some(FailureCode::UnknownTopic), now);
            probes += 1;
        }
    }
    assert_eq!(probes, 4);
}

#[test]
fn a_record_larger_than_all_probes_is_a_probe_alone() {
    let mut stage = Stage::new(1);
    let (index, first) = stage.send("a", seconds(0)).unwrap();
    stage.availability.failed(index, first, Some(FailureCode::TimedOut), seconds(0));
    let large = |stage: &mut Stage, number| {
        stage.availability.hand_over((TOPIC, Some("a")), handle(number), 2 * MAX_PROBE_BYTES, seconds(1)).is_some()
    };
    assert!(large(&mut stage, 50));
    assert!(!large(&mut stage, 51));
}

#[test]
fn a_closed_partition_that_nobody_tries_opens_after_a_while() {
    let mut stage = Stage::new(1);
    let (index, handle) = stage.send("a", seconds(0)).unwrap();
    stage.availability.failed(index, handle, Some(FailureCode::TimedOut), seconds(0));
    assert!(!stage.availability.tick(IDLE - seconds(1)).opened);
    assert!(stage.availability.tick(IDLE).opened);
    assert!(stage.availability.accepts(TOPIC, Some("a")));
}

#[test]
fn more_partitions_change_nothing_for_records_on_their_way() {
    let mut stage = Stage::new(1);
    let (index, handle) = stage.send("b", seconds(0)).unwrap();
    stage.availability.set_counts([(TOPIC.to_owned(), 6)]);
    assert!(!stage.availability.confirmed(index, handle, seconds(1)));
    assert!(stage.availability.tick(seconds(9)).waiting.is_empty());
}

#[test]
fn records_that_only_wait_are_silent_and_refused_ones_are_not() {
    let (mut stage, (a, b)) = (Stage::new(2), Stage::two_keys());
    stage.send(a, seconds(0)).unwrap();
    let (index, refused) = stage.send(b, seconds(0)).unwrap();
    stage.send(b, seconds(0)).unwrap();
    stage.availability.failed(index, refused, Some(FailureCode::NotAuthorized), seconds(1));
    stage.availability.tick(seconds(2));
    let silent = stage.availability.silent(seconds(5));
    assert_eq!(silent.iter().map(|silent| silent.waited).collect::<Vec<_>>(), [seconds(5)]);
    assert_eq!(stage.availability.closed(), (true, true));
}

#[test]
fn end_of_an_outage_opens_partitions_that_have_a_leader() {
    let (mut stage, (a, b)) = (Stage::new(2), Stage::two_keys());
    let (index, record) = stage.send(a, seconds(0)).unwrap();
    stage.send(b, seconds(0)).unwrap();
    stage.availability.tick(seconds(2));
    assert!(!stage.availability.outage_ended(&[], seconds(30)));
    assert!(stage.availability.outage_ended(&[(TOPIC.to_owned(), 0)], seconds(30)));
    assert!(stage.availability.accepts(TOPIC, Some(a)));
    assert!(!stage.availability.accepts(TOPIC, Some(b)), "it has no leader yet");
    assert!((0..2 * MAX_PROBES).all(|_| stage.send(a, seconds(30)).is_some()), "all that waits can be published");
    assert_eq!(stage.availability.silent(seconds(31)).len(), 1, "its wait starts over");
    assert_eq!(stage.availability.tick(seconds(31)).waiting, []);
    assert_eq!(stage.availability.tick(seconds(32)).waiting.len(), 1 + 2 * MAX_PROBES, "silence closes it again");
    stage.availability.failed(index, record, Some(FailureCode::NotAuthorized), seconds(33));
    assert!(!stage.availability.outage_ended(&[(TOPIC.to_owned(), 0)], seconds(40)), "it rejects records");
}
