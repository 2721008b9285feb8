//! Tests of the configuration. Files and variables are made up.

mod applications;
mod environment;
mod faults;
mod kafka;
mod reload;
mod secrets;
mod sections;
mod tracing;

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use super::{Config, Sources};
use crate::diagnosis::Diagnosis;

/// 64 hex digits that are easy to recognize where they must not appear.
pub(super) const KEY: &str = "5ec2e75ec2e75ec2e75ec2e75ec2e75ec2e75ec2e75ec2e75ec2e75ec2e7abcd";
pub(super) const OTHER_KEY: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

pub(super) const MINIMAL: &str = r#"
[kafka]
bootstrap_servers = ["kafka-1:9092"]
[journal]
keys = [{ file = "journal.key" }]
[[application]]
name = "workforce"
id = "app_one"
jwks = "https://eiam.example.com/jwks"
decryption_keys = [{ file = "current.key" }]
"#;

/// Sources for a configuration in a test.
pub(super) struct World {
    files: BTreeMap<PathBuf, Vec<u8>>,
    variables: BTreeMap<String, String>,
}

impl World {
    pub(super) fn new() -> Self {
        let world = Self { files: BTreeMap::new(), variables: BTreeMap::new() };
        world
            .file("journal.key", format!("{KEY}\n"))
            .file("current.key", OTHER_KEY)
            .file("next.key", "00112233445566778899aabbccddeeff")
            .file("jwks.json", key_set())
            .file("tls.crt", "-----BEGIN CERTIFICATE-----\nMII=\n-----END CERTIFICATE-----\n")
            .file("tls.key", "-----BEGIN RSA PRIVATE KEY-----\nMII=\n-----END RSA PRIVATE KEY-----\n")
    }

    pub(super) fn file(mut self, name: &str, content: impl Into<Vec<u8>>) -> Self {
        self.files.insert(Path::new("/etc/bridge").join(name), content.into());
        self
    }

    pub(super) fn variable(mut self, name: &str, value: &str) -> Self {
        self.variables.insert(name.to_owned(), value.to_owned());
        self
    }

    pub(super) fn parse(&self, text: &str) -> Result<Config, Vec<Diagnosis>> {
        let around = Sources {
            directory: Path::new("/etc/bridge"),
            variables: self.variables.clone(),
            read: &|path| self.files.get(path).cloned().ok_or_else(|| io::Error::from(io::ErrorKind::NotFound)),
        };
        Config::parse(text, &around)
    }

    /// Parses a valid configuration.
    pub(super) fn good(&self, text: &str) -> Config {
        self.parse(text).unwrap_or_else(|faults| panic!("{}", shown(&faults)))
    }

    /// Parses an invalid configuration and returns its faults, one per line.
    pub(super) fn bad(&self, text: &str) -> String {
        shown(&self.parse(text).err().expect("the configuration has no fault"))
    }
}

pub(super) fn shown(faults: &[Diagnosis]) -> String {
    faults.iter().map(|fault| format!("{fault}\n")).collect()
}

/// Returns the minimal configuration with one additional line in a section.
pub(super) fn with(section: &str, line: &str) -> String {
    if MINIMAL.contains(&format!("[{section}]")) {
        MINIMAL.replacen(&format!("[{section}]\n"), &format!("[{section}]\n{line}\n"), 1)
    } else {
        format!("[{section}]\n{line}\n{MINIMAL}")
    }
}

fn key_set() -> Vec<u8> {
    static KEY_SET: OnceLock<Vec<u8>> = OnceLock::new();
    let make = || idaas_simulator::signing::SigningKey::generate("one").unwrap().to_jwks().to_string().into_bytes();
    KEY_SET.get_or_init(make).clone()
}
