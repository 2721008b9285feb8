//! Tests of the producer against a mock cluster that rejects requests in the ways that librdkafka considers fatal, or
//! that exhaust an epoch. This file holds what they share.

mod recovery;
mod replacement;
mod resend;
mod shutdown;

use std::collections::HashMap;

use idaas_callback::event_type::Entity;
use idaas_callback::headers::Headers;
use outbox::verdict::Verdict;
use outbox::{EventHandle, Seq};
use parking_lot::{Condvar, Mutex};
use rdkafka::mocking::MockCluster;
use rdkafka::producer::DefaultProducerContext;
use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};

use super::*;
use crate::kafka::availability::acceptance::Undeliverable;
use crate::kafka::availability::partitions::MAX_PROBES;
use crate::kafka::embedded::mock_cluster;
use crate::kafka::producer::delivery::Position;
use crate::telemetry::application::ApplicationMetrics;
use crate::telemetry::event::TrackedEvent;
use crate::telemetry::kafka::ProducerStatistics;
use crate::telemetry::metrics::Metrics;

const TOPIC: &str = "life.user.v1";
const REPORT_TIMEOUT: Duration = Duration::from_secs(20);
/// Maximum number of records without a report while each record must be accepted. On a slow machine a partition can
/// be closed at any time, and then accepts no more than [`MAX_PROBES`].
const MAX_PENDING: usize = MAX_PROBES / 2;

type Mock = MockCluster<'static, DefaultProducerContext>;

/// Records the reports: their number per record, and their results.
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
    fn report(&self, tag: DeliveryTag, _: &str, (report, _): (DeliveryReport, Option<Position>), _: Instant) {
        self.pages.lock().reports.entry(tag.handle).or_default().push(report);
        self.turned.notify_all();
    }

    fn statistics(&self, _: ProducerStatistics) {}

    fn producer_recreated(&self) {
        self.pages.lock().recreated += 1;
        self.turned.notify_all();
    }

    fn partitions_available(&self) {
        self.pages.lock().recovered += 1;
        self.turned.notify_all();
    }

    fn may_have_recovered(&self) {}

    fn partition_closed(&self, waiting: &[EventHandle]) {
        self.pages.lock().waiting.extend(waiting);
        self.turned.notify_all();
    }

    fn partitions_unavailable(&self, _: &str, _: usize) {}

    fn deliverability_changed(&self, problem: Option<Undeliverable>) {
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
            let late = self.turned.wait_for(&mut pages, REPORT_TIMEOUT).timed_out();
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

    /// Returns true if every record has exactly one report, and the number of each kind. Records that were not
    /// accepted count as failed.
    fn counts(&self) -> (usize, usize, usize) {
        let pages = self.pages.lock();
        assert!(pages.reports.values().all(|reports| reports.len() == 1), "{:?}", pages.reports.values());
        let count =
            |kind: fn(&DeliveryReport) -> bool| pages.reports.values().flatten().filter(|report| kind(report)).count();
        (
            count(|report| matches!(report, DeliveryReport::Confirmed)),
            count(|report| matches!(report, DeliveryReport::Failed(_) | DeliveryReport::NotSent(_))),
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
        assert!(producer.warm_up(REPORT_TIMEOUT).is_some());
        let application = Metrics::new().unwrap().application("workforce", 0);
        Self { mock, producer, book, application, sent: 0 }
    }

    /// Hands over one more record. Returns true if it was accepted; otherwise the error counts as its report.
    fn send(&mut self) -> bool {
        self.sent += 1;
        match self.hand_over() {
            Ok(()) => true,
            Err(report) => {
                self.book.report(self.tag(), TOPIC, (report, None), Instant::now());
                false
            }
        }
    }

    fn tag(&self) -> DeliveryTag {
        let handle = EventHandle::new(Seq(self.sent as u64), 0);
        DeliveryTag {
            handle,
            record: 0,
            entity: Entity::User,
            handed_over: Instant::now(),
            event_time: None,
            event: TrackedEvent::new("evnt_1", Some("user_1"), None, Verdict::Confirmed, TOPIC.into()),
            logged_type: None,
            span: None,
            application: Arc::clone(&self.application),
        }
    }

    fn hand_over(&self) -> Result<(), DeliveryReport> {
        let record = Record {
            entity: Entity::User,
            topic: TOPIC.into(),
            key: Some("user_1".to_owned()),
            value: b"{}".to_vec(),
            headers: Headers::default(),
            timestamp: 1_700_000_000_000,
        };
        self.producer.send(&record, self.tag())
    }

    /// Hands over this many records, each of which must be accepted, at the latest when its partition is tried again.
    fn send_each(&mut self, count: usize) {
        for _ in 0..count {
            self.sent += 1;
            self.book.wait_for_reports(self.sent.saturating_sub(MAX_PROBES));
            let end = Instant::now() + REPORT_TIMEOUT;
            while let Err(report) = self.hand_over() {
                assert!(matches!(report, DeliveryReport::NotSent(_)) && Instant::now() < end, "{report:?}");
                std::thread::yield_now();
            }
        }
    }

    fn refuse(&self, errors: &[RDKafkaRespErr]) {
        self.mock.request_errors(RDKafkaApiKey::Produce, errors);
    }
}
