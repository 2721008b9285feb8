//! The last good key set on disk, so that the bridge can restart while the endpoint is unavailable.
//!
//! Each application has one file. It is replaced atomically: the new file is written beside it, synced and renamed. A
//! copy is used only for the source that it came from, and contains no URL part that could be secret. A file source
//! has no copy.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use idaas_callback::jose::jws::KeySet;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::fetch::MAX_DOCUMENT;
use crate::config::JwksSource;

/// The path of an application's copy, and the source that it must come from.
#[derive(Clone)]
pub(super) struct Cache {
    path: PathBuf,
    source: String,
    digest: String,
}

/// The content of a copy.
pub(super) struct Cached {
    pub(super) document: Vec<u8>,
    pub(super) set: KeySet,
    pub(super) fetched_at: SystemTime,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Content<'a> {
    /// Scheme, host and path, for display.
    source: String,
    /// SHA-256 of the URL without user info, for comparison.
    source_sha256: String,
    /// Unix time in milliseconds.
    fetched_at: u64,
    #[serde(borrow)]
    document: &'a RawValue,
}

impl Cache {
    /// Returns the cache of an application in `directory`. `None` if the source needs none.
    pub(super) fn new(directory: &Path, application: &str, source: &JwksSource) -> Option<Self> {
        let path = directory.join(format!("jwks-{}.json", file_name_part(application)));
        Some(Self { path, source: source.to_string(), digest: source.digest()? })
    }

    /// Reads the copy. `None` if there is none, or if it came from another source.
    ///
    /// # Errors
    /// If the file cannot be read or is damaged.
    pub(super) fn read(&self) -> io::Result<Option<Cached>> {
        let file = match File::open(&self.path) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let mut text = Vec::new();
        file.take(2 * MAX_DOCUMENT as u64).read_to_end(&mut text)?;
        let content: Content<'_> = serde_json::from_slice(&text).map_err(|_| ErrorKind::InvalidData)?;
        if content.source_sha256 != self.digest {
            return Ok(None);
        }
        let document = content.document.get().as_bytes().to_vec();
        let set = KeySet::parse(&document).map_err(|_| ErrorKind::InvalidData)?;
        let fetched_at =
            UNIX_EPOCH.checked_add(Duration::from_millis(content.fetched_at)).ok_or(ErrorKind::InvalidData)?;
        Ok(Some(Cached { document, set, fetched_at }))
    }

    /// Replaces the copy.
    ///
    /// # Errors
    /// If the directory cannot be written or the disk is full. The previous copy then stays.
    pub(super) fn write(&self, document: &[u8], fetched_at: SystemTime) -> io::Result<()> {
        let milliseconds = fetched_at.duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
        let content = Content {
            source: self.source.clone(),
            source_sha256: self.digest.clone(),
            fetched_at: u64::try_from(milliseconds).map_err(|_| ErrorKind::InvalidData)?,
            document: serde_json::from_slice(document).map_err(|_| ErrorKind::InvalidData)?,
        };
        let text = serde_json::to_vec(&content).map_err(|_| ErrorKind::InvalidData)?;
        let temporary = self.path.with_extension("json.new");
        // Only the owner may write it, because whoever can write it chooses the keys of the next start.
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
        file.write_all(&text)?;
        file.sync_all()?;
        std::fs::rename(&temporary, &self.path)
    }
}

/// Escapes all bytes but letters, digits, `-`, `_` and `.` as `%XX`, so that the file stays in the directory and
/// different names have different files.
fn file_name_part(application: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    application
        .bytes()
        .map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect()
}

#[cfg(test)]
mod tests {
    use idaas_simulator::signing::SigningKey;

    use super::*;

    fn source(url: &str) -> JwksSource {
        JwksSource::Url { url: url.to_owned(), ca_file: None }
    }

    fn cache(directory: &tempfile::TempDir, url: &str) -> Cache {
        Cache::new(directory.path(), "workforce", &source(url)).expect("a URL has a copy")
    }

    fn document(kid: &str) -> Vec<u8> {
        SigningKey::generate(kid).expect("a key").to_jwks().to_string().into_bytes()
    }

    #[test]
    fn what_was_written_is_read_again_with_its_time() {
        let directory = tempfile::tempdir().expect("a directory");
        let (cache, document) = (cache(&directory, "https://example.com/jwks"), document("KEY1"));
        let time = UNIX_EPOCH + Duration::from_millis(1_700_000_000_123);
        cache.write(b"{\"keys\":[]}", time).expect("written");
        cache.write(&document, time).expect("written again");
        let cached = cache.read().expect("readable").expect("there");
        assert_eq!(cached.document, document);
        assert_eq!(cached.fetched_at, time);
        assert_eq!(cached.set.key_ids().collect::<Vec<_>>(), ["KEY1"]);
        let names: Vec<_> =
            std::fs::read_dir(directory.path()).expect("a list").map(|e| e.unwrap().file_name()).collect();
        assert_eq!(names, ["jwks-workforce.json"]);
    }

    #[test]
    fn a_copy_from_another_source_is_not_used() {
        let directory = tempfile::tempdir().expect("a directory");
        cache(&directory, "https://example.com/a").write(&document("KEY1"), SystemTime::now()).expect("written");
        assert!(cache(&directory, "https://example.com/b").read().expect("readable").is_none());
    }

    #[test]
    fn no_secret_of_the_url_is_on_disk() {
        let directory = tempfile::tempdir().expect("a directory");
        let cache = cache(&directory, "https://user:hunter2@example.com/jwks?token=hunter3");
        cache.write(&document("KEY1"), SystemTime::now()).expect("written");
        let text = std::fs::read_to_string(directory.path().join("jwks-workforce.json")).expect("readable");
        assert!(text.contains("https://example.com/jwks") && !text.contains("hunter"), "{text}");
    }

    #[test]
    fn a_damaged_copy_is_an_error_and_a_missing_one_is_none() {
        let directory = tempfile::tempdir().expect("a directory");
        let cache = cache(&directory, "https://example.com/jwks");
        assert!(cache.read().expect("no error").is_none());
        std::fs::write(directory.path().join("jwks-workforce.json"), b"{\"source\":").expect("written");
        assert!(cache.read().is_err());
    }

    #[test]
    fn an_odd_application_name_cannot_leave_the_directory() {
        assert_eq!(file_name_part("../a b"), "..%2Fa%20b");
        assert_eq!(file_name_part("workforce-1"), "workforce-1");
    }
}
