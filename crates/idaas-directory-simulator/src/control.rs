//! The endpoints below `/_control`, with which a test changes the directory and requests faults. They require no
//! token, so the server must listen on a loopback address only.

use serde::Deserialize;
use serde_json::{Value, json};

use crate::directory::{Directory, User};
use crate::faults::{Failure, Permission};
use crate::{Simulator, generate};

/// The path prefix of the control endpoints.
pub(crate) const PREFIX: &str = "/_control/";

/// A control request.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase", deny_unknown_fields, tag = "do")]
enum ControlRequest {
    DeleteUser {
        id: String,
    },
    DeleteUnit {
        id: String,
    },
    DeleteGroup {
        id: String,
    },
    MoveUser {
        id: String,
        unit: String,
    },
    MoveUnit {
        id: String,
        parent: String,
    },
    RenameUser {
        id: String,
        display_name: String,
    },
    CreateUser {},
    Scope {
        organizational_unit_ids: Vec<String>,
        group_ids: Vec<String>,
    },
    TokenLifetime {
        seconds: u64,
    },
    ExpireTokens {},
    Fail {
        count: u64,
        status: u16,
        #[serde(default)]
        code: String,
        retry_after: Option<u32>,
        #[serde(default)]
        path: String,
    },
    Limit {
        requests_per_second: Option<u32>,
    },
    Deny {
        permission: String,
    },
    PermitAll {},
}

impl Simulator {
    /// Answers a request below `/_control`: `GET state` and `POST order`.
    pub(crate) fn control(&self, method: &str, path: &str, body: &[u8], now: i64) -> (u16, Value) {
        match (method, path.strip_prefix(PREFIX).unwrap_or_default()) {
            ("GET", "state") => (200, self.report()),
            ("POST", "order") => match serde_json::from_slice(body) {
                Ok(request) => self.apply(request, now),
                Err(error) => (400, json!({"error": error.to_string()})),
            },
            _ => (404, json!({"error": "use GET /_control/state or POST /_control/order"})),
        }
    }

    fn report(&self) -> Value {
        let state = self.state.lock();
        json!({
            "requests": state.requests,
            "calls": state.calls,
            "organizationalUnits": state.directory.unit_ids(),
            "users": state.directory.user_ids(),
            "groups": state.directory.group_ids(),
        })
    }

    fn apply(&self, request: ControlRequest, now: i64) -> (u16, Value) {
        let mut state = self.state.lock();
        let state = &mut *state;
        let directory = &mut state.directory;
        let done = match request {
            ControlRequest::DeleteUser { id } => directory.delete_user(&id),
            ControlRequest::DeleteUnit { id } => directory.delete_unit(&id),
            ControlRequest::DeleteGroup { id } => directory.delete_group(&id),
            ControlRequest::MoveUser { id, unit } => directory.move_user(&id, &unit, now),
            ControlRequest::MoveUnit { id, parent } => directory.move_unit(&id, &parent, now),
            ControlRequest::RenameUser { id, display_name } => directory.rename_user(&id, &display_name, now),
            ControlRequest::CreateUser {} => {
                let id = create_user(directory, &mut state.random, now);
                return (200, json!({"done": true, "id": id}));
            }
            ControlRequest::Scope { organizational_unit_ids, group_ids } => {
                directory.scope_units = organizational_unit_ids;
                directory.scope_groups = group_ids;
                true
            }
            ControlRequest::TokenLifetime { seconds } => {
                state.tokens.set_lifetime(seconds * 1000);
                true
            }
            ControlRequest::ExpireTokens {} => {
                state.tokens.expire_all();
                true
            }
            ControlRequest::Fail { count, status, code, retry_after, path } => {
                state.faults.fail_next(count, Failure { status, code, retry_after, path });
                true
            }
            ControlRequest::Limit { requests_per_second } => {
                state.faults.set_limit(requests_per_second);
                true
            }
            ControlRequest::Deny { permission } => {
                let denied = Permission::ALL.into_iter().find(|known| known.urn().contains(&permission));
                denied.is_some_and(|permission| {
                    state.faults.deny(permission);
                    true
                })
            }
            ControlRequest::PermitAll {} => {
                state.faults.permit_all();
                true
            }
        };
        (if done { 200 } else { 409 }, json!({"done": done}))
    }
}

/// Creates a user in a random unit. Returns its id.
fn create_user(directory: &mut Directory, random: &mut fastrand::Rng, now: i64) -> String {
    let units = directory.unit_ids();
    let number = directory.user_ids().len() as u64 + 1_000_000;
    let user = User { created: now, updated: now, ..generate::user(number, &units, random) };
    let id = user.id.clone();
    directory.add_user(user);
    id
}

/// Makes one random change: a user is deleted, created, moved or renamed, or a unit is moved.
pub(crate) fn change_something(directory: &mut Directory, random: &mut fastrand::Rng, now: i64) {
    let (users, units) = (directory.user_ids(), directory.unit_ids());
    let mut one = |ids: &[String]| random.choice(ids).cloned().unwrap_or_default();
    let (user, unit, parent) = (one(&users), one(&units), one(&units));
    match random.u8(..5) {
        0 => drop(directory.delete_user(&user)),
        1 => drop(create_user(directory, random, now)),
        2 => drop(directory.move_user(&user, &unit, now)),
        3 => drop(directory.rename_user(&user, "Renamed Meanwhile", now)),
        _ => drop(directory.move_unit(&unit, &parent, now)),
    }
}
