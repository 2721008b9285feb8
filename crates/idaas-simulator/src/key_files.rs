//! The directory that `simulate init` writes and `simulate send` reads: the keys of a simulated instance, and a
//! configuration of a bridge that trusts it.
//!
//! Never overwrites, so that repeating a command cannot destroy a key that is in use.

use std::fs::OpenOptions;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use serde::Deserialize;
use zeroize::Zeroizing;

use super::tenant_keys::{ALI_UID, Identity, TenantKeys, TenantKeysError};
use crate::encryption::ContentKey;
use crate::signing::SigningKey;

/// The private key that signs callbacks, in PEM.
pub const SIGNING_KEY: &str = "signing.pem";
/// The public key: a JSON Web Key Set, as IDaaS serves it.
pub const KEY_SET: &str = "jwks.json";
/// The key that encrypts callbacks, 64 hex digits.
pub const ENCRYPTION_KEY: &str = "encryption.key";
/// The key that encrypts the bridge's journal, 64 hex digits.
pub const JOURNAL_KEY: &str = "journal.key";
/// The token that protects the bridge's admin interface, 64 hex digits.
pub const ADMIN_TOKEN: &str = "admin.token";
/// The bridge's configuration.
pub const CONFIGURATION: &str = "bridge.toml";

/// A fault of a directory. Its text contains a remedy.
#[derive(Debug)]
pub enum DirectoryFault {
    /// These files already exist; nothing was written.
    InTheWay(Vec<PathBuf>),
    /// A file or the directory cannot be written.
    Write(PathBuf, std::io::Error),
    /// A file cannot be read.
    Read(PathBuf, std::io::Error),
    /// A file has the wrong content; the text describes the problem.
    Content(PathBuf, &'static str),
    /// The configuration has no application with this name. Contains the names that it has.
    NoApplication(String, Vec<String>),
    /// A key cannot be used.
    Material(TenantKeysError),
}

impl std::fmt::Display for DirectoryFault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::InTheWay(files) => {
                let files: Vec<_> = files.iter().map(|file| file.display().to_string()).collect();
                let files = files.join(", ");
                write!(f, "nothing was written, because these files exist already: {files}; choose another directory")
            }
            Self::Write(path, error) => write!(f, "{} cannot be written: {error}", path.display()),
            Self::Read(path, error) => write!(
                f,
                "{} cannot be read: {error}; --keys must name a directory that `simulate init` wrote",
                path.display()
            ),
            Self::Content(path, problem) => write!(f, "{} {problem}", path.display()),
            Self::NoApplication(name, known) => {
                write!(f, "{CONFIGURATION} has no application {name:?}; it has: {}", known.join(", "))
            }
            Self::Material(fault) => write!(f, "the keys cannot be used: {fault}"),
        }
    }
}

impl std::error::Error for DirectoryFault {}

/// Writes the files of `tenant_keys`, a new journal key and admin token, and a configuration of `applications`
/// applications, which share the keys. Creates `directory` if it does not exist. Private keys and the token get the
/// permissions 0600. Returns the paths of the files.
///
/// # Errors
/// [`DirectoryFault`] if one of the files already exists, in which case none is written, or if one cannot be written.
pub fn init(directory: &Path, tenant_keys: &TenantKeys, applications: u16) -> Result<Vec<PathBuf>, DirectoryFault> {
    let line = |text: &str| Zeroizing::new(format!("{text}\n").into_bytes());
    let generate = || ContentKey::generate_hex().map_err(TenantKeysError::Encryption).map_err(DirectoryFault::Material);
    let configuration = configuration(&identities(&tenant_keys.identity, applications));
    let jwks = serde_json::to_string_pretty(&tenant_keys.jwks()).unwrap_or_default();
    let files = [
        (SIGNING_KEY, 0o600, tenant_keys.signing.to_pem()),
        (KEY_SET, 0o644, line(&jwks)),
        (ENCRYPTION_KEY, 0o600, line(&tenant_keys.encryption_key())),
        (JOURNAL_KEY, 0o600, line(&generate()?)),
        (ADMIN_TOKEN, 0o600, line(&generate()?)),
        (CONFIGURATION, 0o644, Zeroizing::new(configuration.into_bytes())),
    ];
    write_new(directory, &files)
}

/// Returns the first application, and further ones of the same instance.
fn identities(first: &Identity, applications: u16) -> Vec<Identity> {
    let more = (2..=applications).map(|number| Identity {
        application: format!("application-{number}"),
        instance_id: first.instance_id.clone(),
        ..Identity::generate()
    });
    std::iter::once(first.clone()).chain(more).collect()
}

