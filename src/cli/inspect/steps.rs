//! Shows the steps of a callback: those that succeed, the one that fails, and the resulting records.

use std::io::{self, Write};

use idaas_callback::jose::jws::KeySet;
use idaas_callback::policy::Policy;
use idaas_callback::record::Record;
use idaas_callback::{
    Disposition, Plaintext, PreparedEvent, Refusal, RequestContext, Verified, authenticate, decode, decrypt, normalize,
};
use serde_json::Value;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::captured::Captured;
use super::pretty::{Strings, pretty};
use super::remedy::{Step, diagnosis, step};
use crate::cli::Exit;
use crate::cli::output::{fix_line, program};
use crate::config::{Application, JwksSource};
use crate::counts::counted;
use crate::diagnosis::Diagnosis;
use crate::terminal::{BAD, GOOD, HEADING, QUIET, WARNING, entry, styled};

/// Column at which the values of a step start.
const MARGIN: usize = 16;

/// The context of the checks, and the output.
pub(super) struct Screen<'a> {
    pub(super) out: &'a mut dyn Write,
    pub(super) application: &'a Application,
    pub(super) policy: &'a Policy,
    /// Time at which the token is verified, in milliseconds since 1970.
    pub(super) at: i64,
    /// Id of the callback, if it is in quarantine.
    pub(super) quarantined: Option<&'a str>,
}

