//! The producer after fatal errors and without rights.

use super::*;

fn goes_on_after(errors: &[RDKafkaRespErr], count: usize) {
    let mut stage = Stage::new(LAST_EPOCH, Duration::ZERO);
    stage.send();
    stage.book.wait_for_reports(1);
    stage.refuse(errors);
    for _ in 0..count {
        stage.send();
    }
    stage.book.wait_for_recreations(1);
    assert_eq!(stage.producer.flush(REPORT_TIMEOUT), 0);
    let (_, failed, _) = stage.book.counts();
    assert!(failed > 0, "nothing was fatal");
    stage.send_each(50);
    stage.book.wait_for_reports(stage.sent);
    assert_eq!(stage.book.counts(), (stage.sent - failed, failed, 0), "the new producer does not work");
    assert_eq!(stage.book.pages.lock().recreated, 1);
}

#[test]
fn an_unknown_sequence_recovers_with_one_report_per_record() {
    goes_on_after(&[RDKafkaRespErr::RD_KAFKA_RESP_ERR_OUT_OF_ORDER_SEQUENCE_NUMBER], 50);
}

#[test]
fn an_unknown_producer_id_during_a_retry_recovers() {
    let errors = [
        RDKafkaRespErr::RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS_AFTER_APPEND,
        RDKafkaRespErr::RD_KAFKA_RESP_ERR_UNKNOWN_PRODUCER_ID,
    ];
    goes_on_after(&errors, 1);
}

#[test]
fn fatal_errors_one_after_the_other_are_outlived_as_well() {
    let mut stage = Stage::new(LAST_EPOCH, Duration::ZERO);
    for round in 1..=3 {
        stage.refuse(&[RDKafkaRespErr::RD_KAFKA_RESP_ERR_OUT_OF_ORDER_SEQUENCE_NUMBER]);
        (0..20).for_each(|_| {
            stage.send();
        });
        stage.book.wait_for_recreations(round);
    }
    assert_eq!(stage.producer.flush(REPORT_TIMEOUT), 0);
    let before = stage.book.counts().0;
    stage.send_each(20);
    stage.book.wait_for_reports(80);
    assert_eq!(stage.book.counts().0, before + 20);
}

#[test]
fn a_user_without_rights_is_told_and_recovers_when_granted() {
    let mut stage = Stage::new(LAST_EPOCH, Duration::from_millis(300));
    stage.send();
    stage.book.wait_for_reports(1);
    let refusals = [RDKafkaRespErr::RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED; 3];
    stage.mock.request_errors(RDKafkaApiKey::InitProducerId, &refusals);
    stage.refuse(&[RDKafkaRespErr::RD_KAFKA_RESP_ERR_OUT_OF_ORDER_SEQUENCE_NUMBER]);
    stage.send();
    let denied = Some(Undeliverable::NotAuthorized);
    stage.book.wait("the reason", |pages| pages.problems.last() == Some(&denied));
    assert!(!stage.producer.accepts(TOPIC, Some("user_1")));
    assert!(!stage.send(), "it was given to a producer that may not publish");
    stage.book.wait("the grant", |pages| pages.problems.last() == Some(&None));
    // The producer that turned out to have no rights, and the one that has them. None in between was used.
    assert_eq!(stage.book.pages.lock().recreated, 2);
    assert!(stage.send());
    stage.book.wait_for_reports(4);
    assert_eq!(stage.book.counts(), (2, 2, 0));
}

#[test]
fn a_silent_partition_reopens_with_its_first_confirmation() {
    let mut stage = Stage::new(LAST_EPOCH, Duration::ZERO);
    stage.send();
    stage.book.wait_for_reports(1);
    stage.mock.broker_down(1).unwrap();
    assert!(stage.send());
    stage.book.wait("the closed partition", |pages| !pages.waiting.is_empty());
    assert!(!stage.producer.accepts(TOPIC, Some("user_1")));
    stage.mock.broker_up(1).unwrap();
    stage.book.wait("the open partition", |pages| pages.recovered > 0);
    assert!(stage.producer.accepts(TOPIC, Some("user_1")));
    assert_eq!(stage.book.counts(), (2, 0, 0));
}
