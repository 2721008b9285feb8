//! What Kafka has not confirmed: on the disk when the answer leaves, published when Kafka is back, whatever happens
//! between.

use std::sync::Arc;

use idaas_simulator::answer::List;
use idaas_simulator::tenant_keys::Identity;
use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};
use serde_json::json;

use super::{assert_all, assert_success, ids, users, without_its_decryption_key};
use crate::support::bridge::{Caller, Setup, TestApplication, tenant_keys};
use crate::support::records::retry;
use crate::support::slow_disk::SlowDisk;

#[test]
fn unconfirmed_events_survive_a_kill_in_order() {
    let mut bridge = Setup::new().deadline(1500).spawn();
    bridge.mock().broker_down(1).unwrap();
    bridge.wait_metric("kafka_available", &[], 0.0);
    let events: Vec<_> = (0..20)
        .map(|number| {
            let mut events = users(20);
            let mut event = events.swap_remove(number);
            event.biz_data["userId"] = json!(format!("user_{}", number % 4));
            event.biz_id = format!("user_{}", number % 4);
            event
        })
        .collect();
    for event in &events {
        assert_all(&bridge.send(std::slice::from_ref(event)), List::Retried, "not_confirmed");
    }
    bridge.wait_metric("journal_events", &[], 20.0);
    bridge.start_again();
    bridge.wait_metric("journal_events", &[], 20.0);
    bridge.mock().broker_up(1).unwrap();
    bridge.wait_metric("journal_events", &[], 0.0);
    let records = bridge.records();
    assert_eq!(records.len(), 20);
    for user in 0..4 {
        let of_user: Vec<_> = events.iter().filter(|event| event.biz_id == format!("user_{user}")).collect();
        let expected: Vec<_> = of_user.iter().map(|event| event.event_id.as_str()).collect();
        let records: Vec<_> = records
            .iter()
            .filter(|record| record.key.as_deref() == Some(format!("user_{user}").as_bytes()))
            .cloned()
            .collect();
        assert_eq!(ids(&records), expected);
    }
    assert_success(&bridge.send(&events));
    assert_eq!(bridge.records().len(), 20, "a redelivery became a second record");
}

#[test]
fn an_outage_is_answered_at_once_and_redeliveries_join() {
    let bridge = Setup::new().deadline(8000).start();
    bridge.wait_metric("kafka_available", &[], 1.0);
    bridge.mock().broker_down(1).unwrap();
    bridge.wait_metric("kafka_available", &[], 0.0);
    let began = std::time::Instant::now();
    assert_all(&bridge.send(&users(5)), List::Retried, "not_confirmed");
    assert_all(&bridge.send(&users(5)), List::Retried, "not_confirmed");
    assert!(began.elapsed() < std::time::Duration::from_secs(8), "the deadline was waited for");
    assert_eq!(bridge.metric("journal_events", &[]), 5.0);
    bridge.mock().broker_up(1).unwrap();
    bridge.wait_metric("journal_events", &[], 0.0);
    assert_success(&bridge.send(&users(5)));
    assert_eq!(bridge.records().len(), 5);
    assert_eq!(bridge.metric("journal_replayed_total", &[]), 5.0);
}

#[test]
fn a_replayed_event_counts_once_despite_failed_attempts() {
    let mut bridge = Setup::new().deadline(600).spawn();
    bridge.wait_metric("kafka_available", &[], 1.0);
    bridge.mock().broker_down(1).unwrap();
    bridge.wait_metric("kafka_available", &[], 0.0);
    assert_all(&bridge.send(&users(30)), List::Retried, "not_confirmed");
    // Each is read back and rejected several times.
    let errors = vec![RDKafkaRespErr::RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED; 1000];
    bridge.mock().request_errors(RDKafkaApiKey::Produce, &errors);
    bridge.start_again();
    bridge.mock().broker_up(1).unwrap();
    bridge.program().wait_for(|line| line["code"] == "record_failed");
    bridge.mock().clear_request_errors(RDKafkaApiKey::Produce);
    bridge.wait_metric("journal_events", &[], 0.0);
    assert_eq!(bridge.records().len(), 30);
    assert_eq!(bridge.metric("journal_replayed_total", &[]), 30.0);
}

