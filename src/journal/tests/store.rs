//! What the store stores, lists, limits and returns to the disk.

use super::*;
use crate::diagnosis::Diagnosis;
use crate::journal::JournalRejection;

#[test]
fn entries_keep_their_order_over_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let mut store = open(directory.path()).store;
    let committed = put(&mut store, &entries(0..50));
    assert_eq!(seqs(&committed.written), (0..50).collect::<Vec<_>>());
    assert!(delete(&mut store, [3, 4, 99]).deleted);
    drop(store);
    let Opened { mut store, inventory, next, quarantined } = open(directory.path());
    let expected: Vec<_> = (0..50).filter(|seq| ![3, 4].contains(seq)).collect();
    assert_eq!(inventory.iter().map(|listed| listed.seq.0).collect::<Vec<_>>(), expected);
    assert_eq!((next, quarantined), (Seq(50), 0));
    let original = entry(7);
    let listed = inventory.iter().find(|listed| listed.seq == Seq(7)).unwrap();
    assert_eq!((listed.key, listed.lane, listed.received_at), (original.key, original.lane, original.received_at));
    let read = store.read(&[Seq(7), Seq(3)]).unwrap();
    assert_eq!(read[0].1.as_ref().unwrap().record.value, original.record.value);
    assert!(read[1].1.is_none(), "it was deleted");
    assert_eq!(store.read_from(Seq(2), 3).unwrap().iter().map(|(seq, _)| seq.0).collect::<Vec<_>>(), [2, 5, 6]);
    let row = &store.list(Seq(7), 1).unwrap()[0];
    assert_eq!((row.event_id.as_str(), &*row.topic, row.entity), ("evnt_7", "idaas.user.v1", Entity::User));
    assert_eq!(store.oldest(), Some(1_000_000));
}

#[test]
fn a_journal_that_was_emptied_gives_no_place_twice() {
    let directory = tempfile::tempdir().unwrap();
    let mut store = open(directory.path()).store;
    put(&mut store, &entries(0..5));
    delete(&mut store, 0..5);
    assert_eq!((store.contents().events, store.contents().bytes), (0, 0));
    drop(store);
    assert_eq!(open(directory.path()).next, Seq(5));
}

#[test]
fn nothing_on_the_disk_can_be_read_without_the_key() {
    let directory = tempfile::tempdir().unwrap();
    put(&mut open(directory.path()).store, &entries(0..50));
    for file in std::fs::read_dir(directory.path()).unwrap() {
        let bytes = std::fs::read(file.unwrap().path()).unwrap();
        for secret in ["vvvvvvvv", "evnt_", "user_", "workforce", "idaas.user"] {
            assert!(!bytes.windows(secret.len()).any(|window| window == secret.as_bytes()), "{secret}");
        }
    }
}

#[test]
fn a_full_journal_keeps_the_order_within_a_lane() {
    let directory = tempfile::tempdir().unwrap();
    let mut store = opened(directory.path(), &[key('a')], 100_000).ok().unwrap().store;
    // 0, 7 and 14 are of one lane; 7 exceeds the limit, 14 alone would fit.
    let mut batch = entries(0..7);
    batch.extend([entry_of(7, 200_000), entry(8), entry(14)]);
    let committed = put(&mut store, &batch);
    assert_eq!(seqs(&committed.written), [0, 1, 2, 3, 4, 5, 6, 8]);
    assert_eq!(committed.rejected, [(Seq(7), JournalRejection::Full), (Seq(14), JournalRejection::Full)]);
    let rest = put(&mut store, &entries(100..1000));
    assert!(!rest.written.is_empty() && !rest.rejected.is_empty());
    assert!(store.contents().bytes <= 100_000);
    assert!(put(&mut store, &entries([2000])).written.is_empty(), "it is full");
    assert!(delete(&mut store, 0..7).deleted, "deleting works all the same");
    assert_eq!(seqs(&put(&mut store, &entries([2000])).written), [2000], "and makes room");
}

#[test]
fn a_missing_journal_key_is_named_with_its_entry_count() {
    let directory = tempfile::tempdir().unwrap();
    let (old, new) = (key('a'), key('b'));
    put(&mut open(directory.path()).store, &entries(0..3));
    let both = [Arc::clone(&new), Arc::clone(&old)];
    let mut store = opened(directory.path(), &both, ROOM).ok().unwrap().store;
    assert!(store.read(&[Seq(1)]).unwrap()[0].1.is_some());
    put(&mut store, &entries(3..5));
    drop(store);
    let fault_of = |keys: &[Arc<ContentKey>]| fault(directory.path(), keys);
    assert_eq!(fault_of(&[Arc::clone(&new)]), OpenFault::UnknownKey(old.id().to_owned(), 3));
    assert_eq!(fault_of(&[Arc::clone(&old)]), OpenFault::UnknownKey(new.id().to_owned(), 2));
    let text = fault_of(&[Arc::clone(&new)]);
    assert!(text.to_string().contains(old.id()), "{text}");
    let remedy = Diagnosis::from(&text).remedy.unwrap();
    assert!(remedy.text.contains("journal.keys"), "{remedy}");
    let mut store = opened(directory.path(), &both, ROOM).ok().unwrap().store;
    delete(&mut store, 0..3);
    drop(store);
    assert!(opened(directory.path(), &[new], ROOM).is_ok(), "the old one is no longer needed");
}

#[test]
fn a_second_process_is_told_who_has_the_directory() {
    let directory = tempfile::tempdir().unwrap();
    let first = open(directory.path());
    let fault = Store::open(directory.path(), &[key('a')], ROOM).err().unwrap();
    assert_eq!(fault, OpenFault::Locked(directory.path().to_owned(), Some(std::process::id())));
    assert!(fault.to_string().contains(&std::process::id().to_string()), "{fault}");
    drop(first);
    assert!(held(directory.path()).is_empty());
}

#[test]
fn a_file_that_is_nearly_empty_gives_the_disk_its_room_back() {
    let directory = tempfile::tempdir().unwrap();
    let mut store = open(directory.path()).store;
    let batch: Vec<_> = (0..12_000).map(|seq| entry_of(seq, 2000)).collect();
    assert_eq!(put(&mut store, &batch).written.len(), 12_000);
    let full = store.size_on_disk();
    // The last entry, at the end of the file, stays.
    delete(&mut store, 0..11_999);
    store.compact();
    assert!(store.size_on_disk() < full / 4, "{} of {full}", store.size_on_disk());
    assert!(store.read(&[Seq(11_999)]).unwrap()[0].1.is_some());
    put(&mut store, &entries([12_000]));
    drop(store);
    assert_eq!(held(directory.path()), [11_999, 12_000]);
}