/// A file to write: name, permissions, content.
pub type NewFile = (&'static str, u32, Zeroizing<Vec<u8>>);

/// Writes files into `directory`, and creates it if it does not exist. Returns their paths.
///
/// # Errors
/// [`DirectoryFault`] if one of the files already exists, in which case none is written, or if one cannot be written.
pub fn write_new(directory: &Path, files: &[NewFile]) -> Result<Vec<PathBuf>, DirectoryFault> {
    let in_the_way: Vec<_> =
        files.iter().map(|(name, ..)| directory.join(name)).filter(|path| path.symlink_metadata().is_ok()).collect();
    if !in_the_way.is_empty() {
        return Err(DirectoryFault::InTheWay(in_the_way));
    }
    std::fs::create_dir_all(directory).map_err(|error| DirectoryFault::Write(directory.to_owned(), error))?;
    files.iter().map(|(name, mode, content)| write(directory.join(name), *mode, content)).collect()
}

fn write(path: PathBuf, mode: u32, content: &[u8]) -> Result<PathBuf, DirectoryFault> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, mode);
    match options.open(&path).and_then(|mut file| file.write_all(content)) {
        Ok(()) => Ok(path),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Err(DirectoryFault::InTheWay(vec![path])),
        Err(error) => Err(DirectoryFault::Write(path, error)),
    }
}

/// Returns the configuration of a local bridge that accepts callbacks of these applications, and publishes to a local
/// broker.
#[must_use]
pub fn configuration(identities: &[Identity]) -> String {
    let mut text = format!(
        r#"# A bridge for a simulated IDaaS instance: for tests and staging. Its keys are in the same directory.
# Start:  idaas-bridge serve --config bridge.toml
# Send:   idaas-bridge simulate send --to http://127.0.0.1:8080 --keys .

[server]
listen = "127.0.0.1:8080"          # callbacks
admin_listen = "127.0.0.1:9464"    # console, metrics, health
admin_token = {{ file = "{ADMIN_TOKEN}" }}

[kafka]
bootstrap_servers = ["localhost:9092"]

[topics]
create = true
partitions = 12
replication_factor = 1             # one broker; three in production

[journal]
directory = "journal"
keys = [{{ file = "{JOURNAL_KEY}" }}]

[log]
format = "text"
"#
    );
    for Identity { application, application_id, instance_id, .. } in identities {
        text += &format!(
            r#"
[[application]]
name = "{application}"
id = "{application_id}"
instance_id = "{instance_id}"
jwks = {{ file = "{KEY_SET}" }}
decryption_keys = [{{ file = "{ENCRYPTION_KEY}" }}]
"#
        );
    }
    text
}

#[derive(Deserialize)]
struct Configuration {
    application: Vec<Application>,
}

/// The part of an application's configuration that the sender needs.
#[derive(Deserialize)]
struct Application {
    name: String,
    id: String,
    instance_id: Option<String>,
    #[serde(default)]
    skip: Vec<String>,
}

/// Reads the keys in `directory`, and from its configuration the ids of the application `name`, or of the first one.
///
/// # Errors
/// [`DirectoryFault`] if a file is missing or invalid, or if there is no such application.
pub fn load(directory: &Path, name: Option<&str>) -> Result<TenantKeys, DirectoryFault> {
    let read = |name: &str| {
        let path = directory.join(name);
        match std::fs::read(&path) {
            Ok(content) => Ok((path, Zeroizing::new(content))),
            Err(error) => Err(DirectoryFault::Read(path, error)),
        }
    };
    let (path, content) = read(CONFIGURATION)?;
    let application = application(&path, &content, name)?;
    let (path, content) = read(KEY_SET)?;
    let key_id = key_id(&content).ok_or(DirectoryFault::Content(path, "is not a JSON Web Key Set with a \"kid\""))?;
    let (_, pem) = read(SIGNING_KEY)?;
    let signing = SigningKey::from_pem(&pem, &key_id)
        .map_err(|fault| DirectoryFault::Material(TenantKeysError::Signing(fault)))?;
    let (path, content) = read(ENCRYPTION_KEY)?;
    let hex = std::str::from_utf8(&content).map_err(|_| DirectoryFault::Content(path, "is not text"))?;
    let identity = Identity {
        application: application.name,
        application_id: application.id,
        // Without an instance id in the configuration, the bridge accepts any.
        instance_id: application.instance_id.unwrap_or_else(|| Identity::generate().instance_id),
        ali_uid: ALI_UID,
    };
    let mut tenant_keys = TenantKeys::new(identity, signing, hex.trim()).map_err(DirectoryFault::Material)?;
    tenant_keys.skip = application.skip;
    Ok(tenant_keys)
}

fn application(path: &Path, content: &[u8], name: Option<&str>) -> Result<Application, DirectoryFault> {
    let text = std::str::from_utf8(content).ok();
    let configuration: Option<Configuration> = text.and_then(|text| toml::from_str(text).ok());
    let fault = || DirectoryFault::Content(path.to_owned(), "names no [[application]] with name and id");
    let mut applications = configuration.ok_or_else(fault)?.application.into_iter();
    let Some(wanted) = name else { return applications.next().ok_or_else(fault) };
    let mut others = Vec::new();
    applications
        .find(|application| {
            application.name == wanted || {
                others.push(application.name.clone());
                false
            }
        })
        .ok_or_else(|| DirectoryFault::NoApplication(wanted.to_owned(), others))
}

fn key_id(document: &[u8]) -> Option<String> {
    let document: serde_json::Value = serde_json::from_slice(document).ok()?;
    Some(document.get("keys")?.get(0)?.get("kid")?.as_str()?.to_owned())
}

#[cfg(test)]
#[path = "tests/key_files.rs"]
mod tests;