#[test]
fn a_quarantine_that_fills_is_reported_before_it_refuses() {
    let (setup, own) = without_its_decryption_key(Setup::new().journal("max_size = \"16MiB\""));
    let mut bridge = setup.spawn();
    let mut events = users(40);
    let mut told = None;
    for event in &mut events {
        let noise: String = std::iter::repeat_with(fastrand::alphanumeric).take(200_000).collect();
        event.biz_data["description"] = noise.into();
        let status = bridge.post(bridge.callback().events(std::slice::from_ref(event)).body().unwrap()).status;
        if told.is_none() && bridge.program().log().contains("quarantine_filling") {
            told = Some(status);
        }
    }
    assert_eq!(told, Some(422), "it is reported while there is space");
    let kept = bridge.metric("quarantine_callbacks", &[]);
    assert!(kept < 40.0 && bridge.metric("journal_refused_total", &[("code", "quarantine_full")]) == 40.0 - kept);
    bridge.program().wait_for(|line| line["code"] == "quarantine_refuses");
    assert!(bridge.reload(|setup| setup.applications[0].decryption_keys.push(own)));
    bridge.wait_metric("quarantine_callbacks", &[], 0.0);
    bridge.program().wait_for(|line| line["code"] == "quarantine_accepts");
    assert_eq!(bridge.records().len() as f64, kept);
}

#[test]
fn a_slow_disk_delays_no_answer_to_an_undecryptable_callback() {
    let disk = SlowDisk::new();
    let (setup, _) = without_its_decryption_key(Setup::new().deadline(1000));
    let setup = disk.environment().into_iter().fold(setup, |setup, (name, value)| setup.environment(name, value));
    let bridge = setup.spawn();
    disk.set_slow(true);
    let began = std::time::Instant::now();
    let reply = bridge.post(bridge.callback().events(&users(1)).body().unwrap());
    // A sync takes ten seconds, and IDaaS waits for ten.
    assert!(began.elapsed() < std::time::Duration::from_secs(9), "answered after {:?}", began.elapsed());
    assert_eq!(reply.status, 503, "{}", reply.text());
    disk.set_slow(false);
    bridge.wait_metric("quarantine_callbacks", &[], 1.0);
}

#[test]
fn a_redriven_event_is_tried_at_once_despite_its_back_off() {
    let bridge = Setup::new().deadline(2000).start();
    // Each attempt is rejected, also that of the dead letter.
    let errors = vec![RDKafkaRespErr::RD_KAFKA_RESP_ERR_POLICY_VIOLATION; 1000];
    bridge.mock().request_errors(RDKafkaApiKey::Produce, &errors);
    let event = &users(1)[0];
    assert_all(&bridge.send(std::slice::from_ref(event)), List::Retried, "not_confirmed");
    let path = format!("/journal/entries/{}", event.event_id);
    let mut retried = 0;
    // By itself, it would be tried as often only after two minutes.
    retry(|| {
        let answer = bridge.ask_admin("POST", &format!("{path}/redrive")).json();
        retried += u32::from(answer["result"] == "retried");
        match bridge.ask_admin("GET", &path).json()["waiting"]["attempts"].as_u64() {
            Some(attempts) if attempts >= 14 => Ok(()),
            attempts => Err(format!("{attempts:?} attempts; {answer}")),
        }
    });
    assert!(retried >= 5, "{retried}");
    bridge.mock().clear_request_errors(RDKafkaApiKey::Produce);
    retry(|| match bridge.ask_admin("POST", &format!("{path}/redrive")).status {
        404 => Ok(()),
        status => Err(format!("answered with {status}")),
    });
    bridge.wait_metric("journal_events", &[], 0.0);
    assert_eq!(bridge.records_of("dead-letter").len(), 1);
}

#[test]
fn a_redrive_during_an_outage_names_the_outage() {
    let bridge = Setup::new().deadline(3000).start();
    bridge.wait_metric("kafka_available", &[], 1.0);
    bridge.mock().broker_down(1).unwrap();
    bridge.wait_metric("kafka_available", &[], 0.0);
    let event = &users(1)[0];
    assert_all(&bridge.send(std::slice::from_ref(event)), List::Retried, "not_confirmed");
    let answer = retry(|| {
        let reply = bridge.ask_admin("POST", &format!("/journal/entries/{}/redrive", event.event_id));
        let answer = reply.json();
        if answer["waiting"].is_object() { Ok(answer) } else { Err(answer.to_string()) }
    });
    assert_eq!(
        (&answer["result"], &answer["waiting"]["reason"]),
        (&json!("tried_by_itself"), &json!("kafka_unavailable"))
    );
    bridge.mock().broker_up(1).unwrap();
    bridge.wait_metric("journal_events", &[], 0.0);
}

