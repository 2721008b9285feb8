//! Tests of the producer's life, against a mock cluster that refuses requests in the ways that librdkafka takes for
//! fatal, or that wear an epoch out.

use std::collections::HashMap;

use idaas_callback::event_type::Entity;
use outbox::verdict::Verdict;
use outbox::{EventHandle, Seq};
use parking_lot::{Condvar, Mutex};
use rdkafka::mocking::MockCluster;
use rdkafka::producer::DefaultProducerContext;
use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};

use super::*;
use crate::kafka::availability::partitions::MAX_PROBES;
use crate::kafka::embedded::mock_cluster;
use crate::kafka::producer::delivery::{Position, Undeliverable};
use crate::kafka::producer::statistics::ProducerStatistics;
use crate::telemetry::application::ApplicationMetrics;
use crate::telemetry::event::TrackedEvent;
use crate::telemetry::metrics::Metrics;

const TOPIC: &str = "life.user.v1";
const PATIENCE: Duration = Duration::from_secs(20);
/// How many records are without a report at most where each must be accepted. On a slow machine a partition can be
/// closed at any time, and then accepts no more than [`MAX_PROBES`].
const FEW: usize = MAX_PROBES / 2;

type Mock = MockCluster<'static, DefaultProducerContext>;

/// Takes reports down: how often each record had one, and how it went.
#[derive(Default)]
struct Book {
    pages: Mutex<Pages>,
    turned: Condvar,
}

#[derive(Default)]
struct Pages {
    reports: HashMap<EventHandle, Vec<DeliveryReport>>,
    recreated: usize,
    problems: Vec<Option<Undeliverable>>,
    clusters: usize,
    recovered: usize,
    waiting: Vec<EventHandle>,
}

impl DeliveryObserver for Book {
    fn report(&self, opaque: DeliveryOpaque, _: &str, report: DeliveryReport, _: Option<Position>) {
        self.pages.lock().reports.entry(opaque.handle).or_default().push(report);
        self.turned.notify_all();
    }

    fn state(&self, _: ProducerStatistics) {}

    fn recreated(&self) {
        self.pages.lock().recreated += 1;
        self.turned.notify_all();
    }

    fn partitions_recovered(&self) {
        self.pages.lock().recovered += 1;
        self.turned.notify_all();
    }

    fn partition_closed(&self, waiting: &[EventHandle]) {
        self.pages.lock().waiting.extend(waiting);
        self.turned.notify_all();
    }

    fn partitions_unavailable(&self, _: &str, _: usize) {}

    fn deliverable(&self, problem: Option<Undeliverable>) {
        self.pages.lock().problems.push(problem);
        self.turned.notify_all();
    }

    fn cluster_replaced(&self) {
        self.pages.lock().clusters += 1;
    }
}

impl Book {
    fn wait(&self, what: &str, mut until: impl FnMut(&Pages) -> bool) {
        let mut pages = self.pages.lock();
        while !until(&pages) {
            let late = self.turned.wait_for(&mut pages, PATIENCE).timed_out();
            assert!(!late, "waited in vain for {what}: {:?}", pages.reports.values().collect::<Vec<_>>());
        }
    }

    fn wait_for_reports(&self, count: usize) {
        self.wait("reports", |pages| pages.reports.values().map(Vec::len).sum::<usize>() >= count);
    }

    fn reported(&self) -> usize {
        self.pages.lock().reports.values().map(Vec::len).sum()
    }

    fn wait_for_recreations(&self, count: usize) {
        self.wait("recreations", |pages| pages.recreated >= count);
    }

    /// Whether every record has exactly one report; and how many of each kind. What was not accepted counts as failed.
    fn counts(&self) -> (usize, usize, usize) {
        let pages = self.pages.lock();
        assert!(pages.reports.values().all(|reports| reports.len() == 1), "{:?}", pages.reports.values());
        let count =
            |kind: fn(&DeliveryReport) -> bool| pages.reports.values().flatten().filter(|report| kind(report)).count();
        (
            count(|report| matches!(report, DeliveryReport::Confirmed)),
            count(|report| matches!(report, DeliveryReport::Failed(_) | DeliveryReport::Closed(_))),
            count(|report| matches!(report, DeliveryReport::Rejected(_))),
        )
    }
}

struct Stage {
    mock: Mock,
    producer: Producer,
    book: Arc<Book>,
    application: Arc<ApplicationMetrics>,
    sent: usize,
}

impl Stage {
    fn new(last_epoch: i64, min_lifetime: Duration) -> Self {
        Self::with_properties(last_epoch, min_lifetime, &[])
    }

