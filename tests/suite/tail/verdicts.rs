//! Which records of the topics give a verdict.

use super::*;

#[test]
fn newest_timestamp_of_each_application_is_told() {
    let Some(kafka) = shared_one_node() else { return };
    topics(kafka, "newest-times", 1);
    let forger = Forger::new(kafka.bootstrap_servers(), "newest-times");
    let newest = minutes_ago(2);
    for (id, timestamp) in [("old", minutes_ago(5)), ("newest", newest), ("late", minutes_ago(3))] {
        forger.event("user", "updated", id, timestamp);
    }
    forger.flush();
    let observed = tail(kafka, &scope("newest-times", false)).tail.newest;
    assert_eq!(observed, BTreeMap::from([(APPLICATION.to_owned(), newest)]));
}

#[test]
fn verdicts_are_rebuilt_from_records_of_both_modes() {
    let Some(kafka) = shared_one_node() else { return };
    for mode in ["binary", "structured"] {
        let prefix = format!("tail-{mode}");
        topics(kafka, &prefix, 3);
        let seal = format!("passwords = \"seal\"\ncredential_key = \"{CREDENTIAL_KEY}\"");
        let application = TestApplication::workforce().prefix(&prefix).line(seal);
        let id = application.tenant_keys.identity.application_id.clone();
        let bridge = Setup::of(vec![application])
            .topics(format!("event_mode = {mode:?}"))
            .kafka(kafka.bootstrap_servers())
            .start();
        let mut events = Generator::new(7).one_of_each(now_ms());
        // Only a password makes an event of two records; without one it is skipped, because its kind is unknown.
        events.retain(|event| !event.event_type.ends_with("user:create") && !event.event_type.ends_with("password"));
        events.push(with_password(1, "secret"));
        let answered = bridge.send(&events);
        let odd = [
            json!({"eventId": "evnt_odd", "eventType": Kind::UserUpdateInfo.urn(), "bizId": "u", "bizData": "[]"}),
            json!({"eventId": "evnt_nobody", "eventType": Kind::GroupCreate.urn(), "bizData": {}}),
        ];
        let mut answered: BTreeMap<_, _> = answered.into_iter().collect();
        answered.extend(bridge.send_items(odd.to_vec()));
        let config = Config::load(bridge.configuration()).unwrap_or_else(|_| panic!("it has started with it"));
        let tail = tail(kafka, &Scope::of(&config));
        let known = verdicts(&tail.events);
        for (event_id, (_, code)) in &answered {
            let verdict =
                known.get(&EventKey::of(&id, event_id)).unwrap_or_else(|| panic!("{mode}: {event_id} {code}"));
            assert_eq!(verdict.code(), code, "{mode}: {event_id}");
        }
        assert_eq!((known.len(), tail.tail.is_complete()), (answered.len(), true), "{mode}");
        assert_eq!(tail.tail.records, bridge.records().len(), "{mode}");
        assert_dead_letters(&tail);
    }
}

fn with_password(number: u64, password: &str) -> Event {
    let mut event = Generator::new(8).event(&Kind::UserCreate.into(), number, now_ms());
    event.biz_data = json!({"userId": event.biz_id, "password": password});
    event
}

fn assert_dead_letters(tail: &Read) {
    let letters =
        verdicts(&tail.events).into_values().filter(|verdict| matches!(verdict, Verdict::DeadLettered(_))).count();
    assert_eq!(letters, 2);
}

