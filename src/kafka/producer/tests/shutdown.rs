//! The shutdown of the producer.

use super::*;

#[test]
fn what_is_with_the_producer_at_its_end_has_failed() {
    let mut stage = Stage::new(LAST_EPOCH, Duration::ZERO);
    stage.mock.broker_down(1).unwrap();
    (0..10).for_each(|_| assert!(stage.send()));
    assert_eq!(stage.producer.flush(Duration::from_millis(100)), 10);
    let Stage { producer, book, mock: _mock, .. } = stage;
    drop(producer);
    assert_eq!(book.counts(), (0, 10, 0));
}

#[test]
fn shutdown_reports_every_record_of_old_producers() {
    let mut stage = Stage::new(LAST_EPOCH, Duration::ZERO);
    stage.send();
    stage.book.wait_for_reports(1);
    stage.refuse(&[RDKafkaRespErr::RD_KAFKA_RESP_ERR_OUT_OF_ORDER_SEQUENCE_NUMBER]);
    (0..200).for_each(|_| {
        stage.send();
    });
    let Stage { producer, book, sent, mock: _mock, .. } = stage;
    drop(producer);
    book.wait_for_reports(sent);
    book.counts();
}
