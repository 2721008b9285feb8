//! Identity of this replica: an id that is stored with the journal, and one per process.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::path::Path;

use outbox::replicas::{ReplicaId, Writer};

/// Name of the file in the journal's directory.
const FILE: &str = "replica-id";

/// Returns the id of the replica whose journal is in `directory`. If it cannot be stored, it lasts only as long as the
/// process.
pub(super) fn identity(directory: &Path) -> Writer {
    let path = directory.join(FILE);
    let stored = std::fs::read_to_string(&path).ok().and_then(|text| u64::from_str_radix(text.trim(), 16).ok());
    let replica = stored.unwrap_or_else(|| {
        let replica = random();
        if let Err(error) = std::fs::write(&path, format!("{replica:016x}\n")) {
            tracing::debug!(%error, "the replica's id could not be stored");
        }
        replica
    });
    Writer { replica: ReplicaId(replica), process: random() }
}

/// Returns a random number. The standard library seeds its hashers from the operating system.
fn random() -> u64 {
    RandomState::new().build_hasher().finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replica_keeps_its_id_over_restarts() {
        let directory = tempfile::tempdir().unwrap();
        let (first, second) = (identity(directory.path()), identity(directory.path()));
        assert_eq!(first.replica, second.replica);
        assert_ne!(first.process, second.process);
        assert_ne!(identity(tempfile::tempdir().unwrap().path()).replica, first.replica);
    }
}
