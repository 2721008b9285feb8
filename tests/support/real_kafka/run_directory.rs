//! A directory for one cluster's data and logs under `target/`, removed with the cluster; what a killed test process
//! left behind is removed by the next.

use std::fs::File;
use std::path::{Path, PathBuf};

use super::install::target;

pub(super) struct RunDirectory {
    pub(super) path: PathBuf,
    /// Locked while the process lives: by this, others know that the directory is in use.
    _in_use: File,
}

impl RunDirectory {
    pub(super) fn create() -> Self {
        let runs = target().join("kafka-runs");
        std::fs::create_dir_all(&runs).unwrap();
        // No other process may clean up between the creation of a directory and its lock.
        let sweeping = File::create(runs.join("lock")).unwrap();
        sweeping.lock().unwrap();
        sweep(&runs);
        let path = tempfile::Builder::new().prefix("run-").tempdir_in(&runs).unwrap().keep();
        let in_use = File::create(path.join("lock")).unwrap();
        in_use.lock().unwrap();
        Self { path, _in_use: in_use }
    }
}

impl Drop for RunDirectory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.path);
    }
}

fn sweep(runs: &Path) {
    for run in std::fs::read_dir(runs).unwrap().filter_map(Result::ok).filter(|entry| entry.path().is_dir()) {
        let unused = File::open(run.path().join("lock")).is_ok_and(|lock| lock.try_lock().is_ok());
        if unused {
            let _ = std::fs::remove_dir_all(run.path());
        }
    }
}
