//! The section `[server]`. The response deadline must be below IDaaS's timeout, and the drain timeout above the
//! deadline.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use super::raw_value::RawValue;
use super::table_reader::{Diagnostics, TableReader};
use super::{SecretFile, Server, Tls, files, secrets, values};
use crate::diagnosis::{Diagnosis, misconfigured};
use crate::secret::Secret;

/// How long IDaaS waits for an answer.
const IDAAS_TIMEOUT: Duration = Duration::from_secs(10);
const MIN_DEADLINE: Duration = Duration::from_millis(500);
const MAX_CLOCK_SKEW: Duration = Duration::from_secs(300);
const MAX_DRAIN: Duration = Duration::from_secs(3600);
/// Minimum number of characters of a token, so that it cannot be guessed.
const MIN_TOKEN_LENGTH: usize = 16;
const BODY: std::ops::RangeInclusive<u64> = (64 << 10)..=(256 << 20);
const MEMORY: std::ops::RangeInclusive<u64> = (64 << 20)..=(64 << 30);

pub(super) fn read(diagnostics: &mut Diagnostics<'_>, raw_value: Option<RawValue>) -> (Server, Option<Secret<String>>) {
    let mut section = TableReader::open(diagnostics, "server", raw_value);
    let (listen, admin_listen) = listeners(&mut section);
    let (response_deadline, drain_timeout) = nested_times(&mut section);
    let server = Server {
        listen,
        admin_listen,
        response_deadline,
        drain_timeout,
        clock_skew: clock_skew(&mut section),
        max_body: section.value("max_body", 8 << 20, max_body),
        max_memory: section.value("max_memory", 512 << 20, max_memory),
        max_in_flight_events: section.value("max_in_flight_events", 20_000, |raw_value| {
            values::between(raw_value, 1..=1_000_000_i64).map(|events| usize::try_from(events).unwrap_or(usize::MAX))
        }),
        trusted_proxies: section.list("trusted_proxies", |_, item| values::network(item)).unwrap_or_default(),
        tls: tls(&mut section),
        watch_files: section.value("watch_files", true, RawValue::boolean),
    };
    let admin_token = admin_token(&mut section);
    section.close();
    (server, admin_token)
}

fn listeners(section: &mut TableReader<'_, '_>) -> (SocketAddr, SocketAddr) {
    let name = section.name("admin_listen");
    let listen = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 8080);
    let listen = section.value("listen", listen, values::socket);
    let admin = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 9464);
    let admin = section.value("admin_listen", admin, values::socket);
    let shared = listen.ip() == admin.ip() || listen.ip().is_unspecified() || admin.ip().is_unspecified();
    // Port 0 means any free port, a different one each time.
    if listen.port() == admin.port() && listen.port() != 0 && shared {
        let problem = format!("\"{admin}\" has the same port as server.listen (\"{listen}\")");
        section.diagnostics.fault(name, problem, "use different ports");
    }
    (listen, admin)
}

fn nested_times(section: &mut TableReader<'_, '_>) -> (Duration, Duration) {
    let (deadline_name, drain_name) = (section.name("response_deadline"), section.name("drain_timeout"));
    let default_deadline = Duration::from_millis(8500);
    let deadline = section.value("response_deadline", default_deadline, |raw_value| {
        let deadline = values::duration(raw_value)?;
        if deadline >= IDAAS_TIMEOUT {
            let problem = format!("{} is not below the 10 s that IDaaS waits for an answer", quoted(deadline));
            return Err(misconfigured(problem, "set it below \"10s\"; \"8500ms\" leaves time for the network"));
        }
        if deadline < MIN_DEADLINE {
            let problem = format!("{} is too short for a broker to confirm anything", quoted(deadline));
            return Err(misconfigured(problem, "set it to \"500ms\" or more; \"8500ms\" is the default"));
        }
        Ok(deadline)
    });
    if deadline > Duration::from_millis(9500) {
        let problem = "leaves the network less than half a second of the 10 s that IDaaS waits";
        section.diagnostics.warn(deadline_name, problem, "\"8500ms\" is the default");
    }
    let raw_value = section.optional("drain_timeout", |raw_value| {
        let drain = values::duration(raw_value)?;
        if drain > MAX_DRAIN {
            return Err(misconfigured(format!("{} is too long", quoted(drain)), "set it to \"1h\" or less"));
        }
        Ok(drain)
    });
    let drain = raw_value.unwrap_or(Duration::from_secs(12));
    if drain <= deadline {
        let problem = format!(
            "{} is not longer than server.response_deadline ({}), so callbacks would be cut off at each restart",
            quoted(drain),
            quoted(deadline)
        );
        let remedy = format!("set it above {}", quoted(deadline));
        section.diagnostics.fault(drain_name, problem, remedy);
    }
    (deadline, drain)
}

