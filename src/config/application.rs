//! The tables `[[application]]`: who may send callbacks, the keys, and how events are published.

use std::collections::BTreeSet;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use super::raw_value::{Raw, RawValue};
use super::table_reader::{Diagnostics, TableReader};
use super::{Application, Journal, application_keys, fetch, values};
use crate::diagnosis::{Diagnosis, misconfigured};

/// Prefix of all event types of IDaaS.
const URN: &str = "urn:alibaba:idaas:app:event:";
/// The metrics label for callbacks to unknown applications.
const RESERVED: &str = "unknown";

/// Names and ids of the applications read so far.
#[derive(Default)]
struct NamesInUse {
    names: BTreeSet<String>,
    ids: BTreeSet<String>,
}

pub(super) fn read_all(
    diagnostics: &mut Diagnostics<'_>,
    raw_value: Option<RawValue>,
    journal: Option<&Journal>,
) -> Vec<Application> {
    let remedy = "add [[application]] with name, id, jwks and decryption_keys, all from the provisioning settings of \
        the application in the IDaaS console";
    let items = match raw_value {
        Some(RawValue { raw: Raw::List(items), .. }) if !items.is_empty() => items,
        Some(RawValue { raw: Raw::Table(_), .. }) => {
            diagnostics.fault("application", "is a single table", "write [[application]], with two brackets");
            return Vec::new();
        }
        Some(_) | None => {
            diagnostics.fault("application", "is missing: no callback could be accepted", remedy);
            return Vec::new();
        }
    };
    let mut taken = NamesInUse::default();
    let mut applications = Vec::with_capacity(items.len());
    for (index, mut item) in items.into_iter().enumerate() {
        let path = path(index, &item);
        rename(&mut item, &path);
        applications.extend(read(diagnostics, &path, item, journal, &mut taken));
    }
    applications
}

/// Returns the path for diagnoses: `application[workforce]`, or the position if there is no valid name.
fn path(index: usize, raw_value: &RawValue) -> String {
    let name = match &raw_value.raw {
        Raw::Table(entries) => entries.get("name").and_then(|name| name.text().ok()).filter(|name| is_name(name)),
        Raw::Plain(_) | Raw::List(_) | Raw::Variable(_) => None,
    };
    name.map_or_else(|| format!("application[{index}]"), |name| format!("application[{name}]"))
}

fn rename(raw_value: &mut RawValue, path: &str) {
    let rest = raw_value.key.find(']').and_then(|end| raw_value.key.get(end + 1..)).unwrap_or_default();
    raw_value.key = format!("{path}{rest}");
    match &mut raw_value.raw {
        Raw::Table(entries) => entries.values_mut().for_each(|below| rename(below, path)),
        Raw::List(items) => items.iter_mut().for_each(|below| rename(below, path)),
        Raw::Plain(_) | Raw::Variable(_) => {}
    }
}

fn read(
    diagnostics: &mut Diagnostics<'_>,
    path: &str,
    raw_value: RawValue,
    journal: Option<&Journal>,
    taken: &mut NamesInUse,
) -> Option<Application> {
    let mut section = TableReader::open(diagnostics, path, Some(raw_value));
    let name = section.required(
        "name",
        "choose a short one, for example \"workforce\": callbacks go to /callbacks/<name>",
        |raw_value| unique(name(raw_value)?, &mut taken.names, "name"),
    );
    let id = section.required("id", "copy the application's id from the console: app_…", |raw_value| {
        unique(application_id(raw_value)?, &mut taken.ids, "id")
    });
    let instance_id = instance_id(&mut section);
    let jwks = application_keys::jwks(&mut section);
    let require_encryption = section.value("require_encryption", true, RawValue::boolean);
    let decryption_keys = application_keys::decryption_keys(&mut section, require_encryption);
    let passwords = application_keys::passwords(&mut section, journal);
    let allowed_networks = allowed_networks(&mut section);
    let skip = skip(&mut section);
    let topic_prefix = section.optional("topic_prefix", values::topic_prefix);
    let fetch = section.take("fetch");
    let fetch =
        fetch.and_then(|raw_value| fetch::read(section.diagnostics, raw_value, id.as_deref(), instance_id.as_deref()));
    section.close();
    let (name, id, jwks) = (name?, id?, jwks?);
    Some(Application {
        name,
        id,
        instance_id,
        jwks,
        decryption_keys,
        require_encryption,
        allowed_networks,
        passwords,
        skip,
        topic_prefix,
        fetch,
    })
}

