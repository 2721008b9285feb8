//! Where things are broken: three Kafka nodes, the bridge as a program, its instance's key endpoint, a consumer that
//! reads along; and what can be done to them. Each fault returns when it is healed, and judges nothing.

mod key_endpoint;
mod service;
mod small_disk;
pub(crate) mod watch;

use std::sync::Arc;
use std::time::{Duration, Instant};

use idaas_callback::jose::jwe::ContentKey;
use idaas_simulator::signing::SigningKey;
use idaas_simulator::tenant_keys::{Identity, TenantKeys};

use super::bridge::ENTITIES;
use super::fault_load::ledger::LedgerSnapshot;
use super::fault_load::published::{Follower, Published};
use super::fault_load::verify::{Report, settle, verify};
use super::fault_load::{Load, Plan};
use super::real_kafka::{Nodes, Options, RealKafka};
use super::records::retry;

pub(crate) use self::key_endpoint::KeyEndpoint;
pub(crate) use self::service::Service;
pub(crate) use self::small_disk::SmallDisk;

const PREFIX: &str = "faults";
const PARTITIONS: i32 = 3;
/// After a load has ended and its faults are healed, what waits anywhere must be on Kafka in this time.
const SETTLED: Duration = Duration::from_secs(90);

/// The whole scene. Dropping it ends everything.
pub(crate) struct Environment {
    pub(crate) service: Service,
    pub(crate) endpoint: KeyEndpoint,
    /// By the key that the bridge has from the beginning, and by the one that it gets late.
    pub(crate) tenant_keys: [Arc<TenantKeys>; 2],
    follower: Follower,
    pub(crate) kafka: RealKafka,
    topics: Vec<String>,
}

impl Environment {
    /// Starts everything. Returns `None` if this machine cannot run Kafka.
    pub(crate) fn start() -> Option<Self> {
        let kafka = RealKafka::start(Nodes::Three, Options::default())?;
        let topics: Vec<_> = ENTITIES.iter().map(|entity| format!("{PREFIX}.{entity}.v1")).collect();
        for topic in &topics {
            // The broker's timestamp shows whether a record existed when its success was reported. Only users'
            // topic is so, because the usual one is to be proven as well.
            let broker_s_time = [("message.timestamp.type", "LogAppendTime")];
            let configs = if topic.ends_with(".user.v1") { &broker_s_time[..] } else { &[] };
            kafka.create_topic(topic, PARTITIONS, 3, configs);
        }
        let tenant_keys = both_tenant_keys();
        let endpoint = KeyEndpoint::start(&tenant_keys[0].jwks().to_string());
        let mut service = Service::new(kafka.bootstrap_servers(), &endpoint.url(), tenant_keys.clone());
        service.start();
        service.until_ready();
        let follower = Follower::start(kafka.bootstrap_servers(), &topics, PARTITIONS);
        Some(Self { service, endpoint, tenant_keys, follower, kafka, topics })
    }

    /// Begins to send by the first key.
    pub(crate) fn load(&self, plan: Plan) -> Load {
        Load::start(plan, self.service.listen, Arc::clone(&self.tenant_keys[0]))
    }

    /// Ends the load, waits for what is still on its way, and judges.
    pub(crate) fn judge(&self, name: &str, load: Load) -> Report {
        let snapshot = load.finish();
        let waited = settle(&snapshot, &self.follower, SETTLED);
        let mut report = self.judge_snapshot(name, &snapshot);
        if waited > Duration::from_secs(1) {
            report.remarks.push(format!("{:.0} s until all was there", waited.as_secs_f64()));
        }
        if let Some(sample) = self.service.watch.sample() {
            report.remarks.push(format!("{} MiB, {} open files", sample.memory / 1024, sample.open_files));
        }
        for metric in ["journal_events", "quarantine_callbacks"] {
            if !self.becomes_empty(metric) {
                report.complaints.push(format!("{metric} is {:?} in the end", self.service.watch.metric(metric)));
            }
        }
        report
    }

    /// Whether what waits is gone soon after it is on Kafka.
    fn becomes_empty(&self, metric: &str) -> bool {
        let began = Instant::now();
        while began.elapsed() < Duration::from_secs(10) {
            if self.service.watch.metric(metric) == Some(0.0) {
                return true;
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        false
    }

    fn judge_snapshot(&self, name: &str, snapshot: &Arc<LedgerSnapshot>) -> Report {
        let published = Published::read(self.kafka.bootstrap_servers(), &self.topics);
        verify(name, snapshot, &published, &self.follower.published())
    }

    /// A broker is lost and comes back: SIGKILL to the leader of a partition, and its start as soon as the others do
    /// without it.
    pub(crate) fn broker_is_killed(&self) {
        let node = self.kafka.leader_of(&self.topics[0], 0);
        self.kafka.kill(node);
        self.in_sync(2);
        self.kafka.restart(node);
        self.in_sync(3);
    }

    /// A broker hangs that long: SIGSTOP to the leader of a partition.
    pub(crate) fn broker_hangs(&self, time: Duration) {
        let node = self.kafka.leader_of(&self.topics[0], 0);
        self.kafka.pause(node);
        std::thread::sleep(time);
        self.kafka.resume(node);
        self.in_sync(3);
    }

    /// Moves the leadership of every partition, while all nodes keep running.
    pub(crate) fn leaders_move(&self) {
        let before = self.kafka.leader_of(&self.topics[0], 0);
        let topics: Vec<_> = self.topics.iter().map(String::as_str).collect();
        self.kafka.move_leaders(&topics[..2], PARTITIONS as usize);
        // A broker may tell the old one for a moment.
        retry(|| match self.kafka.leader_of(&self.topics[0], 0) {
            leader if leader == before => Err("the leader does not move".to_owned()),
            _ => Ok(()),
        });
    }

    /// All brokers are gone for that long, and start again; `meanwhile` runs in the middle.
    pub(crate) fn brokers_are_away(&mut self, time: Duration, meanwhile: impl FnOnce(&mut Self)) {
        let began = Instant::now();
        self.kafka.kill_all();
        std::thread::sleep(time / 2);
        meanwhile(self);
        std::thread::sleep(time.saturating_sub(began.elapsed()));
        self.kafka.restart_all();
        self.in_sync(3);
    }

    /// SIGKILL to the bridge, and its start at once.
    pub(crate) fn bridge_is_killed(&mut self) {
        self.service.kill();
        self.service.start();
    }

    /// SIGTERM to the bridge, and its start as soon as it has ended. Returns the exit code.
    pub(crate) fn bridge_is_replaced(&mut self) -> i32 {
        let code = self.service.terminate();
        self.service.start();
        code
    }

    /// Waits until that many replicas of each partition that the loads are about are in sync.
    pub(crate) fn in_sync(&self, replicas: usize) {
        for topic in &self.topics[..2] {
            for partition in 0..PARTITIONS as usize {
                self.kafka.wait_in_sync(topic, partition, replicas);
            }
        }
    }
}

/// One instance, before and after its encryption key was changed.
fn both_tenant_keys() -> [Arc<TenantKeys>; 2] {
    let identity = Identity::generate();
    let signing = SigningKey::generate("KEYfaults").expect("a key");
    let pem = signing.to_pem();
    [(); 2].map(|()| {
        let signing = SigningKey::from_pem(&pem, "KEYfaults").expect("a key");
        Arc::new(TenantKeys::new(identity.clone(), signing, &ContentKey::generate_hex()).expect("keys"))
    })
}
