//! Replacing a producer that works.

use super::*;
use crate::kafka::producer::health::ReplaceReason;

#[test]
fn new_settings_lose_no_record_of_the_old_producer() {
    let mut stage = Stage::new(LAST_EPOCH, Duration::ZERO);
    // Until the broker accepts records again, the old producer keeps its records.
    stage.refuse(&[RDKafkaRespErr::RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS; 10_000]);
    stage.send_each(MAX_PENDING);
    let mut cluster = Cluster::plain(&stage.mock.bootstrap_servers());
    cluster.properties.insert("linger.ms".to_owned(), crate::secret::Secret::new("1".to_owned()));
    stage.producer.replace(stage.producer.prepare(cluster.clone()).unwrap());
    assert_eq!(stage.book.reported(), 0);
    stage.send_each(MAX_PENDING);
    stage.mock.clear_request_errors(RDKafkaApiKey::Produce);
    stage.book.wait_for_reports(2 * MAX_PENDING);
    assert_eq!(stage.book.counts(), (2 * MAX_PENDING, 0, 0));
    cluster.properties.insert("linger.ms".to_owned(), crate::secret::Secret::new("nonsense".to_owned()));
    assert!(stage.producer.prepare(cluster).is_err());
    stage.send_each(1);
    stage.book.wait_for_reports(2 * MAX_PENDING + 1);
}

#[test]
fn a_worn_out_epoch_brings_a_new_producer_and_fails_nothing() {
    let mut stage = Stage::new(0, Duration::from_secs(60));
    // Each such rejection increments the epoch. The record is sent alone, and is rejected again.
    stage.refuse(&[RDKafkaRespErr::RD_KAFKA_RESP_ERR_INVALID_RECORD; 2]);
    stage.send();
    stage.book.wait_for_reports(1);
    stage.mock.broker_round_trip_time(1, Duration::from_millis(500)).unwrap();
    while stage.book.pages.lock().recreated == 0 {
        stage.send_each(1);
        std::thread::sleep(Duration::from_millis(10));
    }
    stage.send_each(20);
    stage.book.wait_for_reports(stage.sent);
    assert_eq!(stage.book.counts(), (stage.sent - 1, 0, 1));
    assert_eq!(stage.producer.flush(REPORT_TIMEOUT), 0);
}

#[test]
fn producer_with_outdated_settings_is_not_put_into_use() {
    let stage = Stage::new(LAST_EPOCH, Duration::ZERO);
    let state = &stage.producer.state;
    let old = state.cluster.load_full();
    // The supervisor makes a new producer while the settings change.
    let outdated = state.new_instance(&old).unwrap();
    stage.producer.replace(stage.producer.prepare((*old).clone()).unwrap());
    let number = state.instance.load().health().number();
    assert!(!state.replace_unless_outdated(outdated, &old, ReplaceReason::Fatal));
    assert_eq!(state.instance.load().health().number(), number);
    let (settings, why) = (state.cluster.load_full(), ReplaceReason::Fatal);
    assert!(state.replace_unless_outdated(state.new_instance(&settings).unwrap(), &settings, why));
}