#[test]
fn only_what_is_as_ours_and_within_the_window_is_known() {
    let Some(kafka) = shared_one_node() else { return };
    topics(kafka, "odd", 1);
    let forger = Forger::new(kafka.bootstrap_servers(), "odd");
    for id in 0..20 {
        forger.event("user", "updated", &format!("old_{id}"), minutes_ago(15));
    }
    forger.event("user", "updated", "young", minutes_ago(9));
    // As of a journal that was replayed late: it stands behind a younger one.
    forger.event("user", "updated", "replayed", minutes_ago(30));
    forger.event("group", "updated", "in_group", now());
    forger.event("dead-letter", "refused", "letter", now());
    forger.event("user", "updated", "both", now());
    forger.event("dead-letter", "refused", "both", now());
    let ours = ("ce_source", "/idaas/idaas_1/app_one");
    let updated = ("ce_type", "com.alibabacloud.idaas.user.updated.v1");
    for (entity, headers, value) in [
        ("user", &[][..], "nothing at all"),
        ("user", &[ours, updated], ""),
        ("user", &[("ce_id", "foreign"), ("ce_source", "/idaas/idaas_1/app_foreign"), updated], "{}"),
        ("group", &[("ce_id", "misplaced"), ours, updated], "{}"),
        ("user", &[("content-type", "application/cloudevents+json")], "{\"id\":"),
        ("user", &[("content-type", "application/cloudevents+json")], "[[[[[[[["),
        (
            "dead-letter",
            &[("ce_id", "why"), ours, ("ce_type", "com.alibabacloud.idaas.dead-letter.refused.v1")],
            r#"{"reason":"bored"}"#,
        ),
    ] {
        forger.write(entity, now(), headers, value);
    }
    forger.flush();
    produce_with_raw_header_name(kafka.bootstrap_servers(), "odd.user.v1", b"ce_\xff\xfe\x00id");
    forger.event("user", "updated", "behind", now());
    forger.flush();
    let tail = tail(kafka, &scope("odd", false));
    let letter = Verdict::DeadLettered(Reason::MalformedData);
    let known = [
        ("young", Verdict::Confirmed),
        ("replayed", Verdict::Confirmed),
        ("in_group", Verdict::Confirmed),
        ("letter", letter),
        ("both", letter),
        ("behind", Verdict::Confirmed),
    ];
    assert_eq!(verdicts(&tail.events), expected(&known));
    assert!(tail.tail.is_complete());
    assert!(tail.resume.next_offsets().any(|offset| offset == ("odd.user.v1", 0, 30)), "{:?}", places(&tail));
    // Nor does it end who only looks.
    let topics = ["odd.user.v1".to_owned()];
    let cluster = Cluster::plain(kafka.bootstrap_servers());
    let limit = Duration::from_secs(30);
    let mut looking = tail::TailReader::start(&cluster, &topics, tail::Begin::Oldest, limit).unwrap();
    let mut seen = std::iter::from_fn(|| looking.next(limit));
    assert!(seen.any(|record| record.header("ce_id") == Some("behind")));
}

#[test]
fn foreign_transactions_do_not_hide_records() {
    let Some(kafka) = shared_one_node() else { return };
    kafka.create_topic("mixed.user.v1", 1, 1, &[]);
    let forger = Forger::new(kafka.bootstrap_servers(), "mixed");
    let mut settings = ClientConfig::new();
    settings.set("bootstrap.servers", kafka.bootstrap_servers()).set("transactional.id", "mixed");
    let foreign: ThreadedProducer<DefaultProducerContext> = settings.create().unwrap();
    let limit = Duration::from_secs(60);
    retry(|| foreign.init_transactions(limit).map_err(|error| error.to_string()));
    forger.event("user", "updated", "first", now());
    forger.flush();
    foreign.begin_transaction().unwrap();
    foreign.send(BaseRecord::<str, str>::to("mixed.user.v1").payload("theirs")).map_err(|(e, _)| e).unwrap();
    foreign.commit_transaction(limit).unwrap();
    // The partition ends with the marker of the transaction, which is not a record.
    let read = tail(kafka, &scope("mixed", false));
    assert_eq!((verdicts(&read.events), read.tail.is_complete()), (expected(&[("first", Verdict::Confirmed)]), true));
    foreign.begin_transaction().unwrap();
    foreign.send(BaseRecord::<str, str>::to("mixed.user.v1").payload("theirs")).map_err(|(e, _)| e).unwrap();
    foreign.flush(limit).unwrap();
    forger.event("user", "updated", "second", now());
    forger.flush();
    let read = tail(kafka, &scope("mixed", false));
    let both = [("first", Verdict::Confirmed), ("second", Verdict::Confirmed)];
    assert_eq!((verdicts(&read.events), read.tail.is_complete()), (expected(&both), true));
    foreign.abort_transaction(limit).unwrap();
}
