//! Examines directories and their disks. Makes and changes nothing.

use std::io;
use std::path::{Path, PathBuf};

use rustix::fs::{Access, access, statvfs};

/// Returns the directory itself, or the nearest one above it that exists, in which a start can make it.
///
/// # Errors
/// The reason why it can neither be used nor made.
pub(super) fn usable(directory: &Path) -> Result<PathBuf, String> {
    // The parent of a relative path ends up empty, which means where we are.
    let here = |path: &'_ Path| if path.as_os_str().is_empty() { Path::new(".").to_owned() } else { path.to_owned() };
    let Some(existing) = directory.ancestors().map(here).find(|path| path.exists()) else {
        return Err(format!("{} cannot be created", directory.display()));
    };
    if !existing.is_dir() {
        return Err(format!("{} is not a directory", existing.display()));
    }
    writable(&existing, Access::WRITE_OK | Access::EXEC_OK)?;
    Ok(existing)
}

/// Checks that this user may read and write each file in the directory.
///
/// # Errors
/// The first file that it may not, and the reason.
pub(super) fn files_writable(directory: &Path) -> Result<(), String> {
    let files = std::fs::read_dir(directory).map_err(|error| format!("{}: {}", directory.display(), error.kind()))?;
    for path in files.flatten().map(|entry| entry.path()).filter(|path| path.is_file()) {
        writable(&path, Access::READ_OK | Access::WRITE_OK)?;
    }
    Ok(())
}

fn writable(path: &Path, how: Access) -> Result<(), String> {
    let denied = |error| format!("{} cannot be written to ({})", path.display(), io::Error::from(error).kind());
    access(path, how).map_err(denied)
}

/// Returns the bytes that this user can still write to the disk of a directory. `None` if that cannot be read.
pub(super) fn free_bytes(directory: &Path) -> Option<u64> {
    let disk = statvfs(directory).ok()?;
    Some(disk.f_bavail.saturating_mul(disk.f_frsize))
}

pub(super) fn mebibytes(bytes: u64) -> String {
    format!("{} MiB", bytes >> 20)
}