fn is_name(text: &str) -> bool {
    (1..=64).contains(&text.len()) && text.bytes().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-')
}

fn name(raw_value: &RawValue) -> Result<String, Diagnosis> {
    let text = raw_value.text()?;
    if text == RESERVED {
        let problem = "\"unknown\" is the label of callbacks to unknown applications in metrics";
        return Err(misconfigured(problem, "choose another name"));
    }
    if !is_name(text) {
        let problem = format!("{text:?} cannot be part of a URL and a metric's label");
        return Err(misconfigured(problem, "use 1 to 64 of: a-z, 0-9, \"-\""));
    }
    Ok(text.to_owned())
}

fn unique(text: String, taken: &mut BTreeSet<String>, what: &str) -> Result<String, Diagnosis> {
    if taken.insert(text.clone()) {
        Ok(text)
    } else {
        let problem = format!("{text:?} is the {what} of an application above");
        Err(misconfigured(problem, format!("give each application its own {what}")))
    }
}

/// Returns an IDaaS identifier. It becomes part of a URI reference (`ce_source`), so only some characters are allowed.
fn identifier(raw_value: &RawValue) -> Result<&str, Diagnosis> {
    let text = raw_value.text()?;
    let plain = text.bytes().all(|c| c.is_ascii_alphanumeric() || matches!(c, b'_' | b'-' | b'.'));
    if plain && text.len() <= 128 {
        Ok(text)
    } else {
        Err(misconfigured(
            format!("{text:?} is not an identifier of IDaaS"),
            "copy it from the console, without surrounding characters",
        ))
    }
}

fn application_id(raw_value: &RawValue) -> Result<String, Diagnosis> {
    let text = identifier(raw_value)?;
    if text.starts_with("idaas_") {
        let problem = format!("{text:?} is the id of an instance");
        return Err(misconfigured(problem, "put it under instance_id, and the application's id (app_…) here"));
    }
    Ok(text.to_owned())
}

fn instance_id(section: &mut TableReader<'_, '_>) -> Option<String> {
    let name = section.name("instance_id");
    let Some(raw_value) = section.take("instance_id") else {
        let remedy = "set the instance's id (idaas_…, the token's sub)";
        section.diagnostics.warn(name, "is not set, so callbacks of any instance are accepted", remedy);
        return None;
    };
    let id = identifier(&raw_value).and_then(|text| {
        if text.starts_with("app_") {
            let problem = format!("{text:?} is the id of an application");
            return Err(misconfigured(problem, "put it under id, and the instance's id (idaas_…) here"));
        }
        Ok(text.to_owned())
    });
    section.diagnostics.accept(&raw_value.key, id)
}

fn allowed_networks(section: &mut TableReader<'_, '_>) -> Vec<IpNet> {
    let name = section.name("allowed_networks");
    let before = section.diagnostics.faults.len();
    let networks = section.list("allowed_networks", |_, item| values::network(item));
    match networks {
        Some(networks) => {
            if networks.is_empty() && section.diagnostics.faults.len() == before {
                let remedy = "list the egress addresses that the console shows, or remove the key to allow all";
                section.diagnostics.fault(name, "is empty, so that no callback would be accepted", remedy);
            }
            networks
        }
        None => {
            let remedy = "list the egress addresses that the console shows, or write [\"0.0.0.0/0\", \"::/0\"] if \
                that is intended";
            section.diagnostics.warn(name, "is not set, so callbacks from any address are processed", remedy);
            vec![IpNet::V4(Ipv4Net::default()), IpNet::V6(Ipv6Net::default())]
        }
    }
}

fn skip(section: &mut TableReader<'_, '_>) -> Vec<String> {
    let types = section.list("skip", |diagnostics, item| {
        let text = item.text()?;
        let rest = text.strip_prefix(URN).unwrap_or_default();
        if rest.is_empty()
            || !rest.bytes().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, b'_' | b':'))
        {
            let remedy = format!("write the whole type, for example \"{URN}ud:user:lock\"");
            return Err(misconfigured(format!("{text:?} is not an event type"), remedy));
        }
        if rest == "common:test" {
            let problem = "the console's connection test is skipped, and its button will report a failure";
            diagnostics.warn(&item.key, problem, "remove it");
        }
        Ok(text.to_owned())
    });
    types.unwrap_or_default()
}
