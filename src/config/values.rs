//! Parsers for single values: durations, sizes, networks, addresses and names. Pure functions of a [`RawValue`].
//!
//! None of them is used for secrets, so their diagnoses may quote the value.

use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::time::Duration;

use ipnet::{IpNet, Ipv4Net};
use strum::VariantArray;

use super::raw_value::{Raw, RawValue};
use crate::diagnosis::{Diagnosis, misconfigured};

/// Parses a duration with a unit: `8500ms`, `12s`, `10m`.
pub(super) fn duration(raw_value: &RawValue) -> Result<Duration, Diagnosis> {
    let example = "write a number and a unit in quotes, for example \"8500ms\", \"12s\" or \"10m\"";
    if let Raw::Plain(toml::Value::Integer(_) | toml::Value::Float(_)) = raw_value.raw {
        return Err(misconfigured("has no unit", example));
    }
    let text = raw_value.text()?;
    humantime::parse_duration(text).map_err(|_| {
        let problem = if text.chars().all(|c| c.is_ascii_digit()) { "has no unit" } else { "is not a duration" };
        misconfigured(format!("{text:?} {problem}"), example)
    })
}

/// Parses a number of bytes: `8MiB`, `1GiB`, `500kB`, or digits only.
pub(super) fn bytes(raw_value: &RawValue) -> Result<u64, Diagnosis> {
    let example = "write a number and a unit in quotes, for example \"8MiB\", \"1GiB\" or \"500kB\"";
    if let Raw::Plain(toml::Value::Integer(value)) = raw_value.raw {
        return u64::try_from(value).map_err(|_| misconfigured("is negative", example));
    }
    let text = raw_value.text()?;
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let factor: Option<u64> = match unit.trim().to_ascii_lowercase().as_str() {
        "" | "b" => Some(1),
        "kb" | "k" => Some(1000),
        "mb" | "m" => Some(1000 * 1000),
        "gb" | "g" => Some(1000 * 1000 * 1000),
        "tb" | "t" => Some(1000 * 1000 * 1000 * 1000),
        "kib" => Some(1 << 10),
        "mib" => Some(1 << 20),
        "gib" => Some(1 << 30),
        "tib" => Some(1 << 40),
        _ => None,
    };
    number
        .parse::<u64>()
        .ok()
        .zip(factor)
        .and_then(|(number, factor)| number.checked_mul(factor))
        .ok_or_else(|| misconfigured(format!("{text:?} is not a size"), example))
}

/// Parses a whole number within a range.
pub(super) fn between<T>(raw_value: &RawValue, range: RangeInclusive<T>) -> Result<T, Diagnosis>
where
    T: TryFrom<i64> + PartialOrd + std::fmt::Display + Copy,
{
    let value = raw_value.integer()?;
    T::try_from(value).ok().filter(|value| range.contains(value)).ok_or_else(|| {
        let (least, most) = (range.start(), range.end());
        misconfigured(format!("{value} is out of range"), format!("set it between {least} and {most}"))
    })
}

/// Parses an address to listen on.
pub(super) fn socket(raw_value: &RawValue) -> Result<SocketAddr, Diagnosis> {
    let text = raw_value.text()?;
    text.parse().map_err(|_| {
        misconfigured(
            format!("{text:?} is not an address to listen on"),
            "write IP:port, for example \"0.0.0.0:8080\", \"127.0.0.1:9464\" or \"[::]:8080\" (a number, not a host \
            name)",
        )
    })
}

/// Parses a network in CIDR notation, or a single address. An IPv4-mapped IPv6 network (RFC 4291 §2.5.5.2) is converted
/// to IPv4, because peers are compared in that form.
pub(super) fn network(raw_value: &RawValue) -> Result<IpNet, Diagnosis> {
    let text = raw_value.text()?;
    let parsed = text.parse::<IpNet>().or_else(|_| text.parse::<IpAddr>().map(IpNet::from)).map_err(|_| {
        misconfigured(
            format!("{text:?} is not a network"),
            "write CIDR notation or an address, for example \"47.96.0.0/16\", \"10.1.2.3\" or \"2001:db8::/32\"",
        )
    })?;
    let network = match parsed {
        IpNet::V4(_) => parsed,
        IpNet::V6(v6) => match (v6.addr().to_ipv4_mapped(), v6.prefix_len().checked_sub(96)) {
            (Some(v4), Some(length)) => Ipv4Net::new(v4, length).map_or(parsed, IpNet::V4),
            (None, _) | (_, None) => parsed,
        },
    };
    if network.trunc() != network {
        return Err(misconfigured(
            format!("{text:?} has bits set after its prefix"),
            format!("write \"{}\" for the network, or \"{}\" for the address alone", network.trunc(), network.addr()),
        ));
    }
    Ok(network)
}

/// The longest suffix that is appended to a prefix.
const MAX_SUFFIX_LENGTH: &str = ".organizational-unit.v1";
/// The longest topic name that Kafka accepts.
const MAX_TOPIC_LENGTH: usize = 249;

/// Parses a prefix of topic names. Every resulting topic name must be valid in Kafka.
pub(super) fn topic_prefix(raw_value: &RawValue) -> Result<String, Diagnosis> {
    let text = raw_value.text()?;
    let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    let longest = MAX_TOPIC_LENGTH - MAX_SUFFIX_LENGTH.len();
    if !text.chars().all(legal) {
        let remedy = "use letters, digits, \".\", \"_\" and \"-\" only";
        return Err(misconfigured(format!("{text:?} cannot start a topic's name"), remedy));
    }
    if text.len() > longest {
        return Err(misconfigured(
            "makes topic names longer than Kafka allows",
            format!("use at most {longest} characters"),
        ));
    }
    Ok(text.to_owned())
}

/// Parses the name of an enum variant.
pub(super) fn choice<T: VariantArray + Copy + Into<&'static str>>(raw_value: &RawValue) -> Result<T, Diagnosis> {
    let text = raw_value.text()?;
    let name = |value: T| -> &'static str { value.into() };
    T::VARIANTS.iter().copied().find(|value| name(*value) == text).ok_or_else(|| {
        let names: Vec<_> = T::VARIANTS.iter().map(|value| format!("\"{}\"", name(*value))).collect();
        misconfigured(format!("{text:?} is not known here"), format!("write {}", names.join(" or ")))
    })
}
