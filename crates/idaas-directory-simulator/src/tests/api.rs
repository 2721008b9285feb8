//! Tests of `api`.

use super::*;
use crate::{Failure, Options};

struct Client {
    simulator: Simulator,
    authorization: String,
}

impl Client {
    fn new(users: usize) -> Self {
        let simulator = Simulator::new(Options::new(users));
        let authorization = token(&simulator, 0);
        Self { simulator, authorization }
    }

    fn get(&self, path: &str, query: &str, now: u64) -> Response {
        let options = self.simulator.options();
        let path = format!("/v2/{}/{}{path}", options.instance_id, options.application_id);
        let authorization = Some(self.authorization.as_str());
        self.simulator.answer(&Request { method: "GET", path: &path, query, authorization, body: b"" }, now)
    }

    fn data(&self, path: &str, query: &str) -> Value {
        let response = self.get(path, query, 0);
        assert_eq!(response.status, 200, "{path}?{query}: {response:?}");
        response.body.unwrap()
    }
}

fn token(simulator: &Simulator, now: u64) -> String {
    let Options { instance_id, application_id, client_secret, .. } = simulator.options();
    let path = format!("/v2/{instance_id}/{application_id}/oauth2/token");
    let body = format!("grant_type=client_credentials&client_id={application_id}&client_secret={client_secret}");
    let request = Request { method: "POST", path: &path, query: "", authorization: None, body: body.as_bytes() };
    let body = simulator.answer(&request, now).body.unwrap();
    format!("Bearer {}", body["access_token"].as_str().unwrap())
}

fn code(response: &Response) -> String {
    let body = response.body.as_ref().unwrap();
    body["error"].as_str().or_else(|| body["Code"].as_str()).unwrap().to_owned()
}

#[test]
fn pages_of_users_of_all_units_are_all_users() {
    let client = Client::new(1000);
    let mut seen = std::collections::BTreeSet::new();
    for unit in client.simulator.with_directory(|directory| directory.unit_ids()) {
        for page in 1.. {
            let query = format!("organizationalUnitId={unit}&pageNumber={page}&pageSize=100");
            let answer = client.data("/users", &query);
            let data = answer["data"].as_array().unwrap();
            seen.extend(data.iter().map(|user| user["userId"].as_str().unwrap().to_owned()));
            if data.is_empty() {
                break;
            }
        }
    }
    assert_eq!(seen.len(), 1000);
}

#[test]
fn next_tokens_lead_through_groups_and_members() {
    let client = Client::new(1000);
    let pages = |path: &str, name: &str| {
        let (mut ids, mut token) = (Vec::new(), String::new());
        loop {
            let answer = client.data(path, &format!("maxResults=3&nextToken={token}"));
            ids.extend(answer["data"].as_array().unwrap().iter().map(|row| row[name].as_str().unwrap().to_owned()));
            match answer["nextToken"].as_str() {
                Some(next) => next.clone_into(&mut token),
                None => return ids,
            }
        }
    };
    let groups = pages("/groups", "groupId");
    assert_eq!(groups, client.simulator.with_directory(|directory| directory.group_ids()));
    for group in groups {
        let mut members = client.simulator.with_directory(|all| all.group(&group).unwrap().members.clone());
        members.sort_unstable();
        assert_eq!(pages(&format!("/groups/{group}/actions/listUsersForGroup"), "userId"), members);
    }
}

#[test]
fn token_expires_and_a_wrong_secret_gets_none() {
    let client = Client::new(3);
    assert_eq!(client.get("/provisioningScope", "", 1_199_999).status, 200);
    assert_eq!(code(&client.get("/provisioningScope", "", 1_200_000)), "invalid_token");
    let path = format!(
        "/v2/{}/{}/oauth2/token",
        client.simulator.options().instance_id,
        client.simulator.options().application_id
    );
    let body = b"grant_type=client_credentials&client_id=app_x&client_secret=x";
    let response =
        client.simulator.answer(&Request { method: "POST", path: &path, query: "", authorization: None, body }, 0);
    assert_eq!((response.status, code(&response).as_str()), (401, "invalid_client"));
}

#[test]
fn errors_have_the_documented_codes() {
    let client = Client::new(10);
    let user = client.simulator.with_directory(|directory| directory.user_ids()[0].clone());
    client.simulator.with_directory(|directory| directory.delete_user(&user));
    for (path, query, status, expected) in [
        (format!("/users/{user}"), "", 404, "ResourceNotFound.User"),
        ("/organizationalUnits".to_owned(), "", 400, "MissingParameter.ParentId"),
        ("/users".to_owned(), "organizationalUnitId=ou_gone", 400, "OrganizationUnitIdNotInScopes"),
        ("/users".to_owned(), "pageSize=101", 400, "InvalidParameter.pageSize"),
    ] {
        let response = client.get(&path, query, 0);
        assert_eq!((response.status, code(&response).as_str()), (status, expected));
    }
    client.simulator.deny(Permission::Users);
    let denied = client.get("/users", "", 0);
    assert_eq!((denied.status, code(&denied).as_str()), (403, "permission_denied"));
    client.simulator.fail_next(1, Failure { retry_after: Some(2), ..Failure::of(429, "Throttling.User") });
    assert_eq!(client.get("/users", "", 0).retry_after, Some(2));
}

#[test]
fn scope_hides_units_and_users_outside_of_it() {
    let client = Client::new(200);
    let (unit, user) = client.simulator.with_directory(|directory| {
        let unit = directory.children_of("ou_root")[0].clone();
        directory.scope_units = vec![unit.clone()];
        directory.scope_groups.clear();
        let outside = directory.user_ids().into_iter().find(|id| !directory.user_in_scope(&directory.users[id]));
        (unit, outside.unwrap())
    });
    assert_eq!(client.data("/provisioningScope", "")["organizationalUnitIds"], json!([unit]));
    assert_eq!(client.get("/organizationalUnits", "parentId=ou_root", 0).status, 400);
    assert_eq!(client.get(&format!("/users/{user}"), "", 0).status, 400);
}

#[test]
fn same_seed_is_the_same_directory() {
    let ids = |seed| {
        let simulator = Simulator::new(Options { seed, ..Options::new(50) });
        simulator.with_directory(|directory| (directory.user_ids(), directory.unit_ids()))
    };
    assert_eq!(ids(7), ids(7));
    assert_ne!(ids(7), ids(8));
}

#[test]
fn drift_changes_the_directory_while_it_is_read() {
    let simulator = Simulator::new(Options { drift: Some(1), ..Options::new(100) });
    let before = simulator.with_directory(|directory| directory.user_ids());
    let client = Client { authorization: token(&simulator, 0), simulator };
    for _ in 0..30 {
        let _ = client.get("/provisioningScope", "", 0);
    }
    assert_ne!(client.simulator.with_directory(|directory| directory.user_ids()), before);
}
