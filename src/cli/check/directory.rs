//! Checks the access to the Developer API of each application with `[application.fetch]`: token, scope, permissions.

use std::sync::Arc;

use serde::Deserialize;
use tokio::runtime::Runtime;

use super::super::fetch::client_settings;
use super::code::Code;
use super::finding::Finding;
use crate::config::{Application, Config};
use crate::counts::counted;
use crate::diagnosis::Diagnosis;
use crate::fetch::{ApiFault, Call, Cause, Client, Rejection};

/// Attempts per request. `fetch` makes more, because it can wait longer.
const ATTEMPTS: u32 = 2;

/// Checks what `fetch` needs. `serve` works without it, so no finding is decisive.
pub(super) fn examine(config: &Config, runtime: &Runtime) -> Vec<Finding> {
    config.applications.iter().flat_map(|application| runtime.block_on(examine_one(application))).collect()
}

/// Returns the findings of a check without the network.
pub(super) fn not_tested(config: &Config) -> Vec<Finding> {
    let configured = config.applications.iter().filter(|application| application.fetch.is_some());
    let finding = |application: &Application| {
        let why = "whether the client secret is right and the permissions are granted (--offline)";
        Finding::not_tested(Code::Directory, &key(application), why, "run check without --offline")
    };
    configured.map(finding).collect()
}

fn key(application: &Application) -> String {
    format!("application[{}].fetch", application.name)
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Scope {
    #[serde(default)]
    organizational_unit_ids: Option<Vec<String>>,
    #[serde(default)]
    group_ids: Option<Vec<String>>,
}

async fn examine_one(application: &Application) -> Vec<Finding> {
    let Some(settings) = client_settings(application, ATTEMPTS) else { return Vec::new() };
    let key = key(application);
    let mut client = match Client::new(settings, Arc::new(|_| {})) {
        Ok(client) => client,
        Err(fault) => {
            let remedy = "check that the proxy's address is a URL and that OpenSSL works";
            return vec![Finding::fault(Code::Directory, &key, &fault.to_string(), remedy)];
        }
    };
    if let Err(fault) = client.authenticate().await {
        return vec![failed(&key, &fault)];
    }
    let mut findings = vec![Finding::ok(Code::Directory, &key, "the Developer API issues a token")];
    let scope = match client.call(&Call::Scope).await {
        Ok(answer) => serde_json::from_slice::<Scope>(&answer.body).ok(),
        Err(fault) => {
            findings.push(failed(&key, &fault));
            return findings;
        }
    };
    let Some(Scope { organizational_unit_ids, group_ids }) = scope else {
        let remedy = "check that the endpoint is the Developer API of the instance's region";
        findings.push(Finding::fault(Code::DirectoryScope, &key, "the scope has an unknown form", remedy));
        return findings;
    };
    let (units, groups) = (organizational_unit_ids.unwrap_or_default(), group_ids.unwrap_or_default());
    findings.push(scope_finding(&key, units.len(), groups.len()));
    findings.extend(permissions(&key, &mut client, units.first(), groups.first()).await);
    findings
}

fn scope_finding(key: &str, units: usize, groups: usize) -> Finding {
    if units + groups == 0 {
        let remedy = "choose units or groups in the application's provisioning settings";
        let problem = "the synchronization scope is empty, so that fetch finds nothing";
        return Finding::fault(Code::DirectoryScope, key, problem, remedy);
    }
    let (units, groups) = (counted(units as u64, "unit"), counted(groups as u64, "group"));
    Finding::ok(Code::DirectoryScope, key, &format!("the synchronization scope has {units} and {groups}"))
}

/// Sends one request for each permission that the scope needs.
async fn permissions(key: &str, client: &mut Client, unit: Option<&String>, group: Option<&String>) -> Vec<Finding> {
    let of_unit = unit.map(|unit| [Call::Unit(unit.clone()), Call::Users { unit: unit.clone(), page: 1 }]);
    let of_group = group.map(|_| Call::Groups { token: None });
    let mut findings = Vec::new();
    for call in of_unit.into_iter().flatten().chain(of_group) {
        match client.call(&call).await {
            Ok(_) => {
                let text = format!("{} is permitted", call.name());
                findings.push(Finding::ok(Code::DirectoryPermission, key, &text));
            }
            Err(fault) => findings.push(failed(key, &fault)),
        }
    }
    findings
}

fn failed(key: &str, fault: &ApiFault) -> Finding {
    let code = match &fault.cause {
        Cause::Rejected(Rejection::PermissionDenied(_)) => Code::DirectoryPermission,
        Cause::Rejected(_)
        | Cause::TokenRefused
        | Cause::Throttled
        | Cause::Status(_)
        | Cause::Http(_)
        | Cause::Malformed => Code::Directory,
    };
    Finding::diagnosed(code, Diagnosis::from(fault).at(key))
}
