//! Detects changed configuration files without a signal.
//!
//! Polls the files once a second instead of using notifications (inotify): Kubernetes replaces a mounted secret by
//! swapping a symbolic link two levels above the file, editors and agents rename a new file over the old one, and
//! network file systems send no notification. A poll detects all of these, because it only compares what is at the
//! path. It costs one `stat` per file; contents are read only if its result differs.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::sleep;

use crate::clock;
use crate::config::{NamedFile, certificates};
use crate::telemetry::liveness::Liveness;
use crate::telemetry::log_code::LogCode;

/// Time between two polls. A change counts once two consecutive polls agree, so that a file written in several steps is
/// read once.
const POLL_INTERVAL: Duration = Duration::from_secs(1);

/// Watches the files of the current configuration until it is dropped.
pub(super) struct FileWatch {
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

struct Shared {
    /// The files, with the digests of their contents at the last reload.
    known: Mutex<Vec<NamedFile>>,
    changed: Notify,
}

/// The result of `stat` for a file, or for each certificate in a directory. Empty if it fails, for example because the file
/// does not exist.
type Stamp = Vec<(u64, u64, u64, i64, i64, i64, i64)>;

impl FileWatch {
    /// Starts to watch these files. Must be called within a tokio runtime.
    pub(super) fn start(files: Vec<NamedFile>, liveness: &Arc<Liveness>) -> Self {
        let shared = Arc::new(Shared { known: Mutex::new(files), changed: Notify::new() });
        let task = tokio::spawn(liveness.watch("file watch").during(watch(Arc::clone(&shared))));
        Self { shared, task }
    }

    /// Watches these files from now on. A difference from their digests is a change.
    pub(super) fn watch(&self, files: Vec<NamedFile>) {
        *self.shared.known.lock() = files;
    }

    /// Returns when a file has changed since it was last read.
    pub(super) async fn changed(&self) {
        self.shared.changed.notified().await;
    }
}

impl Drop for FileWatch {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn watch(shared: Arc<Shared>) {
    let (mut last_compared, mut last) = (Vec::new(), Vec::new());
    loop {
        sleep(POLL_INTERVAL).await;
        let known = shared.known.lock().clone();
        let paths: Vec<_> = known.iter().map(|file| file.path.clone()).collect();
        let stamps = blocking(move || paths.into_iter().map(|path| (stamp(&path), path)).collect::<Vec<_>>()).await;
        let stable = stamps == last;
        last = stamps;
        if !stable || (last == last_compared && !changed_recently(&last)) {
            continue;
        }
        last_compared.clone_from(&last);
        let now = blocking({
            let known = known.clone();
            move || known.into_iter().map(NamedFile::read_again).collect::<Vec<_>>()
        });
        let now = now.await;
        let keys: Vec<_> = known.iter().zip(&now).filter(|(old, new)| old != new).map(|(old, _)| &*old.key).collect();
        // A reload in the meantime has already read the files.
        if keys.is_empty() || *shared.known.lock() != known {
            continue;
        }
        tracing::info!(
            code = LogCode::FilesChanged.as_str(),
            keys = keys.join(" "),
            "files have changed; the configuration is reloaded"
        );
        // A problem with them is reported once; they are tried again when they change again.
        *shared.known.lock() = now;
        shared.changed.notify_one();
    }
}

/// Runs blocking file operations on the blocking pool.
async fn blocking<T: Default + Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    tokio::task::spawn_blocking(work).await.unwrap_or_default()
}

/// Returns true if a file was written so recently that a second write can have left the same times, because file system
/// clocks advance only every few milliseconds. Then only the contents show a change.
fn changed_recently(stamps: &[(Stamp, PathBuf)]) -> bool {
    let now = clock::since_1970();
    let limit = i64::try_from(now.saturating_sub(2 * POLL_INTERVAL).as_secs()).unwrap_or(i64::MAX);
    stamps.iter().flat_map(|(stamp, _)| stamp).any(|(.., changed, _)| *changed >= limit)
}

/// Returns the stamp of a file, or of a directory of certificates. Follows symbolic links, so a link that points to
/// another file has another stamp.
fn stamp(path: &Path) -> Stamp {
    // Of a directory, only the certificates count: anything else in it can change all the time.
    let paths = certificates(path).unwrap_or_else(|_| vec![path.to_owned()]);
    let of_file = |data: Metadata| {
        (data.dev(), data.ino(), data.size(), data.mtime(), data.mtime_nsec(), data.ctime(), data.ctime_nsec())
    };
    paths.into_iter().filter_map(|path| std::fs::metadata(path).ok().map(of_file)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(path: PathBuf) -> NamedFile {
        NamedFile::new("key".to_owned(), path, None).read_again()
    }

    async fn changes(watch: &FileWatch) -> bool {
        tokio::time::timeout(5 * POLL_INTERVAL, watch.changed()).await.is_ok()
    }

    #[tokio::test(start_paused = true)]
    async fn writing_renaming_and_removing_are_noticed() {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        std::fs::write(path("a"), "1").unwrap();
        let watch = FileWatch::start(vec![named(path("a")), named(path("absent"))], &Arc::default());
        assert!(!changes(&watch).await);
        std::fs::write(path("a"), "2").unwrap();
        assert!(changes(&watch).await);
        assert!(!changes(&watch).await, "it is told once");
        std::fs::write(path("beside"), "3").unwrap();
        std::fs::rename(path("beside"), path("a")).unwrap();
        assert!(changes(&watch).await);
        std::fs::write(path("absent"), "").unwrap();
        assert!(changes(&watch).await);
        std::fs::remove_file(path("a")).unwrap();
        assert!(changes(&watch).await);
    }

    #[tokio::test(start_paused = true)]
    async fn a_swapped_link_above_the_file_is_noticed() {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        for version in ["1", "2"] {
            std::fs::create_dir(path(version)).unwrap();
            std::fs::write(path(version).join("key"), version).unwrap();
        }
        // As in Kubernetes: key -> ..data/key, and ..data -> the newest version.
        std::os::unix::fs::symlink("1", path("..data")).unwrap();
        std::os::unix::fs::symlink("..data/key", path("key")).unwrap();
        let watch = FileWatch::start(vec![named(path("key"))], &Arc::default());
        assert!(!changes(&watch).await);
        std::os::unix::fs::symlink("2", path("..new")).unwrap();
        std::fs::rename(path("..new"), path("..data")).unwrap();
        assert!(changes(&watch).await);
    }

    #[tokio::test(start_paused = true)]
    async fn a_file_in_a_directory_is_noticed() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("ca.pem"), "1").unwrap();
        let watch = FileWatch::start(vec![named(directory.path().to_owned())], &Arc::default());
        assert!(!changes(&watch).await);
        std::fs::write(directory.path().join("ca.pem"), "2").unwrap();
        assert!(changes(&watch).await);
    }

    #[tokio::test(start_paused = true)]
    async fn a_touched_or_reloaded_file_is_not_a_change() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a");
        std::fs::write(&path, "1").unwrap();
        let watch = FileWatch::start(vec![named(path.clone())], &Arc::default());
        std::fs::write(&path, "1").unwrap();
        assert!(!changes(&watch).await);
        std::fs::write(&path, "2").unwrap();
        watch.watch(vec![named(path)]);
        assert!(!changes(&watch).await);
    }
}
