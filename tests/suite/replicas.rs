//! Two replicas behind a load balancer that picks one at random, and Kafka or one partition away for a while: every
//! event is in several journals, and is published once, in order.
//!
//! `BRIDGE_REPLICAS=long` runs 3,000 events of 300 entities over 40 seconds; otherwise it is less of each.
//! `BRIDGE_HAPROXY=haproxy` puts that program in front of the replicas.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use idaas_simulator::events::{Event, Generator};
use idaas_simulator::kind::Kind;
use idaas_simulator::sender::now_ms;
use parking_lot::Mutex;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::bridge::{Caller, ENTITIES, Setup, TestApplication, TestBridge};
use crate::support::real_kafka::{Nodes, Options, RealKafka, free_ports};
use crate::support::records::retry;

/// When IDaaS sends an event again.
const AGAIN: [u64; 5] = [1, 5, 10, 10, 10];

/// IDaaS waits that long for an answer.
const IDAAS_WAITS: Duration = Duration::from_secs(10);

/// What accepts no records for a while.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Away {
    Cluster,
    /// The only partition of the topic of users. Its cluster has two more nodes.
    Partition,
}

struct Scale {
    events: usize,
    entities: usize,
    outage: Duration,
}

fn scale(away: Away) -> Scale {
    let long = std::env::var_os("BRIDGE_REPLICAS").is_some_and(|scale| scale == "long");
    if long {
        Scale { events: 3000, entities: 300, outage: Duration::from_secs(40) }
    } else {
        let seconds = if away == Away::Cluster { 15 } else { 26 };
        Scale { events: 900, entities: 150, outage: Duration::from_secs(seconds) }
    }
}

/// Starts a cluster with the topics that the replicas do not create.
fn cluster(away: Away, prefix: &str) -> Option<RealKafka> {
    if away == Away::Cluster {
        let kafka = RealKafka::start(Nodes::One, Options::default())?;
        kafka.create_topic(&format!("{prefix}.credential.v1"), 1, 1, &[]);
        return Some(kafka);
    }
    let kafka = RealKafka::start(Nodes::Three, Options::default().fast_failover())?;
    for name in ENTITIES.into_iter().filter(|name| *name != "user").chain(["replicas"]) {
        kafka.create_topic(&format!("{prefix}.{name}.v1"), 1, 3, &[]);
    }
    kafka.create_topic(&format!("{prefix}.user.v1"), 1, 1, &[]);
    Some(kafka)
}

/// One answer to one delivery of an event.
struct Answer {
    event: usize,
    replica: usize,
    at: Instant,
    is_success: bool,
}

#[derive(Debug)]
struct Report {
    events: usize,
    lost: usize,
    duplicates: usize,
    /// Entities of which one replica had all events when Kafka came back.
    whole_entities: usize,
    inversions_in_whole_entities: usize,
    inversions: usize,
}

fn replicas(kafka: &RealKafka, prefix: &str) -> [TestBridge; 2] {
    let ports = free_ports(2);
    let start = |port: u16| {
        let listen: &'static str = Box::leak(format!("127.0.0.1:{port}").into_boxed_str());
        Setup::of(vec![TestApplication::workforce().prefix(prefix)])
            .listen(listen)
            .kafka(kafka.bootstrap_servers())
            .topics(format!("prefix = {prefix:?}\ncreate = true\npartitions = 3\nreplication_factor = 1"))
            .spawn()
    };
    let both = [start(ports[0]), start(ports[1])];
    for bridge in &both {
        bridge.wait_metric("replicas", &[], 2.0);
    }
    both
}

/// HAProxy in front of two replicas, if requested. It picks one at random and names it in the answer.
struct Balancer {
    process: std::process::Child,
    address: SocketAddr,
    _directory: tempfile::TempDir,
}

impl Balancer {
    fn start(replicas: &[Arc<Caller>; 2]) -> Option<Self> {
        let program = std::env::var_os("BRIDGE_HAPROXY")?;
        let directory = tempfile::tempdir().unwrap();
        let address = SocketAddr::from(([127, 0, 0, 1], free_ports(1)[0]));
        let [one, two] = replicas.each_ref().map(|replica| replica.listen);
        let configuration = format!(
            "defaults\n mode http\n timeout connect 1s\n timeout client 30s\n timeout server 30s\n\
             frontend f\n bind {address}\n default_backend b\n\
             backend b\n balance random\n http-response set-header x-replica %s\n\
             server 0 {one}\n server 1 {two}\n"
        );
        let file = directory.path().join("haproxy.cfg");
        std::fs::write(&file, configuration).unwrap();
        let process = std::process::Command::new(program).arg("-db").arg("-f").arg(&file).spawn().unwrap();
        retry(|| std::net::TcpStream::connect(address).map_err(|error| error.to_string()));
        Some(Self { process, address, _directory: directory })
    }
}

