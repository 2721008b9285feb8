//! Files that the configuration names: where they are, and whether they can be read at all.
//!
//! What a file holds is never part of a problem.

use std::io;
use std::path::{Path, PathBuf};

use super::fault::Problem;
use super::given::Given;
use super::parse::Surroundings;

/// The path that a text stands for: relative ones start at the configuration file's directory.
pub(super) fn resolve(around: &Surroundings<'_>, text: &str) -> PathBuf {
    around.directory.join(text)
}

/// A file's content.
pub(super) fn read(around: &Surroundings<'_>, path: &Path) -> Result<Vec<u8>, Problem> {
    (around.read)(path).map_err(|error| {
        let shown = shown(&path.display().to_string(), "the file");
        if error.kind() == io::ErrorKind::NotFound {
            let remedy =
                "put it there, or name another one (relative paths start at the configuration file's directory)";
            Problem::new(format!("{shown} does not exist"), remedy)
        } else if error.kind() == io::ErrorKind::PermissionDenied {
            Problem::new(format!("{shown} may not be read"), "let the user that the service runs as read it")
        } else {
            Problem::new(format!("{shown} cannot be read ({})", error.kind()), "name a readable file")
        }
    })
}

/// The path of a PEM file that can be read and holds a block whose label ends in `label`.
pub(super) fn pem(around: &Surroundings<'_>, given: &Given, label: &str) -> Result<PathBuf, Problem> {
    let path = resolve(around, given.text()?);
    let content = zeroize::Zeroizing::new(read(around, &path)?);
    let held = String::from_utf8_lossy(&content)
        .lines()
        .filter_map(|line| line.trim().strip_prefix("-----BEGIN ")?.strip_suffix("-----"))
        .any(|found| found.ends_with(label));
    if held {
        Ok(path)
    } else {
        let remedy = format!("name a PEM file with a block \"-----BEGIN {label}-----\"");
        Err(Problem::new(format!("{} holds no {label} in PEM", path.display()), remedy))
    }
}

/// A path or a variable's name for a problem, unless it looks like a key that was put in its place.
pub(super) fn shown(text: &str, otherwise: &str) -> String {
    let tail = text.rsplit('/').next().unwrap_or(text);
    let key_like = tail.len() >= 32 && tail.chars().all(|c| c.is_ascii_hexdigit());
    if key_like { otherwise.to_owned() } else { text.to_owned() }
}
