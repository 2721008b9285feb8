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
            state.count_call("GenerateToken");
            return self.token(state, request, now);
        }
        if request.method != "GET" {
            return Err(ApiError::not_found());
        }
        let call = Call::of(&rest).ok_or_else(ApiError::not_found)?;
        state.count_call(call.name());
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
#[path = "tests/api.rs"]
mod tests;