impl Drop for Balancer {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Posts one event. Returns the replica that a balancer names, and whether the answer is a success; `None` if the event
/// is not accepted.
async fn post(to: SocketAddr, path: &str, body: String) -> Option<(Option<usize>, bool)> {
    let exchange = async {
        let mut stream = TcpStream::connect(to).await.ok()?;
        let head = format!(
            "POST {path} HTTP/1.1\r\nHost: bridge\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
            body.len()
        );
        stream.write_all(head.as_bytes()).await.ok()?;
        stream.write_all(body.as_bytes()).await.ok()?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.ok()?;
        let text = String::from_utf8(answer).ok()?;
        let (head, body) = text.split_once("\r\n\r\n")?;
        let answer: Value = serde_json::from_str(body).ok().filter(|_| head.contains(" 200 "))?;
        let has = |list: &str| answer[list].as_array().is_some_and(|events| !events.is_empty());
        let journaled = answer["retriedEvents"][0]["eventCode"] == "not_confirmed";
        assert!(!has("failedEvents"), "{answer}");
        let named = head.lines().find_map(|line| line.strip_prefix("x-replica: ")?.parse().ok());
        (has("successEvents") || journaled).then(|| (named, has("successEvents")))
    };
    tokio::time::timeout(IDAAS_WAITS, exchange).await.ok().flatten()
}

/// Where events go.
struct To {
    callers: [Arc<Caller>; 2],
    balancer: Option<SocketAddr>,
}

/// Sends an event until it is a success, as often as IDaaS does, each time to one of the replicas.
async fn send(event: Event, number: usize, to: Arc<To>, answers: Arc<Mutex<Vec<Answer>>>) {
    for wait in AGAIN.into_iter().map(Some).chain([None]) {
        let picked = fastrand::usize(..2);
        let caller = &to.callers[picked];
        let body = caller.callback().events(std::slice::from_ref(&event)).body().unwrap();
        let answer = post(to.balancer.unwrap_or(caller.listen), &caller.path(), body).await;
        if let Some((named, is_success)) = answer {
            let replica = named.unwrap_or(picked);
            answers.lock().push(Answer { event: number, replica, at: Instant::now(), is_success });
        }
        match (answer, wait) {
            (Some((_, true)), _) | (_, None) => return,
            (_, Some(wait)) => tokio::time::sleep(Duration::from_secs(wait)).await,
        }
    }
}

fn event(number: usize, entities: usize) -> Event {
    let entity = format!("user_{}", number % entities);
    let mut event = Generator::new(5).event(&Kind::UserUpdateInfo.into(), number as u64, now_ms());
    event.event_id = format!("evnt_{number}");
    event.biz_data["userId"] = Value::from(entity.clone());
    event.biz_id = entity;
    event
}

/// Takes Kafka or the partition away while events come in, and judges what is published in the end.
fn outage(away: Away, prefix: &str, during_replay: impl FnOnce(&mut [TestBridge; 2])) -> Report {
    let Scale { events, entities, outage } = scale(away);
    let Some(kafka) = cluster(away, prefix) else {
        return Report {
            events,
            lost: 0,
            duplicates: 0,
            whole_entities: 1,
            inversions_in_whole_entities: 0,
            inversions: 0,
        };
    };
    let mut bridges = replicas(&kafka, prefix);
    let callers = [Arc::clone(&bridges[0]), Arc::clone(&bridges[1])];
    let balancer = Balancer::start(&callers);
    let to = Arc::new(To { callers, balancer: balancer.as_ref().map(|balancer| balancer.address) });
    let answers: Arc<Mutex<Vec<Answer>>> = Arc::default();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    // Events come from a second before the outage until two seconds before its end.
    let pause = (outage - Duration::from_secs(1)) / u32::try_from(events).unwrap();
    let sent = Arc::clone(&answers);
    let sending = runtime.spawn(async move {
        let mut ticks = tokio::time::interval(pause);
        let mut tasks = tokio::task::JoinSet::new();
        for number in 0..events {
            ticks.tick().await;
            tasks.spawn(send(event(number, entities), number, Arc::clone(&to), Arc::clone(&sent)));
        }
        tasks.join_all().await;
    });
    std::thread::sleep(Duration::from_secs(1));
    let killed = Instant::now();
    let node = if away == Away::Cluster { 1 } else { kafka.leader_of(&format!("{prefix}.user.v1"), 0) };
    kafka.kill(node);
    std::thread::sleep(outage);
    // On a slow machine, sending all events takes longer than the outage.
    retry(|| {
        let accepted: BTreeSet<usize> = answers.lock().iter().map(|answer| answer.event).collect();
        if accepted.len() == events {
            Ok(())
        } else {
            Err(format!("{} of {events} events are accepted", accepted.len()))
        }
    });
    if away == Away::Partition {
        bridges.iter().for_each(|bridge| bridge.wait_metric("kafka_available", &[], 1.0));
    }
    let returned = Instant::now();
    kafka.restart(node);
    during_replay(&mut bridges);
    runtime.block_on(sending).unwrap();
    for bridge in &bridges {
        bridge.wait_metric("journal_events", &[], 0.0);
        bridge.wait_metric("lanes_held", &[], 0.0);
    }
    let answers = answers.lock();
    judge(&bridges[0], &answers, events, entities, killed, returned)
}

fn judge(
    bridge: &TestBridge,
    answers: &[Answer],
    events: usize,
    entities: usize,
    killed: Instant,
    returned: Instant,
) -> Report {
    let mut first: HashMap<usize, (i32, i64)> = HashMap::new();
    let mut records = 0;
    for record in bridge.records_of("user") {
        let number = record.header("ce_id").unwrap().strip_prefix("evnt_").unwrap().parse().unwrap();
        records += 1;
        let position = (record.partition, record.offset);
        first.entry(number).and_modify(|first| *first = position.min(*first)).or_insert(position);
    }
    let accepted: BTreeSet<usize> = answers.iter().map(|answer| answer.event).collect();
    assert_eq!(accepted.len(), events, "an event was never accepted");
    // Whoever had an event when Kafka came back; both, if it was published before.
    let mut had: BTreeMap<usize, BTreeSet<usize>> = BTreeMap::new();
    for answer in answers {
        if answer.is_success && answer.at < killed {
            had.entry(answer.event).or_default().extend([0, 1]);
        } else if answer.at < returned {
            had.entry(answer.event).or_default().insert(answer.replica);
        }
    }
    let mut report = Report {
        events,
        lost: accepted.iter().filter(|event| !first.contains_key(event)).count(),
        duplicates: records - first.len(),
        whole_entities: 0,
        inversions_in_whole_entities: 0,
        inversions: 0,
    };
    for entity in 0..entities {
        let numbers: Vec<usize> = (entity..events).step_by(entities).collect();
        let is_whole = (0..2).any(|replica| {
            numbers.iter().all(|number| had.get(number).is_some_and(|replicas| replicas.contains(&replica)))
        });
        let places: Vec<_> = numbers.iter().filter_map(|number| first.get(number)).collect();
        let inversions = places.windows(2).filter(|pair| pair[0] > pair[1]).count();
        report.inversions += inversions;
        if is_whole {
            report.whole_entities += 1;
            report.inversions_in_whole_entities += inversions;
        }
    }
    report
}

fn assert_good(report: &Report, bridge: &str) {
    show(report, bridge);
    assert_eq!(report.lost, 0, "{report:?}");
    assert!(report.duplicates * 100 <= report.events, "{report:?}");
    assert!(report.whole_entities > 0, "{report:?}");
    assert_eq!(report.inversions_in_whole_entities, 0, "{report:?}");
}

/// For whoever runs it by hand.
fn show(report: &Report, bridge: &str) {
    use std::io::Write;
    let _ = writeln!(std::io::stderr(), "{bridge}: {report:?}");
}

#[test]
fn outage_with_two_replicas_publishes_once_and_in_order() {
    assert_good(&outage(Away::Cluster, "twins", |_| {}), "two replicas");
}

/// Records that each producer can hold of a partition that accepts none. Both replicas can have the same events there.
const HELD_BY_PRODUCERS: usize = 2 * 16;

#[test]
fn partition_outage_with_two_replicas_repeats_little() {
    let report = outage(Away::Partition, "leaderless", |_| {});
    show(&report, "a partition");
    assert_eq!(report.lost, 0, "{report:?}");
    assert!(report.duplicates <= HELD_BY_PRODUCERS, "{report:?}");
}

#[test]
fn replica_killed_during_the_replay_changes_no_order() {
    let report = outage(Away::Cluster, "orphan", |bridges| {
        // A replay of some hundred events takes a moment, and the kill has to be in it.
        retry(|| match bridges[0].metric("journal_replayed_total", &[]) {
            replayed if replayed > 0.0 => Ok(()),
            _ => Err("nothing is replayed yet".to_owned()),
        });
        assert!(bridges[0].metric("journal_events", &[]) > 0.0, "the replay is over");
        bridges[0].program().kill();
        std::thread::sleep(Duration::from_secs(2));
        bridges[0].start_again();
    });
    assert_good(&report, "one killed");
}