#[test]
fn a_full_journal_rejects_until_there_is_space() {
    let mut bridge = Setup::new().deadline(3000).journal("max_size = \"16MiB\"").spawn();
    bridge.wait_metric("kafka_available", &[], 1.0);
    bridge.mock().broker_down(1).unwrap();
    bridge.wait_metric("kafka_available", &[], 0.0);
    let mut events = users(60);
    for event in &mut events {
        // What cannot be compressed.
        let noise: String = std::iter::repeat_with(fastrand::alphanumeric).take(200_000).collect();
        event.biz_data["description"] = noise.into();
    }
    let verdicts: Vec<_> = events.chunks(10).flat_map(|events| bridge.send(events)).collect();
    let coded = |code| verdicts.iter().filter(|(_, (list, told))| *list == List::Retried && told == code).count();
    let (journaled, refused) = (coded("not_confirmed"), coded("overloaded"));
    assert!(journaled >= 10 && refused >= 10 && journaled + refused == 60, "{journaled} were kept, {refused} refused");
    assert_eq!(bridge.metric("journal_events", &[]), journaled as f64);
    assert_eq!((bridge.admin("/livez").status, bridge.admin("/readyz").status), (200, 200));
    bridge.mock().broker_up(1).unwrap();
    bridge.wait_metric("journal_events", &[], 0.0);
    // The log says so before the next event has to be kept.
    bridge.program().wait_for(|line| line["code"] == "journal_accepts");
    // As IDaaS does: all of them again.
    events.chunks(10).for_each(|events| assert_success(&bridge.send(events)));
    assert_eq!(bridge.records().len(), 60);
    bridge.mock().broker_down(1).unwrap();
    bridge.wait_metric("kafka_available", &[], 0.0);
    let mut later = users(61).split_off(60);
    later[0].event_id.push_str("-later");
    assert_all(&bridge.send(&later), List::Retried, "not_confirmed");
    let log = bridge.program().log();
    let said = |code: &str| log.matches(code).count();
    assert_eq!((said("journal_refuses"), said("journal_accepts")), (1, 1), "{log}");
}

#[test]
fn undecryptable_callback_is_published_after_key_is_added() {
    let (setup, own) = without_its_decryption_key(Setup::new());
    let mut bridge = setup.start();
    let sealed = bridge.callback().events(&users(3)).body().unwrap();
    assert_eq!(bridge.post(&sealed).status, 422);
    assert_eq!(bridge.post(&sealed).status, 422);
    bridge.wait_metric("quarantine_callbacks", &[], 1.0);
    bridge.has_published_nothing();
    assert!(bridge.reload(|setup| setup.applications[0].decryption_keys.push(own)));
    bridge.wait_metric("quarantine_callbacks", &[], 0.0);
    assert_eq!(bridge.records().len(), 3);
    assert_success(&bridge.send(&users(3)));
    assert_eq!(bridge.records().len(), 3);
}

#[test]
fn quarantine_follows_the_id_of_the_application() {
    let (setup, own) = without_its_decryption_key(Setup::new());
    let mut bridge = setup.start();
    assert_eq!(bridge.post(bridge.callback().events(&users(1)).body().unwrap()).status, 422);
    bridge.wait_metric("quarantine_callbacks", &[], 1.0);
    let quarantined = bridge.ask_admin("GET", "/journal").json()["quarantine"][0]["id"].as_str().unwrap().to_owned();
    let redrive = |caller: &Caller| caller.ask_admin("POST", &format!("/quarantine/{quarantined}/redrive")).json();

    let workforce = bridge.applications[0].clone();
    let identity = workforce.tenant_keys.identity.clone();
    let other = TestApplication::of(Arc::new(tenant_keys(Identity { application_id: "app_other".into(), ..identity })));
    let with_key = |application: TestApplication| TestApplication { decryption_keys: vec![own.clone()], ..application };
    assert!(bridge.reload(|setup| setup.applications = vec![with_key(other)]));
    assert_eq!(redrive(&bridge)["result"], "not_configured", "the name alone does not count");
    assert!(bridge.reload(|setup| setup.applications = vec![with_key(workforce.named_anew("staff"))]));
    bridge.wait_metric("quarantine_callbacks", &[], 0.0);
    assert_eq!(bridge.records().len(), 1);
}

