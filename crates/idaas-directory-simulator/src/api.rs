//! Answers one request. The current time is a parameter.

use std::borrow::Cow;

use serde_json::{Value, json};
use url::form_urlencoded;

use crate::calls::{self, Call};
use crate::faults::Permission;
use crate::{Simulator, State, generate};

/// A request to the API, as received by the server.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// The HTTP method.
    pub method: &'a str,
    /// The path, percent-encoded.
    pub path: &'a str,
    /// The query, without the question mark.
    pub query: &'a str,
    /// The header `Authorization`.
    pub authorization: Option<&'a str>,
    /// The body.
    pub body: &'a [u8],
}

/// An answer of the API.
#[derive(Debug, Clone, PartialEq)]
pub struct Response {
    /// The HTTP status.
    pub status: u16,
    /// The header `Retry-After`, in seconds.
    pub retry_after: Option<u32>,
    /// The JSON body. `None` sends an empty body.
    pub body: Option<Value>,
}

/// An error of the API, with the documented codes and texts.
#[derive(Debug)]
pub(crate) struct ApiError {
    pub(crate) status: u16,
    pub(crate) code: Cow<'static, str>,
    pub(crate) text: String,
}

impl ApiError {
    pub(crate) fn new(status: u16, code: &'static str, text: impl Into<String>) -> Self {
        Self { status, code: Cow::Borrowed(code), text: text.into() }
    }

    fn not_found() -> Self {
        Self::new(404, "InvalidAction.NotFound", "Specified api is not found")
    }
}

impl Response {
    pub(crate) const fn ok(body: Value) -> Self {
        Self { status: 200, retry_after: None, body: Some(body) }
    }

    /// Creates an error answer. The API has two forms of error: that of OAuth 2.0, and that of Alibaba Cloud's
    /// gateway.
    pub(crate) fn error(error: &ApiError, request: u64) -> Self {
        let ApiError { status, code, text } = error;
        let request_id = format!("SIMULATED-{request:08}");
        let gateway = code.starts_with(|first: char| first.is_ascii_uppercase());
        let body = if gateway {
            json!({"Code": code, "Message": text, "RequestId": request_id})
        } else {
            json!({"error": code, "error_description": text, "request_id": request_id})
        };
        Self { status: *status, retry_after: None, body: Some(body) }
    }
}

/// The parameters of a query or a form.
pub(crate) struct Parameters<'a>(Vec<(Cow<'a, str>, Cow<'a, str>)>);

impl<'a> Parameters<'a> {
    pub(crate) fn parse(text: &'a [u8]) -> Self {
        Self(form_urlencoded::parse(text).collect())
    }

    /// Returns a parameter that is not empty.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        let found = self.0.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| &**value).filter(|value| !value.is_empty())
    }

    /// Returns a parameter that is a number from 1 to `most`, or `default` if it is missing.
    pub(crate) fn number(&self, name: &'static str, default: usize, most: usize) -> Result<usize, ApiError> {
        let Some(text) = self.get(name) else { return Ok(default) };
        text.parse().ok().filter(|number| (1..=most).contains(number)).ok_or_else(|| {
            let text = format!("The specified parameter {name} must be between 1 and {most}");
            ApiError { status: 400, code: format!("InvalidParameter.{name}").into(), text }
        })
    }
}

impl Simulator {
    /// Answers a request to the API. `now` is in milliseconds since 1970.
    #[must_use]
    pub fn answer(&self, request: &Request<'_>, now: u64) -> Response {
        let state = &mut *self.state.lock();
        state.requests += 1;
        if let Some(failure) = state.faults.next(request.path, now) {
            let error =
                ApiError { status: failure.status, code: failure.code.into(), text: "Simulated failure".into() };
            let mut response = Response::error(&error, state.requests);
            response.retry_after = failure.retry_after;
            if error.code.is_empty() {
                response.body = None;
            }
            return response;
        }
        let answer = self.route(state, request, now);
        if let Some(drift) = self.options().drift
            && drift > 0
            && state.requests.is_multiple_of(drift)
        {
            let now = i64::try_from(now).unwrap_or(i64::MAX);
            crate::control::change_something(&mut state.directory, &mut state.random, now);
        }
        match answer {
            Ok(body) => Response::ok(body),
            Err(error) => Response::error(&error, state.requests),
        }
    }

    fn route(&self, state: &mut State, request: &Request<'_>, now: u64) -> Result<Value, ApiError> {
        let mut segments = request.path.split('/').skip(1);
        if segments.next() != Some("v2") {
            return Err(ApiError::not_found());
        }
        let (instance, application) = (segments.next().unwrap_or_default(), segments.next().unwrap_or_default());
        if instance != self.options().instance_id {
            let text = format!("Instance id not found: {instance}");
            return Err(ApiError::new(404, "instance_not_found", text));
        }
        if application != self.options().application_id {
            let text = format!("Application id not found: {application}");
            return Err(ApiError::new(404, "application_not_found", text));
        }
        let rest: Vec<_> = segments.collect();
        if request.method == "POST" && rest == ["oauth2", "token"] {
            *state.calls.entry("GenerateToken").or_default() += 1;
            return self.token(state, request, now);
        }
        if request.method != "GET" {
            return Err(ApiError::not_found());
        }
        let call = Call::of(&rest).ok_or_else(ApiError::not_found)?;
        *state.calls.entry(call.name()).or_default() += 1;
        let token = request.authorization.and_then(|header| header.strip_prefix("Bearer ")).unwrap_or_default();
        if !state.tokens.is_valid(token, now) {
            return Err(ApiError::new(400, "invalid_token", "Access token is not valid"));
        }
        let permission = call.permission();
        if state.faults.is_denied(permission) {
            return Err(denied(permission));
        }
        calls::answer(&state.directory, &call, &Parameters::parse(request.query.as_bytes()))
    }

    /// Issues a token. The parameters can be in the query, where Alibaba's SDK puts them, or in the body.
    fn token(&self, state: &mut State, request: &Request<'_>, now: u64) -> Result<Value, ApiError> {
        let (query, form) = (Parameters::parse(request.query.as_bytes()), Parameters::parse(request.body));
        state.secrets_in_urls += u64::from(query.get("client_secret").is_some());
        let parameter = |name: &str| form.get(name).or_else(|| query.get(name)).unwrap_or_default();
        if parameter("grant_type") != "client_credentials" {
            return Err(ApiError::new(400, "invalid_grant", "Grant type is not supported"));
        }
        let known = parameter("client_id") == self.options().application_id
            && parameter("client_secret") == self.options().client_secret;
        if !known {
            return Err(ApiError::new(401, "invalid_client", "Client authentication failed"));
        }
        let token = generate::id("AT", &mut state.random);
        state.tokens.issue(token.clone(), now);
        let lifetime = state.tokens.lifetime();
        Ok(json!({
            "token_type": "Bearer",
            "access_token": token,
            "refresh_token": generate::id("RT", &mut state.random),
            "expires_in": lifetime / 1000,
            "expires_at": (now + lifetime) / 1000,
        }))
    }
}

fn denied(permission: Permission) -> ApiError {
    ApiError::new(403, "permission_denied", format!("Require scopes: [{}]", permission.urn()))
}

#[cfg(test)]
mod tests {
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
}