fn clock_skew(section: &mut TableReader<'_, '_>) -> Duration {
    let name = section.name("clock_skew");
    let skew = section.value("clock_skew", Duration::from_secs(60), |raw_value| {
        let skew = values::duration(raw_value)?;
        if skew > MAX_CLOCK_SKEW {
            let problem = format!("{} would accept tokens long after they expired", quoted(skew));
            return Err(misconfigured(problem, "set it to \"300s\" or less, and keep the clock right (NTP)"));
        }
        Ok(skew)
    });
    if skew.is_zero() {
        let problem = "without any skew, callbacks are refused if a clock is one second slow";
        section.diagnostics.warn(name, problem, "60s is the default");
    }
    skew
}

fn max_body(raw_value: &RawValue) -> Result<usize, Diagnosis> {
    let size = values::bytes(raw_value)?;
    if !BODY.contains(&size) {
        return Err(misconfigured(format!("{size} bytes are out of range"), "set it between \"64KiB\" and \"256MiB\""));
    }
    usize::try_from(size).map_err(|_| misconfigured("is too large for this machine", "set a smaller size"))
}

fn max_memory(raw_value: &RawValue) -> Result<usize, Diagnosis> {
    let size = values::bytes(raw_value)?;
    if !MEMORY.contains(&size) {
        return Err(misconfigured(format!("{size} bytes are out of range"), "set it between \"64MiB\" and \"64GiB\""));
    }
    usize::try_from(size).map_err(|_| misconfigured("is too large for this machine", "set a smaller size"))
}

fn tls(section: &mut TableReader<'_, '_>) -> Option<Tls> {
    let raw_value = section.take("tls")?;
    let files = section.diagnostics.files;
    let mut tls = TableReader::open(section.diagnostics, "server.tls", Some(raw_value));
    let both = "TLS needs a certificate and a key; without TLS, remove server.tls";
    let certificate = tls.required("certificate", both, |raw_value| files::pem(files, raw_value, "CERTIFICATE"));
    let name = tls.name("key");
    let key = tls.required("key", both, |raw_value| files::private_key(files, raw_value));
    tls.diagnostics.secret_files.extend(key.iter().map(|path| SecretFile { key: name.clone(), path: path.clone() }));
    tls.close();
    Some(Tls { certificate: certificate?, key: key? })
}

fn admin_token(section: &mut TableReader<'_, '_>) -> Option<Secret<String>> {
    let raw_value = section.take("admin_token")?;
    let token = secrets::text(section.diagnostics, &raw_value).and_then(|token| {
        let plain = token.expose().bytes().all(|byte| byte.is_ascii_graphic());
        if plain && token.expose().len() >= MIN_TOKEN_LENGTH {
            return Ok(token);
        }
        let problem = format!(
            "the token must have {MIN_TOKEN_LENGTH} or more letters, digits and symbols, without \
            spaces"
        );
        Err(misconfigured(problem, "create one with: openssl rand -hex 32"))
    });
    section.diagnostics.accept(&raw_value.key, token)
}

fn quoted(duration: Duration) -> String {
    if duration.subsec_nanos() == 0 {
        format!("\"{}\"", humantime::format_duration(duration)).replace(' ', "")
    } else {
        format!("\"{}ms\"", duration.as_millis())
    }
}
