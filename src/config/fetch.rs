//! The table `[application.fetch]`: access to an application's directory through the Developer API of IDaaS.

use url::{Host, Url};

use super::raw_value::RawValue;
use super::table_reader::{Diagnostics, TableReader};
use super::{Fetch, secrets};
use crate::diagnosis::{Diagnosis, misconfigured};

const ENDPOINT: &str = "write the Developer API's address of your region, for example \
    \"https://eiam-developerapi.cn-hangzhou.aliyuncs.com\"";
const SECRET: &str = "create a client secret for the application in the IDaaS console, put it into a file, and write \
    { file = \"client.secret\" }";
/// Default number of requests per second. Alibaba publishes no limit.
const DEFAULT_RATE: u32 = 5;
const MAX_RATE: i64 = 1000;

/// Reads the table. The client id defaults to the application's id. The instance id is required, because every request
/// contains it.
pub(super) fn read(
    diagnostics: &mut Diagnostics<'_>,
    raw_value: RawValue,
    application_id: Option<&str>,
    instance_id: Option<&str>,
) -> Option<Fetch> {
    let path = raw_value.key.clone();
    if instance_id.is_none() {
        diagnostics.fault(
            &path,
            "needs the application's instance_id",
            "set instance_id = \"idaas_…\" above this table",
        );
    }
    let mut section = TableReader::open(diagnostics, &path, Some(raw_value));
    let endpoint = section.required("endpoint", ENDPOINT, endpoint);
    let client_id = section.optional("client_id", |raw_value| raw_value.text().map(str::to_owned));
    let name = section.name("client_secret");
    let client_secret = match section.take("client_secret") {
        Some(raw_value) => {
            let secret = secrets::text(section.diagnostics, &raw_value);
            section.diagnostics.accept(&raw_value.key, secret)
        }
        None => {
            section.diagnostics.fault(name, "is missing", SECRET);
            None
        }
    };
    let requests_per_second = section.value("requests_per_second", DEFAULT_RATE, rate);
    section.close();
    let client_id = client_id.or_else(|| application_id.map(str::to_owned))?;
    Some(Fetch { endpoint: endpoint?, client_id, client_secret: client_secret?, requests_per_second })
}

/// Returns an absolute URL without a trailing slash. Faults do not quote the value, because it can contain credentials.
fn endpoint(raw_value: &RawValue) -> Result<String, Diagnosis> {
    let text = raw_value.text()?;
    let url = Url::parse(text).map_err(|error| misconfigured(format!("is not an absolute URL ({error})"), ENDPOINT))?;
    if !matches!(url.scheme(), "https" | "http") {
        return Err(misconfigured("is neither https nor http", ENDPOINT));
    }
    if !url.username().is_empty() || url.password().is_some() || url.query().is_some() || url.fragment().is_some() {
        return Err(misconfigured("has more than a host and a path", ENDPOINT));
    }
    if url.scheme() == "http" && !is_loopback(&url) {
        let problem = "uses http, so that the client secret and the whole directory could be read in transit";
        return Err(misconfigured(problem, "use https; http is accepted only for this machine's loopback addresses"));
    }
    Ok(url.as_str().trim_end_matches('/').to_owned())
}

pub(super) fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

fn rate(raw_value: &RawValue) -> Result<u32, Diagnosis> {
    let rate = raw_value.integer()?;
    match u32::try_from(rate) {
        Ok(small) if (1..=MAX_RATE).contains(&rate) => Ok(small),
        Ok(_) | Err(_) => Err(misconfigured(format!("is {rate}"), format!("write a number from 1 to {MAX_RATE}"))),
    }
}
