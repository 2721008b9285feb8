//! What the journal costs: `cargo bench --bench journal`. Figures of the disk that holds the temporary directory.

#![allow(clippy::expect_used, clippy::panic, clippy::print_stderr, reason = "a benchmark fails by panicking")]
#![allow(missing_docs, reason = "a program")]

use std::sync::{Arc, Mutex, mpsc};
use std::time::{Duration, Instant};

use idaas_bridge::journal::store::{Batch, Opened, Store};
use idaas_bridge::journal::{Entry, Journal, JournalEvents, JournalRejection};
use idaas_callback::event_type::Entity;
use idaas_callback::headers::{HeaderName, Headers};
use idaas_callback::jose::jwe::ContentKey;
use idaas_callback::record::Record;
use idaas_callback::{DeadLetterSource, StoredOriginal};
use outbox::verdict::Verdict;
use outbox::{EventKey, LaneKey, Seq};

/// As in the program.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

const ROOM: u64 = 16 << 30;

/// Bytes that cannot be compressed, where real ones can by half.
fn noise(seed: u64, size: usize) -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(seed);
    (0..size).map(|_| random.u8(..)).collect()
}

/// An entry whose record and event have half of `size` bytes each.
fn entry(seq: u64, size: usize) -> Entry {
    let (id, user) = (format!("evnt_{seq:030}"), format!("user_{:026}", seq % 1000));
    let kept = StoredOriginal {
        instance_id: "idaas_ue2jvisn35ea5lmthk267xxxx".to_owned(),
        application_id: "app_mkv7rgt4d7i4u7zqtzev2mxxxx".to_owned(),
        ali_uid: None,
        event_version: Some("V1.0.0".to_owned()),
        event: format!(r#"{{"eventId":"{id}","bizData":"{}"}}"#, "x".repeat(size / 2)),
        received_at: 1_000_000,
        generated_id: "3f2504e0-4f89-11d3-9a0c-0305e82c3301".to_owned(),
    };
    Entry {
        seq: Seq(seq),
        key: EventKey::of("app_x", &id),
        lane: LaneKey::of("idaas.user.v1", &user),
        event_id: id,
        id_provided: true,
        application: "workforce".to_owned(),
        received_at: 1_000_000,
        event_time: None,
        verdict: Verdict::Confirmed,
        record: Record {
            entity: Entity::User,
            topic: "idaas.user.v1".into(),
            key: Some(user),
            value: noise(seq, size / 2),
            headers: Headers::from_iter([
                (HeaderName::ContentType, "application/json"),
                (HeaderName::Source, "/idaas/idaas_ue2jvisn35ea5lmthk267xxxx/app_mkv7rgt4d7i4u7zqtzev2mxxxx"),
                (HeaderName::Type, "com.alibabacloud.idaas.user.updated.v1"),
            ]),
            timestamp: 1_000_000,
        },
        credential: None,
        dead_letter_source: DeadLetterSource::from_stored(kept),
    }
}

fn keys() -> Vec<Arc<ContentKey>> {
    vec![Arc::new(ContentKey::from_hex(&"ab".repeat(32)).expect("a key"))]
}

fn open(directory: &tempfile::TempDir) -> Opened {
    Store::open(directory.path(), &keys(), ROOM).unwrap_or_else(|fault| panic!("{fault}"))
}

fn report(what: &str, count: u64, took: Duration) {
    eprintln!(
        "{what:<52} {:>10.0}/s {:>9.2} µs each",
        count as f64 / took.as_secs_f64(),
        took.as_secs_f64() * 1e6 / count as f64
    );
}

fn encoding() {
    let entries: Vec<_> = (0..1000).map(|seq| entry(seq, 2000)).collect();
    let key = keys().remove(0);
    let mut sealer = idaas_callback::jose::seal::Sealer::new(key);
    let (mut clear, mut sealed) = (Vec::new(), Vec::new());
    let began = Instant::now();
    for _ in 0..100 {
        for entry in &entries {
            clear.clear();
            sealed.clear();
            entry.encode(&mut clear);
            sealer.seal(b"place", &clear, &mut sealed);
        }
    }
    report("encode and seal 2 KB", 100_000, began.elapsed());
}

fn store(count: u64, per_commit: usize, size: usize) {
    let directory = tempfile::tempdir().expect("a directory");
    let mut store = open(&directory).store;
    let mut took = Duration::ZERO;
    for from in (0..count).step_by(per_commit) {
        let puts: Vec<_> = (from..from + per_commit as u64).map(|seq| entry(seq, size)).collect();
        let began = Instant::now();
        let committed = store.commit(&Batch { puts: &puts, ..Batch::default() });
        took += began.elapsed();
        assert_eq!(committed.written.len(), per_commit);
    }
    report(&format!("write {count} of {size} bytes, {per_commit} at once"), count, took);
    let (bytes, disk) = (store.contents().bytes, store.size_on_disk());
    let began = Instant::now();
    for from in (0..count).step_by(1000) {
        assert_eq!(store.read_from(Seq(from), 1000).expect("entries").len() as u64, 1000.min(count - from));
    }
    report("  read them", count, began.elapsed());
    let began = Instant::now();
    drop(store);
    eprintln!("  {} MB of {} MB on disk; closed in {:?}", bytes >> 20, disk >> 20, began.elapsed());
    let began = Instant::now();
    let Opened { mut store, inventory, .. } = open(&directory);
    assert_eq!(inventory.len() as u64, count);
    eprintln!("  opened in {:?}", began.elapsed());
    let mut took = Duration::ZERO;
    for from in (0..count).step_by(1000) {
        let deletes: Vec<_> = (from..from + 1000).map(Seq).collect();
        let began = Instant::now();
        assert!(store.commit(&Batch { deletes: &deletes, ..Batch::default() }).deleted);
        took += began.elapsed();
    }
    report("  delete them, 1000 at once", count, took);
    let began = Instant::now();
    store.compact();
    eprintln!("  tidied in {:?} to {} KB on disk", began.elapsed(), store.size_on_disk() >> 10);
}

/// Writers of a callback each, who wait until it is durable before they send the next.
struct Waiting {
    senders: Vec<mpsc::Sender<()>>,
    /// Whose the entry of each place is: places are given in order, as in the service.
    owners: Arc<Mutex<Vec<usize>>>,
}

impl JournalEvents for Waiting {
    fn written(&self, seqs: Vec<Seq>) {
        let owners: Vec<_> = {
            let owners = self.owners.lock().expect("no panic");
            seqs.iter().filter_map(|seq| owners.get(seq.0 as usize).copied()).collect()
        };
        for owner in owners {
            self.senders.get(owner).map(|writer| writer.send(()));
        }
    }

    fn rejected(&self, _: Vec<Seq>, refusal: JournalRejection) {
        panic!("{}", refusal.code());
    }

    fn read(&self, _: Vec<(Seq, Option<Entry>)>) {}

    fn unread(&self, _: Vec<Seq>, _: JournalRejection) {}
}

fn group_commit(writers: usize, per_callback: u64, callbacks: u64) {
    let directory = tempfile::tempdir().expect("a directory");
    let (senders, receivers): (Vec<_>, Vec<_>) = (0..writers).map(|_| mpsc::channel()).unzip();
    let owners = Arc::new(Mutex::new(Vec::new()));
    let events = Arc::new(Waiting { senders, owners: Arc::clone(&owners) });
    let journal = Journal::start(open(&directory).store, events, &Arc::default()).expect("a thread");
    let began = Instant::now();
    let mut waits: Vec<Duration> = std::thread::scope(|scope| {
        let (journal, owners) = (&journal, &owners);
        let work = |(writer, receiver): (usize, mpsc::Receiver<()>)| {
            scope.spawn(move || {
                let mut waits = Vec::new();
                for _ in 0..callbacks {
                    let mut entries: Vec<_> = (0..per_callback).map(|event| entry(event, 2000)).collect();
                    let asked = Instant::now();
                    {
                        let mut owners = owners.lock().expect("no panic");
                        for entry in &mut entries {
                            entry.seq = Seq(owners.len() as u64);
                            owners.push(writer);
                        }
                        journal.write(entries);
                    }
                    (0..per_callback).for_each(|_| receiver.recv().expect("it is written"));
                    waits.push(asked.elapsed());
                }
                waits
            })
        };
        let threads: Vec<_> = receivers.into_iter().enumerate().map(work).collect();
        threads.into_iter().flat_map(|thread| thread.join().expect("no panic")).collect()
    });
    let count = writers as u64 * callbacks * per_callback;
    report(&format!("{writers} writers of callbacks of {per_callback}"), count, began.elapsed());
    waits.sort_unstable();
    let at = |share: f64| waits.get((waits.len() as f64 * share) as usize).copied().unwrap_or_default();
    eprintln!("  waited p50 {:?}, p99 {:?}", at(0.5), at(0.99));
}

fn main() {
    encoding();
    group_commit(64, 1, 500);
    group_commit(8, 1000, 20);
    store(2_000, 1, 2000);
    store(100_000, 50, 2000);
    store(200_000, 1000, 2000);
    store(1_000_000, 5000, 2000);
}
