//! Records that are sent alone.

use super::*;

#[test]
fn a_policy_violation_is_refused_only_after_it_was_alone() {
    let mut stage = Stage::new(LAST_EPOCH, Duration::ZERO);
    let policy = RDKafkaRespErr::RD_KAFKA_RESP_ERR_POLICY_VIOLATION;
    stage.refuse(&[policy]);
    stage.send();
    stage.book.wait_for_reports(1);
    assert_eq!(stage.book.counts(), (1, 0, 0));
    stage.refuse(&[policy, policy]);
    stage.send();
    stage.book.wait_for_reports(2);
    assert_eq!(stage.book.counts(), (1, 0, 1));
}

#[test]
fn flush_waits_for_and_counts_what_travels_alone() {
    let mut stage = Stage::new(LAST_EPOCH, Duration::ZERO);
    stage.refuse(&[RDKafkaRespErr::RD_KAFKA_RESP_ERR_INVALID_RECORD]);
    // The second request, which contains the record alone, is answered late.
    let hold = RDKafkaRespErr::RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS;
    stage.refuse(&[hold; 200]);
    stage.send();
    assert_eq!(stage.producer.flush(Duration::from_millis(700)), 1);
    stage.mock.clear_request_errors(RDKafkaApiKey::Produce);
    assert_eq!(stage.producer.flush(REPORT_TIMEOUT), 0);
    assert_eq!(stage.book.counts(), (1, 0, 0));
}
