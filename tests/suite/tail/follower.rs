//! Following what other replicas publish.

use super::*;

#[test]
fn an_event_with_a_credential_is_known_once_both_records_stand() {
    let Some(kafka) = shared_one_node() else { return };
    topics(kafka, "pair", 2);
    let forger = Forger::new(kafka.bootstrap_servers(), "pair");
    for (id, parts) in [("both", &["user", "credential"][..]), ("user", &["user"]), ("credential", &["credential"])] {
        parts.iter().for_each(|entity| forger.event(entity, "created", id, now()));
    }
    forger.flush();
    let read = tail(kafka, &scope("pair", true));
    assert_eq!(verdicts(&read.events), expected(&[("both", Verdict::Confirmed)]));
    let halves = records(&read.events);
    for half in [("user", 0), ("credential", 1)] {
        assert!(halves.contains(&(EventKey::of(APPLICATION, half.0), half.1)), "{half:?}");
    }
    let unsealed = [("both", Verdict::Confirmed), ("user", Verdict::Confirmed)];
    assert_eq!(verdicts(&tail(kafka, &scope("pair", false)).events), expected(&unsealed));
    // Whoever follows knows the halves, and completes them.
    let observed = Observed::default();
    let _follower = observed.follow(&Cluster::plain(kafka.bootstrap_servers()), scope("pair", true), read.resume);
    forger.event("credential", "created", "user", now());
    forger.event("dead-letter", "refused", "credential", now());
    forger.flush();
    observed.wait_for(&[("user", Verdict::Confirmed), ("credential", Verdict::DeadLettered(Reason::MalformedData))]);
}

#[test]
fn a_missing_topic_is_followed_once_it_exists() {
    let Some(kafka) = shared_one_node() else { return };
    kafka.create_topic("late.user.v1", 1, 1, &[]);
    let forger = Forger::new(kafka.bootstrap_servers(), "late");
    forger.event("user", "updated", "before", now());
    forger.flush();
    let read = tail(kafka, &scope("late", false));
    assert_eq!((verdicts(&read.events), read.tail.is_complete()), (expected(&[("before", Verdict::Confirmed)]), true));
    let observed = Observed::default();
    let follower = observed.follow(&Cluster::plain(kafka.bootstrap_servers()), scope("late", false), read.resume);
    forger.event("user", "updated", "after", now());
    forger.flush();
    observed.wait_for(&[("after", Verdict::Confirmed)]);
    kafka.create_topic("late.group.v1", 1, 1, &[]);
    forger.event("group", "created", "at_once", now());
    forger.flush();
    observed.wait_for(&[("after", Verdict::Confirmed), ("at_once", Verdict::Confirmed)]);
    drop(follower);
}

#[test]
fn a_follower_outlives_an_absence_and_misses_nothing() {
    let mock = mock_cluster(1).unwrap();
    mock.create_topic("gone.user.v1", 2, 1).unwrap();
    let cluster = Cluster::plain(&mock.bootstrap_servers());
    let resume = try_read(&cluster, &scope("gone", false), long_window()).unwrap().resume;
    mock.broker_down(1).unwrap();
    let observed = Observed::default();
    let follower = observed.follow(&cluster, scope("gone", false), resume);
    mock.broker_up(1).unwrap();
    let forger = Forger::new(&mock.bootstrap_servers(), "gone");
    forger.event("user", "updated", "first", now());
    forger.flush();
    observed.wait_for(&[("first", Verdict::Confirmed)]);
    mock.broker_down(1).unwrap();
    forger.event("user", "updated", "second", now());
    mock.broker_up(1).unwrap();
    forger.flush();
    observed.wait_for(&[("first", Verdict::Confirmed), ("second", Verdict::Confirmed)]);
    mock.broker_down(1).unwrap();
    drop(follower);
}

#[test]
fn catching_up_knows_everything_published_before_it() {
    let Some(kafka) = shared_one_node() else { return };
    ["user", "group"].iter().for_each(|entity| kafka.create_topic(&format!("catch.{entity}.v1"), 3, 1, &[]));
    let read = tail(kafka, &scope("catch", false));
    let observed = Observed::default();
    let follower = observed.follow(&Cluster::plain(kafka.bootstrap_servers()), scope("catch", false), read.resume);
    let forger = Forger::new(kafka.bootstrap_servers(), "catch");
    for (round, pace) in [(0, FetchProfile::Relaxed), (1, FetchProfile::Fast)] {
        follower.set_fetch_profile(pace);
        for number in 0..5_000 {
            forger.event("user", "updated", &format!("user_{round}_{number}"), now());
        }
        // A topic that is not followed yet.
        if round == 1 {
            kafka.create_topic("catch.connectivity.v1", 1, 1, &[]);
            forger.event("connectivity", "tested", "new_topic", now());
        }
        forger.flush();
        retry(|| if follower.catch_up(Duration::from_secs(30)) { Ok(()) } else { Err("not caught up".to_owned()) });
        let known = verdicts(&observed.0.0.lock());
        assert_eq!(known.len(), 5_000 * (round + 1) + round);
    }
    drop(follower);
}

#[test]
fn catching_up_fails_while_a_broker_does_not_answer() {
    let mock = mock_cluster(2).unwrap();
    for (entity, leader) in [("user", 1), ("group", 2)] {
        let topic = format!("behind.{entity}.v1");
        mock.create_topic(&topic, 1, 2).unwrap();
        mock.partition_leader(&topic, 0, Some(leader)).unwrap();
    }
    let cluster = Cluster::plain(&mock.bootstrap_servers());
    let resume = try_read(&cluster, &scope("behind", false), long_window()).unwrap().resume;
    let observed = Observed::default();
    let follower = observed.follow(&cluster, scope("behind", false), resume);
    retry(|| if follower.catch_up(Duration::from_secs(30)) { Ok(()) } else { Err("not caught up".to_owned()) });
    mock.broker_down(2).unwrap();
    retry(|| if follower.catch_up(Duration::from_secs(5)) { Err("caught up".to_owned()) } else { Ok(()) });
    mock.broker_up(2).unwrap();
    retry(|| if follower.catch_up(Duration::from_secs(30)) { Ok(()) } else { Err("not caught up".to_owned()) });
}
