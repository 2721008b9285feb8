//! Files that the configuration names: their paths, whether they are readable, and digests of their contents.
//!
//! No diagnosis ever contains the contents of a file.

use std::cell::RefCell;
use std::ffi::OsStr;
use std::io;
use std::ops::Deref;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use super::parse::Sources;
use super::raw_value::RawValue;
use crate::diagnosis::{Diagnosis, misconfigured};
use crate::text;

/// A file that the configuration names, as it was when the configuration was read.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct NamedFile {
    /// The configuration key that names it.
    pub key: String,
    /// The file's path.
    pub path: PathBuf,
    /// SHA-256 of its contents; of a directory of certificates, that of the files in it. `None` if it cannot be read.
    pub digest: Option<[u8; 32]>,
}

impl NamedFile {
    /// Creates the entry for a file with this content, or `None` if it could not be read.
    #[must_use]
    pub fn new(key: String, path: PathBuf, content: Option<&[u8]>) -> Self {
        Self { key, path, digest: content.map(|content| Sha256::digest(content).into()) }
    }

    /// Returns the entry with the present contents. Blocks.
    #[must_use]
    pub fn read_again(self) -> Self {
        let content = content(&self.path, |path| std::fs::read(path)).ok();
        Self::new(self.key, self.path, content.as_ref().map(|content| content.as_slice()))
    }
}

/// The sources of a configuration, and the files that it has named so far.
pub(super) struct ConfigFiles<'a> {
    sources: &'a Sources<'a>,
    named: RefCell<Vec<NamedFile>>,
}

impl<'a> ConfigFiles<'a> {
    pub(super) const fn new(sources: &'a Sources<'a>) -> Self {
        Self { sources, named: RefCell::new(Vec::new()) }
    }

    /// Returns the files that were named, in order.
    pub(super) fn into_named(self) -> Vec<NamedFile> {
        self.named.into_inner()
    }
}

impl<'a> Deref for ConfigFiles<'a> {
    type Target = Sources<'a>;

    fn deref(&self) -> &Sources<'a> {
        self.sources
    }
}

/// Resolves a path. Relative paths start at the configuration file's directory.
pub(super) fn resolve(files: &ConfigFiles<'_>, text: &str) -> PathBuf {
    files.directory.join(text)
}

/// Reads the file that `key` names, and records it as a named file.
pub(super) fn read(files: &ConfigFiles<'_>, key: &str, path: &Path) -> Result<Zeroizing<Vec<u8>>, Diagnosis> {
    let content = (files.read)(path).map(Zeroizing::new);
    let digested = content.as_ref().ok().map(|content| content.as_slice());
    files.named.borrow_mut().push(NamedFile::new(key.to_owned(), path.to_owned(), digested));
    content.map_err(|error| {
        let shown = shown(&path.display().to_string(), "the file");
        if error.kind() == io::ErrorKind::NotFound {
            let remedy =
                "put it there, or name another one (relative paths start at the configuration file's directory)";
            misconfigured(format!("{shown} does not exist"), remedy)
        } else if error.kind() == io::ErrorKind::PermissionDenied {
            misconfigured(format!("{shown} is not readable"), "make it readable for the user that the service runs as")
        } else {
            misconfigured(format!("{shown} cannot be read ({})", error.kind()), "name a readable file")
        }
    })
}

/// Reads the file or the directory of certificates that `key` names, and records it as a named file. `None` if it
/// cannot be read.
pub(super) fn read_location(files: &ConfigFiles<'_>, key: &str, path: &Path) -> Option<Zeroizing<Vec<u8>>> {
    let content = content(path, files.read).ok();
    let digested = content.as_ref().map(|content| content.as_slice());
    files.named.borrow_mut().push(NamedFile::new(key.to_owned(), path.to_owned(), digested));
    content
}

/// Returns the content of a file; of a directory, the names and contents of the files in it.
///
/// # Errors
/// The operating system's error if it cannot be read.
fn content(path: &Path, read: impl Fn(&Path) -> io::Result<Vec<u8>>) -> io::Result<Zeroizing<Vec<u8>>> {
    match read(path) {
        Err(error) if error.kind() == io::ErrorKind::IsADirectory => {}
        content => return content.map(Zeroizing::new),
    }
    let mut all = Zeroizing::new(Vec::new());
    for path in certificates(path)? {
        // Skips subdirectories, and files that have just been removed.
        let Ok(content) = read(&path).map(Zeroizing::new) else { continue };
        all.extend_from_slice(path.as_os_str().as_encoded_bytes());
        all.extend_from_slice(&content);
    }
    Ok(all)
}

