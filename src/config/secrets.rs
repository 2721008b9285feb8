//! Secrets: `{ file = "…" }`, `{ env = "…" }`, or inline. Diagnoses never contain the secret.

use std::sync::Arc;

use idaas_callback::jose::jwe::ContentKey;
use zeroize::Zeroizing;

use super::SecretFile;
use super::files::{self, shown};
use super::raw_value::{Entries, Raw, RawValue};
use super::table_reader::Diagnostics;
use crate::diagnosis::{Diagnosis, misconfigured};
use crate::secret::Secret;
use crate::text::{without_byte_order_mark, without_line_ending};

const FORMS: &str = "write { file = \"…\" } or { env = \"…\" }";

/// Reads a secret text. Removes a byte-order mark and the last line ending, which editors and `echo` write into files.
pub(super) fn text(diagnostics: &mut Diagnostics<'_>, raw_value: &RawValue) -> Result<Secret<String>, Diagnosis> {
    let secret = match &raw_value.raw {
        Raw::Table(entries) => read_reference(diagnostics, entries)?,
        Raw::Variable(text) => Zeroizing::new(text.clone()),
        Raw::Plain(toml::Value::String(text)) => {
            let remedy = "move it out and write { file = \"…\" }";
            diagnostics.warn(&raw_value.key, "the secret is in the configuration itself", remedy);
            Zeroizing::new(text.clone())
        }
        Raw::Plain(_) | Raw::List(_) => return Err(raw_value.mismatch(FORMS)),
    };
    let ended = without_line_ending(&secret);
    if ended.is_empty() {
        return Err(misconfigured("the secret is empty", "put the secret there"));
    }
    Ok(Secret::new(ended.to_owned()))
}

/// Returns true if a table is a reference to a secret and not a table of further keys.
pub(super) fn is_reference(entries: &Entries) -> bool {
    entries.len() == 1 && (entries.contains_key("file") || entries.contains_key("env"))
}

fn read_reference(diagnostics: &mut Diagnostics<'_>, entries: &Entries) -> Result<Zeroizing<String>, Diagnosis> {
    let mut entries = entries.iter();
    match (entries.next(), entries.next()) {
        (Some((form, raw_value)), None) if form == "file" => {
            let path = files::resolve(diagnostics.files, raw_value.text()?);
            let content = files::read(diagnostics.files, &raw_value.key, &path)?;
            diagnostics.secret_files.push(SecretFile { key: raw_value.key.clone(), path: path.clone() });
            std::str::from_utf8(without_byte_order_mark(&content)).map(|text| Zeroizing::new(text.to_owned())).map_err(
                |_| misconfigured(format!("{} is not text", path.display()), "put the secret there as text (UTF-8)"),
            )
        }
        (Some((form, raw_value)), None) if form == "env" => {
            let name = raw_value.text()?;
            if diagnostics.files.variables.get(name).is_some_and(|value| value.contains('\u{fffd}')) {
                return Err(misconfigured("names an environment variable that is not text", "set it as UTF-8"));
            }
            diagnostics.files.variables.get(name).map(|value| Zeroizing::new(value.clone())).ok_or_else(|| {
                let conventional = name.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_');
                let name = if conventional { shown(name, "it names") } else { "it names".to_owned() };
                misconfigured(format!("the environment variable {name} is not set"), "set it for the service")
            })
        }
        (None | Some(_), _) => Err(misconfigured("is not a reference to a secret", FORMS)),
    }
}

/// The accepted lengths of a key.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum KeyLength {
    /// 64 hex digits: AES-256.
    Aes256,
    /// 64, 48 or 32 hex digits.
    Any,
}

/// Reads a key in hexadecimal.
pub(super) fn key(
    diagnostics: &mut Diagnostics<'_>,
    raw_value: &RawValue,
    length: KeyLength,
) -> Result<Arc<ContentKey>, Diagnosis> {
    let text = text(diagnostics, raw_value)?;
    let digits = text.expose().trim();
    let remedy = match length {
        KeyLength::Aes256 => "create one with: openssl rand -hex 32",
        KeyLength::Any => "copy the \"Encryption Key\" of the application's provisioning settings as it is",
    };
    let key = ContentKey::from_hex(digits).map_err(|fault| misconfigured(key_problem(fault), remedy))?;
    if length == KeyLength::Aes256 && digits.len() != 64 {
        return Err(misconfigured(format!("the key has {} hex digits and must have 64", digits.len()), remedy));
    }
    Ok(Arc::new(key))
}

fn key_problem(fault: idaas_callback::jose::jwe::KeyFault) -> String {
    match fault {
        idaas_callback::jose::jwe::KeyFault::NotHexadecimal => "the key is not hexadecimal (0-9, a-f)".to_owned(),
        idaas_callback::jose::jwe::KeyFault::WrongLength(digits) => {
            format!("the key has {digits} hex digits; 64 make an AES-256 key")
        }
    }
}