impl Screen<'_> {
    /// Runs the body through all stages, as far as it gets.
    pub(super) fn show(
        &mut self,
        body: &[u8],
        captured: &Captured,
        (keys, source): (&KeySet, &JwksSource),
    ) -> io::Result<Exit> {
        let authentic = authenticate(body, keys, self.policy, self.at.div_euclid(1000));
        let failed = authentic.as_ref().err().copied();
        self.frame(body, captured, failed, (keys, source))?;
        let verified = match authentic {
            Ok(verified) => verified,
            Err(refusal) => return self.refused(refusal),
        };
        self.content(verified, captured.encryption())
    }

    /// Decrypts and decodes the content of a verified callback. `header` is that of its encryption.
    pub(super) fn content(&mut self, verified: Verified, header: Option<Value>) -> io::Result<Exit> {
        let plaintext = match decrypt(verified, self.policy) {
            Ok(plaintext) => plaintext,
            Err(refusal) => {
                let text = match (header, self.policy.decryption_keys.len()) {
                    (None, _) => "cipherData is not a compact JWE".to_owned(),
                    (Some(header), 1) => {
                        format!("the key in decryption_keys does not decrypt it; its header: {header}")
                    }
                    (Some(header), keys) => {
                        format!("none of the {keys} keys in decryption_keys decrypts it; its header: {header}")
                    }
                };
                self.step("decryption", Some(refusal), &text)?;
                return self.refused(refusal);
            }
        };
        self.opened(&plaintext)?;
        let shown = pretty(plaintext.text(), Strings::Unfolded, MARGIN);
        let size = plaintext.text().len();
        let context = RequestContext { received_at: self.at, traceparent: None };
        let items = decode(plaintext, self.policy).and_then(|callback| normalize(&callback, self.policy, context));
        match items {
            Ok(items) => {
                self.value("payload", &shown.unwrap_or_default())?;
                self.items(&items)?;
                Ok(Exit::Success)
            }
            Err(refusal) => {
                self.step(
                    "events",
                    Some(refusal),
                    &format!("{} that are not a list of events", counted(size as u64, "byte")),
                )?;
                self.refused(refusal)
            }
        }
    }

    /// Shows everything up to the claims.
    fn frame(
        &mut self,
        body: &[u8],
        captured: &Captured,
        failed: Option<Refusal>,
        (keys, source): (&KeySet, &JwksSource),
    ) -> io::Result<()> {
        let at = |wanted: Step| failed.filter(|refusal| step(*refusal) == wanted);
        let Application { name, id, .. } = self.application;
        self.value("judged as of", &readable(self.at.div_euclid(1000)))?;
        self.value("application", &format!("{name} ({id})"))?;
        let token = captured
            .token
            .as_ref()
            .map_or_else(String::new, |token| format!(", a token of {}", counted(token.len() as u64, "character")));
        let size = match (captured.is_bare, &captured.token) {
            (true, Some(token)) => format!("a bare token of {}", counted(token.len() as u64, "character")),
            (true | false, _) => format!("{}{token}", counted(body.len() as u64, "byte")),
        };
        self.step("envelope", at(Step::Envelope), &size)?;
        if let Some(header) = &captured.header {
            self.step("header", at(Step::Header), &header.to_string())?;
        }
        if failed.is_none_or(|refusal| step(refusal) >= Step::Signature) {
            let known: Vec<_> = keys.key_ids().collect();
            let text = match at(Step::Signature) {
                Some(_) => format!("the keys of {source} are {}", known.join(", ")),
                None => format!("valid, by key {}", captured.key_id().unwrap_or_default()),
            };
            self.step("signature", at(Step::Signature), &text)?;
        }
        let Some(claims) = &captured.claims else { return Ok(()) };
        let trusted = failed.is_none_or(|refusal| step(refusal) >= Step::Claims);
        self.step(
            "claims",
            at(Step::Claims),
            if trusted { "" } else { "not trustworthy, because the signature is not valid" },
        )?;
        self.claims(claims)
    }

    fn claims(&mut self, claims: &Value) -> io::Result<()> {
        for (name, value) in claims.as_object().into_iter().flatten() {
            let shown = match (name.as_str(), value) {
                ("iat" | "exp" | "nbf", value) => match value.as_f64() {
                    Some(seconds) => self.time(seconds as i64),
                    None => value.to_string(),
                },
                ("cipherData" | "plainData", Value::String(text)) => counted(text.len() as u64, "character"),
                ("plainData", value) => format!("{} of JSON", counted(value.to_string().len() as u64, "byte")),
                (_, value) => value.to_string(),
            };
            writeln!(self.out, "{:MARGIN$}{}", "", entry(QUIET, name, 14, shown))?;
        }
        Ok(())
    }

    /// Formats a time and its distance from the time of verification.
    fn time(&self, seconds: i64) -> String {
        let apart = seconds.saturating_sub(self.at.div_euclid(1000));
        let span = humantime::format_duration(std::time::Duration::from_secs(apart.unsigned_abs()));
        let relation = if apart < 0 { "earlier" } else { "later" };
        format!("{} ({span} {relation})", readable(seconds))
    }

    fn opened(&mut self, plaintext: &Plaintext) -> io::Result<()> {
        let text = match plaintext.key() {
            Some(position) => {
                let id = self.policy.decryption_keys.get(position).map_or("", |key| key.id());
                format!("decryption_keys[{position}] (SHA-256 {id}…) decrypted it")
            }
            None => "not encrypted, which require_encryption = false permits".to_owned(),
        };
        self.step("decryption", None, &text)
    }

    fn items(&mut self, items: &[PreparedEvent]) -> io::Result<()> {
        let (mut records, mut skipped, mut dead) = (0, 0, 0);
        for (index, item) in items.iter().enumerate() {
            let kind = format!("{}.{}", item.entity.name(), item.action.name());
            write!(self.out, "\n{} {} {}", styled(HEADING, format_args!("event {}", index + 1)), item.id.text(), kind)?;
            match &item.disposition {
                Disposition::Publish { record, credential } => {
                    records += 1;
                    writeln!(self.out, " {}", styled(GOOD, "would be published"))?;
                    self.record(record)?;
                    if let Some(credential) = credential {
                        records += 1;
                        self.record(credential)?;
                    }
                }
                Disposition::Skip => {
                    skipped += 1;
                    writeln!(self.out, " {}", styled(WARNING, "would be skipped: the configuration says so"))?;
                }
                Disposition::DeadLetter { reason, record } => {
                    dead += 1;
                    let text = format!("would be a dead letter: {}", reason.code());
                    writeln!(self.out, " {}", styled(WARNING, text))?;
                    self.record(record)?;
                }
            }
            let drift = item.drift;
            if drift.unknown + drift.malformed + drift.conflicting > 0 {
                let (unknown, malformed, conflicting) = (drift.unknown, drift.malformed, drift.conflicting);
                writeln!(self.out, "  fields: {unknown} unknown, {malformed} malformed, {conflicting} conflicting")?;
            }
        }
        let [events, records, dead] = [(items.len(), "event"), (records, "record"), (dead, "dead letter")]
            .map(|(count, noun)| counted(count as u64, noun));
        let counts = format!("{events}: {records}, {skipped} skipped, {dead}");
        writeln!(self.out, "\n{} {counts}. Nothing was published.", styled(GOOD, "accepted:"))?;
        let Some(id) = self.quarantined else { return Ok(()) };
        let step = format!("publish it: {} journal redrive {id}; a reload or restart does so as well", program());
        writeln!(self.out, "{}", fix_line("next", step))
    }

    fn record(&mut self, record: &Record) -> io::Result<()> {
        writeln!(self.out, "  {} {}", styled(QUIET, "topic"), record.topic)?;
        writeln!(self.out, "  {}   {}", styled(QUIET, "key"), record.key.as_deref().unwrap_or("(none)"))?;
        for (name, value) in record.headers.iter() {
            writeln!(self.out, "  {} {name}: {value}", styled(QUIET, "header"))?;
        }
        let value = String::from_utf8_lossy(&record.value);
        // The sealed password of a credential is masked too, because a reader cannot use it.
        let value = pretty(&value, Strings::Folded, 2).unwrap_or_default();
        writeln!(self.out, "  {} {value}", styled(QUIET, "value"))
    }

    fn refused(&mut self, refusal: Refusal) -> io::Result<Exit> {
        let verdict = styled(BAD, format_args!("refused: {} (status {})", refusal.code(), refusal.status()));
        let Diagnosis { problem, remedy, .. } = diagnosis(refusal, self.quarantined);
        writeln!(self.out, "\n{verdict}\n{problem}\n{}", fix_line("fix", remedy.unwrap_or_default()))?;
        Ok(Exit::Failed)
    }

    fn step(&mut self, name: &str, failed: Option<Refusal>, text: &str) -> io::Result<()> {
        let mark = match failed {
            Some(refusal) => styled(BAD, format_args!("{} ", refusal.code())),
            None => String::new(),
        };
        self.value(name, &format!("{mark}{text}"))
    }

    pub(super) fn value(&mut self, name: &str, value: &str) -> io::Result<()> {
        writeln!(self.out, "{}", entry(HEADING, name, MARGIN, value).trim_end())
    }
}

pub(super) fn readable(seconds: i64) -> String {
    let time = OffsetDateTime::from_unix_timestamp(seconds).ok().and_then(|time| time.format(&Rfc3339).ok());
    time.unwrap_or_else(|| seconds.to_string())
}
