//! Tests of `traffic`.

use super::*;

fn counts(success: u64, retried: u64) -> Counts {
    Counts { lists: [success, 0, 0, retried], ..Counts::default() }
}

#[test]
fn counters_become_sums_of_ten_seconds() {
    let mut traffic = Traffic::default();
    for (now, success, retried) in [(0, 5, 0), (WIDTH - 1, 8, 0), (WIDTH, 8, 1), (3 * WIDTH, 20, 1)] {
        traffic.application("one", counts(success, retried), now);
    }
    let message = traffic.message(3 * WIDTH);
    assert_eq!(message.verdicts["success"][BUCKETS - 4..], [8, 0, 0, 12]);
    assert_eq!(message.verdicts["retried"][BUCKETS - 4..], [0, 1, 0, 0]);
    assert_eq!(message.applications[0].total, 21);
    assert_eq!(message.others.total, 0);
}

#[test]
fn a_reset_counter_counts_as_nothing() {
    let mut traffic = Traffic::default();
    traffic.application("one", counts(100, 0), 0);
    traffic.application("one", counts(3, 0), 1);
    traffic.application("one", counts(5, 0), 2);
    assert_eq!(traffic.message(2).applications[0].success, 102);
}

#[test]
fn traffic_older_than_fifteen_minutes_is_forgotten() {
    let mut traffic = Traffic::default();
    traffic.application("one", counts(7, 0), 0);
    let last = WIDTH * (BUCKETS as i64 - 1);
    assert_eq!(traffic.message(last).verdicts["success"][0], 7);
    assert_eq!(traffic.message(last + WIDTH).verdicts["success"].iter().sum::<u64>(), 0);
    assert_eq!(traffic.message(last * 100).verdicts["success"].len(), BUCKETS);
}

#[test]
fn only_the_busiest_applications_are_kept_apart() {
    let mut traffic = Traffic::default();
    for number in 0..1000_u64 {
        traffic.application(&format!("app-{number:04}"), counts(number, 0), 0);
    }
    let message = traffic.message(WIDTH);
    assert_eq!(message.applications.len(), MAX_SHOWN);
    assert_eq!(message.applications[0].name, "app-0999");
    assert_eq!(message.others.success, (0..980).sum::<u64>());
    assert!(traffic.buckets.iter().all(|bucket| bucket.applications.len() <= crate::console::bucket::MAX_KEPT));
}

#[test]
fn the_key_of_the_latest_callback_is_in_use() {
    let mut traffic = Traffic::default();
    let decrypted = |decryptions: &[u64]| Counts { decryptions: decryptions.to_vec(), ..Counts::default() };
    traffic.application("one", decrypted(&[0, 0]), 0);
    assert_eq!(traffic.key_in_use("one"), None);
    traffic.application("one", decrypted(&[0, 2]), 1);
    assert_eq!(traffic.key_in_use("one"), Some(1));
    traffic.application("one", decrypted(&[1, 2]), 2);
    traffic.application("one", decrypted(&[1, 2]), 3);
    assert_eq!(traffic.key_in_use("one"), Some(0));
}

#[test]
fn the_mean_time_has_a_gap_where_nothing_was_confirmed() {
    let mut traffic = Traffic::default();
    traffic.confirmations(Confirmations { count: 2, seconds: 0.01 }, 0);
    traffic.confirmations(Confirmations { count: 2, seconds: 0.01 }, WIDTH);
    assert_eq!(traffic.message(WIDTH).latency[BUCKETS - 2..], [Some(5.0), None]);
}
