//! Files that are truncated, foreign, changed or of another user: each is distinguished, none is changed, nothing
//! panics.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use redb::ReadableTable;

use super::*;

/// Creates a directory with a small journal that was closed cleanly.
fn closed() -> (tempfile::TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let mut store = open(directory.path()).store;
    put(&mut store, &entries(0..40));
    put(&mut store, &entries(40..60));
    delete(&mut store, 10..20);
    drop(store);
    let path = directory.path().join("journal.redb");
    (directory, path)
}

fn expected() -> Vec<u64> {
    (0..10).chain(20..60).collect()
}

#[test]
fn a_truncated_file_is_reported_and_left_unchanged() {
    let (directory, path) = closed();
    let whole = fs::read(&path).unwrap();
    let mut random = fastrand::Rng::with_seed(1);
    let mut lengths: Vec<_> = (0..12).chain([100, 511, 512, 513, 4095, 4096, 4097, 8192]).collect();
    lengths.extend((0..60).map(|_| random.usize(..whole.len())));
    lengths.extend((1..whole.len() / 4096).step_by(7).map(|pages| pages * 4096));
    for length in lengths {
        fs::write(&path, &whole[..length]).unwrap();
        let fault = fault(directory.path(), &[key('a')]);
        assert!(matches!(fault, OpenFault::Damaged(..)), "{length} bytes: {fault}");
        assert!(fault.to_string().contains("is damaged"), "{fault}");
        assert_eq!(fs::read(&path).unwrap(), whole[..length], "{length} bytes: the file was touched");
    }
    fs::write(&path, &whole).unwrap();
    assert_eq!(held(directory.path()), expected());
}

#[test]
fn a_flipped_bit_is_found_or_harms_nothing() {
    let (directory, path) = closed();
    let whole = fs::read(&path).unwrap();
    let mut random = fastrand::Rng::with_seed(2);
    let mut found = 0;
    // Change every byte of the header, and random bytes elsewhere.
    let offsets = (0..320).chain((0..300).map(|_| random.usize(..whole.len())));
    for offset in offsets.collect::<Vec<_>>() {
        let mut changed = whole.clone();
        changed[offset] ^= 1 << random.u8(..8);
        fs::write(&path, &changed).unwrap();
        match opened(directory.path(), &[key('a')], ROOM) {
            Err(_) => found += 1,
            Ok(Opened { mut store, inventory, .. }) => {
                let seqs: Vec<_> = inventory.iter().map(|listed| listed.seq.0).collect();
                assert_eq!(seqs, expected(), "byte {offset}");
                let all: Vec<_> = inventory.iter().map(|listed| listed.seq).collect();
                assert!(store.read(&all).unwrap().iter().all(|(_, entry)| entry.is_some()), "byte {offset}");
            }
        }
    }
    assert!(found > 100, "{found}");
}

#[test]
fn a_foreign_file_is_said_to_be_one_and_left_as_it_is() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("journal.redb");
    for content in [&b"SQLite format 3\0 and more of it"[..], b"x", &[0; 100_000]] {
        fs::write(&path, content).unwrap();
        assert_eq!(fault(directory.path(), &[key('a')]), OpenFault::Foreign(path.clone()));
        assert_eq!(fs::read(&path).unwrap(), content);
    }
}

#[test]
fn another_program_s_database_of_the_same_kind_is_foreign() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("journal.redb");
    let database = redb::Database::create(&path).unwrap();
    let transaction = database.begin_write().unwrap();
    transaction.open_table(redb::TableDefinition::<u64, u64>::new("theirs")).unwrap().insert(1, 2).unwrap();
    transaction.commit().unwrap();
    drop(database);
    assert_eq!(fault(directory.path(), &[key('a')]), OpenFault::Foreign(path));
}

#[test]
fn a_journal_of_a_newer_build_is_said_to_be_one() {
    let (directory, path) = closed();
    let database = redb::Database::open(&path).unwrap();
    let transaction = database.begin_write().unwrap();
    let meta = redb::TableDefinition::<&str, &[u8]>::new("meta");
    transaction.open_table(meta).unwrap().insert("state", &[2, 1, 2, 3][..]).unwrap();
    transaction.commit().unwrap();
    drop(database);
    assert_eq!(fault(directory.path(), &[key('a')]), OpenFault::Newer(path));
}

#[test]
fn an_entry_that_is_moved_or_brought_back_is_found_at_the_start() {
    let (directory, path) = closed();
    let database = redb::Database::open(&path).unwrap();
    let transaction = database.begin_write().unwrap();
    {
        let mut index = transaction.open_table(redb::TableDefinition::<u64, &[u8]>::new("index")).unwrap();
        let row = index.get(0).unwrap().unwrap().value().to_vec();
        index.insert(1, row.as_slice()).unwrap();
    }
    transaction.commit().unwrap();
    drop(database);
    let fault = fault(directory.path(), &[key('a')]);
    assert!(matches!(fault, OpenFault::Damaged(..)), "{fault}");
}

#[test]
fn an_entry_that_is_missing_is_found_at_the_start() {
    let (directory, path) = closed();
    let database = redb::Database::open(&path).unwrap();
    let transaction = database.begin_write().unwrap();
    transaction.open_table(redb::TableDefinition::<u64, &[u8]>::new("bodies")).unwrap().remove(0).unwrap();
    transaction.commit().unwrap();
    drop(database);
    let fault = fault(directory.path(), &[key('a')]);
    assert!(matches!(fault, OpenFault::Damaged(..)), "{fault}");
}

#[test]
fn an_unusable_directory_is_named_in_the_error() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("file");
    fs::write(&file, "").unwrap();
    let fault_at = |path: &Path| fault(path, &[key('a')]);
    assert!(fault_at(&file.join("journal")).to_string().contains("file"));
    let locked = directory.path().join("locked");
    fs::create_dir(&locked).unwrap();
    fs::set_permissions(&locked, fs::Permissions::from_mode(0o500)).unwrap();
    // The superuser can write all the same.
    if fs::write(locked.join("probe"), "").is_err() {
        assert!(matches!(fault_at(&locked), OpenFault::NoPermission(_)));
    }
}

#[test]
fn an_unfinished_creation_does_not_prevent_a_start() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("journal.redb.new"), [0; 5000]).unwrap();
    assert!(held(directory.path()).is_empty());
    assert!(!directory.path().join("journal.redb.new").exists());
}