/// Returns the paths of the certificates in a directory, by their names: those that OpenSSL looks up (`5ed36f99.0`), and
/// PEM files. Other files there can change at any time.
///
/// # Errors
/// The operating system's error if it is not a directory, or cannot be read.
pub(crate) fn certificates(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let is_certificate = |path: &PathBuf| {
        let (stem, extension) = (path.file_stem().and_then(OsStr::to_str), path.extension().and_then(OsStr::to_str));
        let is_hash = stem.is_some_and(|stem| stem.len() == 8 && stem.bytes().all(|byte| byte.is_ascii_hexdigit()));
        extension.is_some_and(|extension| {
            ["pem", "crt", "cer"].contains(&extension) || (is_hash && extension.bytes().all(|b| b.is_ascii_digit()))
        })
    };
    let paths = std::fs::read_dir(directory)?.filter_map(|entry| Some(entry.ok()?.path()));
    let mut paths: Vec<_> = paths.filter(is_certificate).collect();
    paths.sort_unstable();
    Ok(paths)
}

/// Returns the path of a PEM file, after checking that it is readable and has a block whose label ends in `label`.
pub(super) fn pem(files: &ConfigFiles<'_>, raw_value: &RawValue, label: &str) -> Result<PathBuf, Diagnosis> {
    let path = resolve(files, raw_value.text()?);
    let content = read(files, &raw_value.key, &path)?;
    let content = text::plain(&content);
    let held = String::from_utf8_lossy(&content)
        .lines()
        .filter_map(|line| line.trim().strip_prefix("-----BEGIN ")?.strip_suffix("-----"))
        .any(|found| found.ends_with(label));
    if held {
        Ok(path)
    } else {
        let remedy = format!("name a PEM file with a block \"-----BEGIN {label}-----\"");
        Err(misconfigured(format!("{} contains no {label} in PEM format", path.display()), remedy))
    }
}

/// The path of a PEM file that holds a private key which no passphrase protects: a service cannot ask for one.
pub(super) fn private_key(files: &ConfigFiles<'_>, raw_value: &RawValue) -> Result<PathBuf, Diagnosis> {
    let path = pem(files, raw_value, "PRIVATE KEY")?;
    if (files.read)(&path).is_ok_and(|content| needs_passphrase(&Zeroizing::new(content))) {
        let shown = path.display();
        return Err(misconfigured(
            format!("the private key in {shown} needs a passphrase, which nobody can enter"),
            format!("write it without one, readable by the service alone: openssl pkey -in {shown} -out plain.key"),
        ));
    }
    Ok(path)
}

/// Returns true if a PEM file has an encrypted private key: PKCS#8 (RFC 7468 §11), or the older form.
pub(super) fn needs_passphrase(content: &[u8]) -> bool {
    let content = Zeroizing::new(String::from_utf8_lossy(content).into_owned());
    content.contains("-----BEGIN ENCRYPTED PRIVATE KEY-----") || content.contains("Proc-Type: 4,ENCRYPTED")
}

/// Returns a path or variable name for a diagnosis. Returns `otherwise` if it looks like a key that was entered by
/// mistake.
pub(super) fn shown(text: &str, otherwise: &str) -> String {
    let tail = text.rsplit('/').next().unwrap_or(text);
    let key_like = tail.len() >= 32 && tail.chars().all(|c| c.is_ascii_hexdigit());
    if key_like { otherwise.to_owned() } else { text.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_changes_with_the_files_in_it() {
        let directory = tempfile::tempdir().unwrap();
        let file = |name: &str, content: &str| std::fs::write(directory.path().join(name), content).unwrap();
        let digest = || NamedFile::new("key".to_owned(), directory.path().to_owned(), None).read_again().digest;
        std::fs::create_dir(directory.path().join("more")).unwrap();
        let empty = digest();
        assert!(empty.is_some());
        file("b.pem", "1");
        let one = digest();
        file("b.pem", "2");
        let changed = digest();
        file("a.pem", "2");
        let two = digest();
        let all = [empty, one, changed, two];
        assert!(all.iter().enumerate().all(|(index, digest)| !all[..index].contains(digest)));
        assert_eq!(digest(), two);
    }
}