#[test]
fn undecryptable_redeliveries_are_published_once() {
    let (setup, own) = without_its_decryption_key(Setup::new());
    let mut bridge = setup.start();
    let events = users(180);
    // IDaaS encrypts each delivery with another nonce, so each is another content.
    for _ in 0..6 {
        for event in &events {
            let body = bridge.callback().events(std::slice::from_ref(event)).body().unwrap();
            assert_eq!(bridge.post(&body).status, 422);
        }
    }
    bridge.wait_metric("quarantine_callbacks", &[], 1080.0);
    assert!(bridge.metric("quarantine_bytes", &[]) < bridge.metric("quarantine_limit_bytes", &[]));
    bridge.has_published_nothing();
    assert!(bridge.reload(|setup| setup.applications[0].decryption_keys.push(own)));
    bridge.wait_metric("quarantine_callbacks", &[], 0.0);
    let expected: Vec<_> = events.iter().map(|event| event.event_id.as_str()).collect();
    let records = bridge.records();
    let mut published = ids(&records);
    published.sort_unstable();
    let mut sorted = expected.clone();
    sorted.sort_unstable();
    assert_eq!(published, sorted);
    assert_eq!(bridge.metric("quarantine_bytes", &[]), 0.0);
}

#[test]
fn an_entity_s_events_leave_the_quarantine_in_their_order() {
    let (setup, own) = without_its_decryption_key(Setup::new());
    let mut bridge = setup.start();
    let mut events = users(100);
    for event in &mut events {
        event.biz_data["userId"] = json!("user_one");
        event.biz_id = "user_one".to_owned();
        let body = bridge.callback().events(std::slice::from_ref(event)).body().unwrap();
        assert_eq!(bridge.post(&body).status, 422);
    }
    assert!(bridge.reload(|setup| setup.applications[0].decryption_keys.push(own)));
    bridge.wait_metric("quarantine_callbacks", &[], 0.0);
    let expected: Vec<_> = events.iter().map(|event| event.event_id.as_str()).collect();
    assert_eq!(ids(&bridge.records()), expected);
}

#[test]
fn quarantine_can_be_managed_over_the_admin_listener() {
    let (setup, own) = without_its_decryption_key(Setup::new());
    let mut bridge = setup.start();
    for seed in 0..2 {
        let event = users(2).swap_remove(seed);
        let body = bridge.callback().events(std::slice::from_ref(&event)).body().unwrap();
        assert_eq!(bridge.post(&body).status, 422);
    }
    let summary = bridge.ask_admin("GET", "/journal").json();
    assert_eq!(summary["quarantineCallbacks"], 2, "{summary}");
    let (first, second) =
        (summary["quarantine"][0]["id"].as_str().unwrap(), summary["quarantine"][1]["id"].as_str().unwrap());
    let shown = bridge.ask_admin("GET", &format!("/quarantine/{first}"));
    assert_eq!((shown.status, shown.json()["reason"].as_str()), (200, Some("undecryptable")));
    let redrive = format!("/quarantine/{first}/redrive");
    let tried = bridge.ask_admin("POST", &redrive);
    assert_eq!((tried.status, tried.json()["result"].as_str()), (409, Some("still_unreadable")));
    assert_eq!(bridge.ask_admin("DELETE", &format!("/quarantine/{second}")).status, 200);
    assert_eq!(bridge.ask_admin("DELETE", &format!("/quarantine/{second}")).status, 404);
    assert!(bridge.reload(|setup| setup.applications[0].decryption_keys.push(own)));
    bridge.wait_metric("quarantine_callbacks", &[], 0.0);
    assert_eq!(bridge.ask_admin("POST", &redrive).status, 404);
    assert_eq!(bridge.records().len(), 1);
}
