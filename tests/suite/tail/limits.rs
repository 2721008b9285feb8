//! Large histories, limits, and brokers that do not answer.

use super::*;

#[test]
fn an_incomplete_tail_knows_the_newest_records() {
    let Some(kafka) = shared_one_node() else { return };
    ["user", "group"].iter().for_each(|entity| kafka.create_topic(&format!("many.{entity}.v1"), 1, 1, &[]));
    let forger = Forger::new(kafka.bootstrap_servers(), "many");
    for number in 0..100 {
        forger.event("user", "updated", &format!("user_{number}"), now());
        forger.event("group", "updated", &format!("group_{number}"), now());
        forger.flush();
    }
    let cluster = Cluster::plain(kafka.bootstrap_servers());
    let read = try_read(&cluster, &scope("many", false), Window { limit: 20, ..long_window() }).unwrap();
    let last: Vec<_> = (90..100).flat_map(|number| [format!("user_{number}"), format!("group_{number}")]).collect();
    let last: Vec<_> = last.iter().map(|id| (id.as_str(), Verdict::Confirmed)).collect();
    assert_eq!((verdicts(&read.events), read.tail.is_complete()), (expected(&last), false));
}

#[test]
fn a_cluster_that_is_away_is_a_fault_within_the_time() {
    let mock = mock_cluster(1).unwrap();
    mock.broker_down(1).unwrap();
    let window = Window { time_limit: Duration::from_secs(2), ..Window::default() };
    let fault = try_read(&Cluster::plain(&mock.bootstrap_servers()), &scope("away", false), window).err().unwrap();
    assert!(matches!(fault, ReadFault::Unreachable(_)), "{fault}");
}

#[test]
fn a_hundred_thousand_records_in_many_partitions_are_all_known() {
    let Some(kafka) = shared_one_node() else { return };
    let entities = ["user", "organizational-unit", "group", "connectivity", "unclassified", "dead-letter"];
    entities.iter().for_each(|entity| kafka.create_topic(&format!("large.{entity}.v1"), 12, 1, &[]));
    let forger = Forger::new(kafka.bootstrap_servers(), "large");
    for number in 0..100_000 {
        forger.event(entities[number % entities.len()], "updated", &format!("evnt_{number}"), now());
        if number % 25_000 == 24_999 {
            forger.flush();
        }
    }
    let read = tail(kafka, &scope("large", false));
    let letters = 100_000 / entities.len();
    // Those letters have the action of another record, and so say nothing.
    assert_eq!((read.events.len(), read.tail.records, read.tail.is_complete()), (100_000 - letters, 100_000, true));
}

#[test]
fn newest_records_are_told_first() {
    let Some(kafka) = shared_one_node() else { return };
    kafka.create_topic("newest.user.v1", 1, 1, &[]);
    let forger = Forger::new(kafka.bootstrap_servers(), "newest");
    for number in 0..200_000 {
        forger.event("user", "updated", &format!("evnt_{number}"), now());
        if number % 25_000 == 24_999 {
            forger.flush();
        }
    }
    let mut batches = Vec::new();
    let cluster = Cluster::plain(kafka.bootstrap_servers());
    let mut resume = Checkpoint::default();
    let tail = read_tail(&cluster, &scope("newest", false), long_window(), &mut resume, |known| {
        batches.push(known.iter().map(|known| known.key).collect::<BTreeSet<_>>());
    });
    assert!(tail.unwrap().is_complete());
    let batch_of = |number: u32| {
        let key = EventKey::of(APPLICATION, &format!("evnt_{number}"));
        batches.iter().position(|batch| batch.contains(&key))
    };
    assert_eq!((batch_of(199_999), batch_of(199_000)), (Some(0), Some(0)));
    assert!(batch_of(0) > Some(0), "{:?}", batch_of(0));
    assert_eq!(batches.iter().map(BTreeSet::len).sum::<usize>(), 200_000);
}

#[test]
fn a_silent_broker_holds_up_its_own_partitions_only() {
    let mock = mock_cluster(3).unwrap();
    for (entity, leader) in [("user", 1), ("group", 2), ("connectivity", 3)] {
        let topic = format!("silent.{entity}.v1");
        mock.create_topic(&topic, 1, 3).unwrap();
        mock.partition_leader(&topic, 0, Some(leader)).unwrap();
    }
    mock.broker_down(3).unwrap();
    let cluster = Cluster::plain(&mock.bootstrap_servers());
    let read = try_read(&cluster, &scope("silent", false), long_window()).unwrap();
    assert_eq!(read.tail.unread, ["silent.connectivity.v1"]);
    assert_eq!(places(&read), [("silent.group.v1", 0, 0), ("silent.user.v1", 0, 0)]);
    // What was left out is read once it answers, and nothing else.
    mock.broker_up(3).unwrap();
    let mut resume = read.resume;
    retry(|| {
        let tail = read_tail(&cluster, &scope("silent", false), long_window(), &mut resume, |_| {});
        if tail.unwrap().is_complete() { Ok(()) } else { Err("a partition is still left out".to_owned()) }
    });
    assert!(resume.next_offsets().any(|offset| offset == ("silent.connectivity.v1", 0, 0)));
}

#[test]
fn hundreds_of_topics_of_distant_brokers_are_read_in_time() {
    let mock = mock_cluster(3).unwrap();
    let mut topics = HashMap::new();
    for application in 0..100 {
        for entity in Entity::ALL {
            let topic = format!("app{application}.{}.v1", entity.name());
            mock.create_topic(&topic, 1, 1).unwrap();
            topics.insert(topic, entity);
        }
    }
    for broker in 1..=3 {
        mock.broker_round_trip_time(broker, Duration::from_millis(10)).unwrap();
    }
    let scope = Scope::new(topics, HashMap::from([(APPLICATION.to_owned(), false)]));
    let cluster = Cluster::plain(&mock.bootstrap_servers());
    let read = try_read(&cluster, &scope, Window::default()).unwrap();
    assert!(read.tail.is_complete(), "{:?}", read.tail);
    assert_eq!(places(&read).len(), 700);
}
