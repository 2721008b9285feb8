//! Old keys: they are counted, and no longer needed once everything is sealed with the first key.

use std::time::Duration;

use super::*;
use crate::journal::Journal;
use crate::journal::store::KeyChange;

#[test]
fn what_an_old_key_has_sealed_is_counted_and_sealed_again() {
    let directory = tempfile::tempdir().unwrap();
    let mut store = open(directory.path()).store;
    put(&mut store, &entries(0..1000));
    assert_eq!(store.contents().old_key, 0);
    drop(store);
    let mut store = opened(directory.path(), &[key('b'), key('a')], ROOM).ok().unwrap().store;
    put(&mut store, &entries(1000..1003));
    assert_eq!(store.contents().old_key, 1000);
    assert_eq!(store.old_keys(), [(key('a').id().to_owned(), 1000)]);
    delete(&mut store, 0..10);
    assert_eq!(store.contents().old_key, 990);
    let before = store.contents().bytes;
    let mut steps = 0;
    while store.has_old_keys() {
        store.reseal().unwrap();
        steps += 1;
        assert!(steps < 100, "it does not end");
    }
    assert!(steps > 3, "a step is small");
    assert_eq!((store.contents().old_key, store.contents().bytes), (0, before));
    drop(store);
    let opened = opened(directory.path(), &[key('b')], ROOM).unwrap_or_else(|fault| panic!("{fault}"));
    assert_eq!(opened.inventory.iter().map(|listed| listed.seq.0).collect::<Vec<_>>(), (10..1003).collect::<Vec<_>>());
    let mut store = opened.store;
    let (_, entry) = store.read(&[Seq(500)]).unwrap().remove(0);
    assert_eq!(entry.unwrap().record.value, entry_of(500, 300).record.value);
}

#[tokio::test]
async fn new_keys_are_applied_while_the_journal_runs() {
    let directory = tempfile::tempdir().unwrap();
    let mut store = open(directory.path()).store;
    put(&mut store, &entries(0..20));
    let journal = Journal::start(store, Arc::new(IgnoredEvents), &Arc::default()).unwrap();
    let still = KeyChange::StillNeeded(key('a').id().to_owned(), 20);
    assert_eq!(journal.replace_keys(vec![key('b')]).await.unwrap().unwrap(), still);
    assert_eq!(journal.replace_keys(Vec::new()).await.unwrap().unwrap(), KeyChange::NoKeys);
    assert_eq!(journal.sealing_key().id(), key('a').id());
    assert_eq!(journal.replace_keys(vec![key('b'), key('a')]).await.unwrap().unwrap(), KeyChange::Applied);
    assert_eq!(journal.sealing_key().id(), key('b').id());
    // The thread seals the data again in the background.
    let end = std::time::Instant::now() + Duration::from_secs(60);
    while journal.usage().old_key > 0 {
        assert!(std::time::Instant::now() < end, "nothing was sealed again");
        tokio::task::yield_now().await;
    }
    assert_eq!(journal.replace_keys(vec![key('b')]).await.unwrap().unwrap(), KeyChange::Applied);
    journal.close();
    drop(journal);
    assert_eq!(opened(directory.path(), &[key('b')], ROOM).ok().unwrap().inventory.len(), 20);
}

#[test]
fn a_failed_commit_of_old_entries_loses_none_of_them() {
    let directory = tempfile::tempdir().unwrap();
    put(&mut open(directory.path()).store, &entries(0..20));
    let faults = crate::journal::store::fault_injection::FaultInjection::default();
    faults.on_this_thread();
    let mut store = opened(directory.path(), &[key('b'), key('a')], ROOM).ok().unwrap().store;
    faults.set_sync_fails(true);
    assert!(store.reseal().is_err());
    faults.set_sync_fails(false);
    let end = std::time::Instant::now() + Duration::from_secs(60);
    while store.contents().old_key > 0 {
        assert!(std::time::Instant::now() < end, "nothing was sealed again");
        // Fails until the file has been verified.
        let _ = store.reseal();
    }
    drop(store);
    assert_eq!(opened(directory.path(), &[key('b')], ROOM).ok().unwrap().inventory.len(), 20);
}