    fn with_properties(last_epoch: i64, min_lifetime: Duration, properties: &[(&str, &str)]) -> Self {
        let mock = mock_cluster(1).unwrap();
        mock.create_topic(TOPIC, 1, 1).unwrap();
        let mut cluster = Cluster::plain(&mock.bootstrap_servers());
        for (name, value) in properties {
            cluster.properties.insert((*name).to_owned(), crate::secret::Secret::new((*value).to_owned()));
        }
        let book = Arc::new(Book::default());
        let reports = Arc::clone(&book) as Arc<dyn DeliveryObserver>;
        let producer = Producer::start_with(&cluster, reports, &Arc::default(), last_epoch, min_lifetime).unwrap();
        assert!(producer.warm_up(PATIENCE).is_some());
        let application = Metrics::new().unwrap().application("workforce", 0);
        Self { mock, producer, book, application, sent: 0 }
    }

    /// Hands one more record over; says whether it was accepted. Where not, that is its report.
    fn send(&mut self) -> bool {
        self.sent += 1;
        let handle = EventHandle::new(Seq(self.sent as u64), 0);
        let opaque = DeliveryOpaque {
            handle,
            record: 0,
            entity: Entity::User,
            handed_over: Instant::now(),
            event_time: None,
            event: TrackedEvent::new("evnt_1", Some("user_1"), None, Verdict::Confirmed, TOPIC.into()),
            logged_type: None,
            span: None,
            application: Arc::clone(&self.application),
        };
        let record = Record {
            entity: Entity::User,
            topic: TOPIC.into(),
            key: Some("user_1".to_owned()),
            value: b"{}".to_vec(),
            headers: Vec::new(),
            timestamp: 1_700_000_000_000,
        };
        match self.producer.send(&record, opaque.clone()) {
            Ok(()) => true,
            Err(report) => {
                self.book.report(opaque, TOPIC, report, None);
                false
            }
        }
    }

    /// Hands that many records over, each of which must be accepted.
    fn send_each(&mut self, count: usize) {
        for _ in 0..count {
            let most = self.sent + 1;
            self.book.wait_for_reports(most.saturating_sub(MAX_PROBES));
            assert!(self.send());
        }
    }

    fn refuse(&self, errors: &[RDKafkaRespErr]) {
        self.mock.request_errors(RDKafkaApiKey::Produce, errors);
    }
}

fn goes_on_after(errors: &[RDKafkaRespErr], count: usize) {
    let mut stage = Stage::new(LAST_EPOCH, Duration::ZERO);
    stage.send();
    stage.book.wait_for_reports(1);
    stage.refuse(errors);
    for _ in 0..count {
        stage.send();
    }
    stage.book.wait_for_recreations(1);
    assert_eq!(stage.producer.flush(PATIENCE), 0);
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
    assert_eq!(stage.producer.flush(PATIENCE), 0);
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
    // The one that turned out to have no rights, and the one that has them; none in between was put to use.
    assert_eq!(stage.book.pages.lock().recreated, 2);
    assert!(stage.send());
    stage.book.wait_for_reports(4);
    assert_eq!(stage.book.counts(), (2, 2, 0));
}

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
fn new_settings_lose_no_record_of_the_old_producer() {
    let mut stage = Stage::new(LAST_EPOCH, Duration::ZERO);
    // Until the broker accepts records again, the old producer keeps its records.
    stage.refuse(&[RDKafkaRespErr::RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS; 10_000]);
    stage.send_each(FEW);
    let mut cluster = Cluster::plain(&stage.mock.bootstrap_servers());
    cluster.properties.insert("linger.ms".to_owned(), crate::secret::Secret::new("1".to_owned()));
    stage.producer.replace(&cluster).unwrap();
    assert_eq!(stage.book.reported(), 0);
    stage.send_each(FEW);
    stage.mock.clear_request_errors(RDKafkaApiKey::Produce);
    stage.book.wait_for_reports(2 * FEW);
    assert_eq!(stage.book.counts(), (2 * FEW, 0, 0));
    cluster.properties.insert("linger.ms".to_owned(), crate::secret::Secret::new("nonsense".to_owned()));
    assert!(stage.producer.replace(&cluster).is_err());
    stage.send_each(1);
    stage.book.wait_for_reports(2 * FEW + 1);
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

#[test]
fn a_worn_out_epoch_brings_a_new_producer_and_fails_nothing() {
    let mut stage = Stage::new(0, Duration::from_secs(60));
    // Each such refusal costs an epoch. It comes alone, and is refused again.
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
    assert_eq!(stage.producer.flush(PATIENCE), 0);
}

#[test]
fn flush_waits_for_and_counts_what_travels_alone() {
    let mut stage = Stage::new(LAST_EPOCH, Duration::ZERO);
    stage.refuse(&[RDKafkaRespErr::RD_KAFKA_RESP_ERR_INVALID_RECORD]);
    // The second request, which is that of the record alone, is answered late.
    let hold = RDKafkaRespErr::RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS;
    stage.refuse(&[hold; 200]);
    stage.send();
    assert_eq!(stage.producer.flush(Duration::from_millis(700)), 1);
    stage.mock.clear_request_errors(RDKafkaApiKey::Produce);
    assert_eq!(stage.producer.flush(PATIENCE), 0);
    assert_eq!(stage.book.counts(), (1, 0, 0));
}

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
