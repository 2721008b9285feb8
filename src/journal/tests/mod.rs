//! The guarantees of the journal, one test each.

mod crash;
mod damage;
mod entry;
mod failure;
mod journal_admin;
mod quarantine;
mod rekeying;
mod store;
mod writer;

use std::path::Path;
use std::sync::Arc;

use idaas_callback::event_type::Entity;
use idaas_callback::headers::{HeaderName, Headers};
use idaas_callback::jose::jwe::ContentKey;
use idaas_callback::record::Record;
use idaas_callback::{DeadLetterSource, StoredOriginal};
use outbox::verdict::Verdict;
use outbox::{EventKey, LaneKey, Seq};

use super::store::{Batch, Committed, Opened, Store};
use super::{Entry, JournalEvents, JournalRejection, OpenFault};

/// A limit that no test reaches, in bytes.
const ROOM: u64 = 1 << 30;

/// An observer that does nothing.
struct IgnoredEvents;

impl JournalEvents for IgnoredEvents {
    fn written(&self, _: Vec<Seq>) {}
    fn rejected(&self, _: Vec<Seq>, _: JournalRejection) {}
    fn read(&self, _: Vec<(Seq, Option<Entry>)>) {}
    fn unread(&self, _: Vec<Seq>, _: JournalRejection) {}
}

fn key(digit: char) -> Arc<ContentKey> {
    Arc::new(ContentKey::from_hex(&digit.to_string().repeat(64)).unwrap())
}

/// Opens the journal. Retries while it is locked: a child process that another test has just started can inherit the
/// lock.
fn opened(directory: &Path, keys: &[Arc<ContentKey>], disk_space: u64) -> Result<Opened, OpenFault> {
    let own = OpenFault::Locked(directory.to_owned(), Some(std::process::id()));
    loop {
        match Store::open(directory, keys, disk_space) {
            Err(fault) if fault == own => std::thread::yield_now(),
            opened => return opened,
        }
    }
}

fn open(directory: &Path) -> Opened {
    opened(directory, &[key('a')], ROOM).unwrap_or_else(|fault| panic!("{fault}"))
}

fn fault(directory: &Path, keys: &[Arc<ContentKey>]) -> OpenFault {
    opened(directory, keys, ROOM).err().expect("a fault")
}

/// Returns incompressible bytes.
fn noise(seed: u64, size: usize) -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(seed);
    (0..size).map(|_| random.u8(..)).collect()
}

/// Creates an entry of event `seq` about one of seven users, with a value of `size` bytes.
pub(crate) fn entry_of(seq: u64, size: usize) -> Entry {
    let (id, user) = (format!("evnt_{seq}"), format!("user_{}", seq % 7));
    let original = StoredOriginal {
        instance_id: "idaas_x".to_owned(),
        application_id: "app_x".to_owned(),
        ali_uid: None,
        event_version: Some("V1.0.0".to_owned()),
        event: format!(r#"{{"eventId":"{id}"}}"#),
        received_at: 1_000_000,
        generated_id: "made".to_owned(),
    };
    Entry {
        seq: Seq(seq),
        key: EventKey::of("app_x", &id),
        lane: LaneKey::of("idaas.user.v1", &user),
        event_id: id,
        id_provided: true,
        application: "workforce".to_owned(),
        received_at: 1_000_000 + i64::try_from(seq).unwrap(),
        event_time: None,
        verdict: Verdict::Confirmed,
        record: Record {
            entity: Entity::User,
            topic: "idaas.user.v1".into(),
            key: Some(user),
            value: noise(seq, size),
            headers: Headers::from_iter([(HeaderName::ContentType, "application/json")]),
            timestamp: 1_000_000,
        },
        credential: None,
        dead_letter_source: DeadLetterSource::from_stored(original),
    }
}

fn entry(seq: u64) -> Entry {
    entry_of(seq, 300)
}

fn entries(seqs: impl IntoIterator<Item = u64>) -> Vec<Entry> {
    seqs.into_iter().map(entry).collect()
}

fn put(store: &mut Store, puts: &[Entry]) -> Committed {
    store.commit(&Batch { puts, ..Batch::default() })
}

fn delete(store: &mut Store, seqs: impl IntoIterator<Item = u64>) -> Committed {
    let deletes: Vec<_> = seqs.into_iter().map(Seq).collect();
    store.commit(&Batch { deletes: &deletes, ..Batch::default() })
}

/// Returns the sequence numbers in the journal of the directory.
fn held(directory: &Path) -> Vec<u64> {
    open(directory).inventory.into_iter().map(|listed| listed.seq.0).collect()
}

fn seqs(written: &[Seq]) -> Vec<u64> {
    written.iter().map(|seq| seq.0).collect()
}

/// Creates admin operations without a service, on a journal with three entries.
pub(crate) fn admin_with_entries(directory: &Path) -> super::JournalAdmin {
    let mut store = open(directory).store;
    put(&mut store, &entries(0..3));
    super::JournalAdmin::offline(store).unwrap()
}
