//! The keys of one `[[application]]`: for signatures, for decryption, and for encrypting passwords.

use std::sync::Arc;

use idaas_callback::jose::jwe::ContentKey;
use idaas_callback::jose::jws::KeySet;
use idaas_callback::policy::Passwords;
use url::{Host, Url};

use super::raw_value::{Raw, RawValue};
use super::secrets::{self, KeyLength};
use super::table_reader::TableReader;
use super::{Journal, JwksSource, files, values};
use crate::diagnosis::{Diagnosis, misconfigured};

const ENDPOINT: &str =
    "copy the \"Public Key Endpoint\" of the application's provisioning settings: https://…/provisioning/jwks";

/// Reads the source of the public keys.
pub(super) fn jwks(section: &mut TableReader<'_, '_>) -> Option<JwksSource> {
    let files = section.diagnostics.files;
    let ca_name = section.name("jwks_ca");
    let ca_file = section.optional("jwks_ca", |raw_value| files::pem(files, raw_value, "CERTIFICATE"));
    let name = section.name("jwks");
    let Some(raw_value) = section.take("jwks") else {
        section.diagnostics.fault(name, "is missing", ENDPOINT);
        return None;
    };
    match &raw_value.raw {
        Raw::Table(entries) => {
            if ca_file.is_some() {
                let remedy = "remove it, or set jwks to the URL of the key endpoint";
                section.diagnostics.fault(ca_name, "has no effect if jwks is a file", remedy);
            }
            let file = match (entries.get("file"), entries.len()) {
                (Some(file), 1) => key_set_file(section, file),
                (None | Some(_), _) => {
                    Err(misconfigured("is neither a URL nor a file", "write a URL, or { file = \"…\" }"))
                }
            };
            section.diagnostics.accept(&raw_value.key, file)
        }
        Raw::Plain(_) | Raw::Variable(_) | Raw::List(_) => {
            let url = raw_value.text().and_then(key_set_url);
            let url = section.diagnostics.accept(&raw_value.key, url)?;
            if url.scheme() == "http" && !is_loopback(&url) {
                let problem = "public keys fetched over http can be replaced in transit, and then anybody can sign \
                    callbacks";
                section.diagnostics.warn(&raw_value.key, problem, "use https");
            }
            Some(JwksSource::Url { url: url.into(), ca_file })
        }
    }
}

fn key_set_file(section: &TableReader<'_, '_>, file: &RawValue) -> Result<JwksSource, Diagnosis> {
    let files = section.diagnostics.files;
    let path = files::resolve(files, file.text()?);
    let content = files::read(files, &file.key, &path)?;
    KeySet::parse(&content).map_err(|fault| {
        misconfigured(format!("{}: {fault}", path.display()), "save what the application's public key endpoint returns")
    })?;
    Ok(JwksSource::File(path))
}

fn key_set_url(text: &str) -> Result<Url, Diagnosis> {
    // The URL is not quoted, because it can contain credentials.
    let url = Url::parse(text).map_err(|error| misconfigured(format!("is not an absolute URL ({error})"), ENDPOINT))?;
    if !matches!(url.scheme(), "https" | "http") {
        return Err(misconfigured("is neither https nor http", ENDPOINT));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(misconfigured("contains credentials, which are not supported", ENDPOINT));
    }
    Ok(url)
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

/// Reads the keys that decrypt callbacks. At least one is needed if `required`.
pub(super) fn decryption_keys(section: &mut TableReader<'_, '_>, required: bool) -> Vec<Arc<ContentKey>> {
    let name = section.name("decryption_keys");
    let before = section.diagnostics.faults.len();
    let keys = section.list("decryption_keys", |diagnostics, item| secrets::key(diagnostics, item, KeyLength::Any));
    let absent = keys.is_none();
    let keys = keys.unwrap_or_default();
    if required && keys.is_empty() && section.diagnostics.faults.len() == before {
        let problem = if absent { "is missing" } else { "is empty" };
        let remedy = "put the console's \"Encryption Key\" into a file and write [{ file = \"…\" }], or set \
            require_encryption = false if IDaaS does not encrypt";
        section.diagnostics.fault(name, problem, remedy);
    }
    keys
}

/// The value of `passwords`.
#[derive(Clone, Copy, strum::IntoStaticStr, strum::VariantArray)]
#[strum(serialize_all = "lowercase")]
enum PasswordMode {
    Drop,
    Seal,
}

/// Reads how passwords are handled. The mode `seal` needs a key.
pub(super) fn passwords(section: &mut TableReader<'_, '_>, journal: Option<&Journal>) -> Passwords {
    let mode = section.value("passwords", PasswordMode::Drop, values::choice);
    let name = section.name("credential_key");
    let raw_value = section.take("credential_key");
    match (mode, raw_value) {
        (PasswordMode::Drop, None) => Passwords::Drop,
        (PasswordMode::Drop, Some(_)) => {
            let remedy = "write passwords = \"seal\" to publish sealed passwords, or remove it";
            section.diagnostics.fault(name, "is set, while passwords are dropped", remedy);
            Passwords::Drop
        }
        (PasswordMode::Seal, None) => {
            let remedy = "name a key that only consumers of the credential topic share: { file = \"credential.key\" \
                }, created with: openssl rand -hex 32 > credential.key";
            section.diagnostics.fault(name, "is missing, and passwords = \"seal\" needs it", remedy);
            Passwords::Drop
        }
        (PasswordMode::Seal, Some(raw_value)) => {
            let key = secrets::key(section.diagnostics, &raw_value, KeyLength::Aes256);
            let Some(key) = section.diagnostics.accept(&raw_value.key, key) else { return Passwords::Drop };
            if journal.is_some_and(|journal| journal.keys.iter().any(|other| other.id() == key.id())) {
                let problem = "is also a journal key, so whoever reads passwords can decrypt the journal";
                section.diagnostics.warn(&raw_value.key, problem, "use a key of its own");
            }
            Passwords::Seal(key)
        }
    }
}
