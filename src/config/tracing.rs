//! The section `[tracing]`: export of spans. Without it, tracing is off.

use std::collections::BTreeMap;
use std::path::PathBuf;

use toml::Value;
use url::Url;

use super::raw_value::{Raw, RawValue};
use super::table_reader::{Diagnostics, TableReader};
use super::{fetch, files, secrets};
use crate::diagnosis::{Diagnosis, misconfigured};
use crate::secret::Secret;

const ENDPOINT: &str = "write the collector's OTLP address for HTTP, for example \"http://otel-collector:4318\"";
const TRACES_PATH: &str = "/v1/traces";
const DEFAULT_RATIO: f64 = 0.01;
const MAX_NAME_LENGTH: usize = 200;

/// Export of spans. Has no `Debug`, because it holds secrets.
#[derive(Clone, PartialEq)]
pub struct Tracing {
    /// The URL that spans are posted to.
    pub otlp_endpoint: String,
    /// Additional certificate authorities to trust for this URL, PEM. Was readable when the configuration was read.
    pub otlp_ca: Option<PathBuf>,
    /// The fraction of callbacks that is sampled, from 0 to 1.
    pub sample_ratio: f64,
    /// The resource attribute `service.name`.
    pub service_name: String,
    /// The HTTP headers of each export.
    pub headers: BTreeMap<String, Secret<String>>,
}

pub(super) fn read(diagnostics: &mut Diagnostics<'_>, raw_value: Option<RawValue>) -> Option<Tracing> {
    let raw_value = raw_value?;
    let mut section = TableReader::open(diagnostics, "tracing", Some(raw_value));
    let files = section.diagnostics.files;
    let name = section.name("otlp_endpoint");
    let endpoint = section.required("otlp_endpoint", ENDPOINT, endpoint);
    let otlp_ca: Option<PathBuf> = section.optional("otlp_ca", |raw_value| files::pem(files, raw_value, "CERTIFICATE"));
    let sample_ratio = section.value("sample_ratio", DEFAULT_RATIO, ratio);
    let service_name = section.value("service_name", "idaas-bridge".to_owned(), service_name);
    let headers = headers(&mut section);
    section.close();
    let endpoint = endpoint?;
    if endpoint.scheme() == "http" && !headers.is_empty() && !fetch::is_loopback(&endpoint) {
        diagnostics.warn(name, "uses http, so that tracing.headers can be read in transit", "use https");
    }
    Some(Tracing { otlp_endpoint: endpoint.into(), otlp_ca, sample_ratio, service_name, headers })
}

/// Returns the URL that spans are posted to. As usual for OTLP, `/v1/traces` is appended to the configured address.
/// Faults do not quote the value, because it can contain credentials.
fn endpoint(raw_value: &RawValue) -> Result<Url, Diagnosis> {
    let text = raw_value.text()?;
    let mut url =
        Url::parse(text).map_err(|error| misconfigured(format!("is not an absolute URL ({error})"), ENDPOINT))?;
    if !matches!(url.scheme(), "https" | "http") {
        return Err(misconfigured("is neither https nor http", ENDPOINT));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(misconfigured("contains credentials", "remove them, and write tracing.headers = { … }"));
    }
    if url.fragment().is_some() {
        return Err(misconfigured("has a fragment", ENDPOINT));
    }
    if url.port() == Some(4317) {
        let problem = "has port 4317, which is the collector's port for gRPC";
        return Err(misconfigured(problem, "write the port for HTTP, usually 4318"));
    }
    if !url.path().ends_with(TRACES_PATH) {
        let path = format!("{}{TRACES_PATH}", url.path().trim_end_matches('/'));
        url.set_path(&path);
    }
    Ok(url)
}

fn ratio(raw_value: &RawValue) -> Result<f64, Diagnosis> {
    let number = match &raw_value.raw {
        Raw::Plain(Value::Float(number)) => *number,
        Raw::Plain(Value::Integer(0)) => 0.0,
        Raw::Plain(Value::Integer(1)) => 1.0,
        Raw::Plain(Value::Integer(_)) => f64::NAN,
        Raw::Variable(text) => text.trim().parse().unwrap_or(f64::NAN),
        Raw::Plain(_) | Raw::List(_) | Raw::Table(_) => return Err(raw_value.mismatch("write a number from 0 to 1")),
    };
    if (0.0..=1.0).contains(&number) {
        Ok(number)
    } else {
        Err(misconfigured("is not a number from 0 to 1", "write 0.01 for one callback in a hundred"))
    }
}

fn service_name(raw_value: &RawValue) -> Result<String, Diagnosis> {
    let text = raw_value.text()?;
    if text.len() > MAX_NAME_LENGTH {
        return Err(misconfigured("is too long", format!("use at most {MAX_NAME_LENGTH} characters")));
    }
    Ok(text.to_owned())
}

/// Reads the headers of each export, such as a token. Their values are secrets.
fn headers(section: &mut TableReader<'_, '_>) -> BTreeMap<String, Secret<String>> {
    let Some(raw_value) = section.take("headers") else { return BTreeMap::new() };
    let key = raw_value.key.clone();
    let entries = section.diagnostics.accept(&key, raw_value.table()).unwrap_or_default();
    let mut headers = BTreeMap::new();
    for (name, raw_value) in entries {
        let value = secrets::text(section.diagnostics, &raw_value).and_then(|value| header(&name, value));
        headers.extend(section.diagnostics.accept(&raw_value.key, value).map(|value| (name, value)));
    }
    headers
}

fn header(name: &str, value: Secret<String>) -> Result<Secret<String>, Diagnosis> {
    let is_token = |c: u8| c.is_ascii_alphanumeric() || matches!(c, b'-' | b'_' | b'.');
    if name.is_empty() || !name.bytes().all(is_token) {
        return Err(misconfigured("is not a header name", "use letters, digits and \"-\""));
    }
    if !value.expose().bytes().all(|c| c == b' ' || c.is_ascii_graphic()) {
        return Err(misconfigured(
            "the value has characters that a header cannot have",
            "use visible ASCII characters",
        ));
    }
    Ok(value)
}
