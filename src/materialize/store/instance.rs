//! The id of the instance that uses a directory, in a file.

use std::path::Path;
use std::{fs, io};

/// Returns the id in a file. Creates one if the file does not exist or is empty.
pub(super) fn instance(path: &Path) -> io::Result<String> {
    let known = match fs::read_to_string(path) {
        Ok(text) => text.trim().to_owned(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
        Err(error) => return Err(error),
    };
    if !known.is_empty() {
        return Ok(known);
    }
    renew(path)
}

/// Gives a directory a new id, for an instance whose old id is in use elsewhere.
pub(super) fn renew(path: &Path) -> io::Result<String> {
    let id = format!("{:016x}{:016x}", fastrand::u64(..), fastrand::u64(..));
    fs::write(path, &id)?;
    Ok(id)
}
