//! Classifies the API's answers.
//!
//! Errors have the form `{error, error_description, request_id}` or `{Code, Message, RequestId}`. Proxies on the way
//! can answer in any form.

use serde::Deserialize;

use idaas_callback::event_type::Entity;

/// Maximum length of a code or permission in messages. A longer one does not come from the API.
const MAX_SHOWN: usize = 100;
/// The prefix of permission names.
const SCOPE: &str = "urn:alibaba:idaas:scope:";

/// A successful answer.
#[derive(Debug)]
pub struct ApiResponse {
    /// The body.
    pub body: Vec<u8>,
    /// When the request was sent, in milliseconds since 1970, on the earlier one of this clock and the server's.
    pub read_at: i64,
}

/// The meaning of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Meaning {
    /// Success: the body contains the result.
    Answered,
    /// The token is invalid or has expired.
    InvalidToken,
    /// Too many requests.
    Throttled,
    /// The server failed. A retry may succeed.
    Failed,
    /// The API rejects the request. A retry would be rejected too.
    Rejected(Rejection),
}

/// The reason why the API rejects a request.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, strum::IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub enum Rejection {
    /// The requested entity does not exist.
    #[error("the entity does not exist")]
    NotFound,
    /// The entity is outside of the application's synchronization scope, or does not exist.
    #[error("the entity is outside of the application's synchronization scope")]
    NotInScope,
    /// The application lacks permissions. Contains those that the answer names.
    #[error("the application lacks a permission")]
    PermissionDenied(Vec<String>),
    /// The client id and the client secret do not match.
    #[error("the client secret does not match the client id")]
    InvalidClient,
    /// The application may not use the grant type `client_credentials`.
    #[error("the application may not use client_credentials")]
    GrantNotAllowed,
    /// The token belongs to another application.
    #[error("the token belongs to another application")]
    OtherApplication,
    /// The application is disabled.
    #[error("the application is disabled")]
    ApplicationDisabled,
    /// The application's API is switched off.
    #[error("the application's API is disabled")]
    ApiDisabled,
    /// The instance has no such application.
    #[error("the instance has no such application")]
    ApplicationNotFound,
    /// The endpoint has no such instance.
    #[error("there is no such instance at this endpoint")]
    InstanceNotFound,
    /// Any other reason, with status and code.
    #[error("the API answered with status {}{}", .0, and_code(.1))]
    Other(u16, String),
}

fn and_code(code: &str) -> String {
    if code.is_empty() { String::new() } else { format!(" and code \"{code}\"") }
}

impl Rejection {
    /// Returns the stable code.
    #[must_use]
    pub fn code(&self) -> &'static str {
        self.into()
    }

    /// Returns true if the rejection concerns only the requested entity, so that the run can continue.
    pub(super) const fn is_about_the_entity(&self) -> bool {
        match self {
            Self::NotFound | Self::NotInScope => true,
            Self::PermissionDenied(_)
            | Self::InvalidClient
            | Self::GrantNotAllowed
            | Self::OtherApplication
            | Self::ApplicationDisabled
            | Self::ApiDisabled
            | Self::ApplicationNotFound
            | Self::InstanceNotFound
            | Self::Other(_, _) => false,
        }
    }
}

#[derive(Default, Deserialize)]
struct ErrorBody {
    #[serde(default, alias = "Code", alias = "code")]
    error: String,
    #[serde(default, alias = "Message", alias = "message")]
    error_description: String,
}

/// Classifies an answer by its status and body. `entity` is the kind of entity whose absence the call can report.
pub(super) fn meaning(status: u16, body: &[u8], entity: Option<Entity>) -> Meaning {
    if (200..300).contains(&status) {
        return Meaning::Answered;
    }
    let ErrorBody { error: code, error_description } = serde_json::from_slice(body).unwrap_or_default();
    if status == 429 || code.starts_with("Throttling") {
        return Meaning::Throttled;
    }
    if status >= 500 || status == 408 {
        return Meaning::Failed;
    }
    Meaning::Rejected(match (status, code.as_str()) {
        (_, "invalid_token") => return Meaning::InvalidToken,
        (_, "invalid_client" | "unauthorized_client") => Rejection::InvalidClient,
        (_, "invalid_grant" | "unsupported_grant_type") => Rejection::GrantNotAllowed,
        (_, "invalid_request") => Rejection::OtherApplication,
        (_, "application_disabled") => Rejection::ApplicationDisabled,
        (_, "application_api_disabled") => Rejection::ApiDisabled,
        (_, "permission_denied") => Rejection::PermissionDenied(permissions(&error_description)),
        (_, "application_not_found") => Rejection::ApplicationNotFound,
        (_, "instance_not_found") => Rejection::InstanceNotFound,
        (400 | 404, code) if entity.is_some_and(|entity| says_not_found(code, entity)) => Rejection::NotFound,
        (_, code) if code.contains("NotInScope") => Rejection::NotInScope,
        // The codes of OAuth 2.0 are checked first, because a wrong secret is also answered with 401.
        (401, _) => return Meaning::InvalidToken,
        (_, code) => Rejection::Other(status, shown(code)),
    })
}

/// Returns true if the code names the requested kind of entity. A status 404 alone can come from any proxy.
fn says_not_found(code: &str, entity: Entity) -> bool {
    let Some(what) = code.strip_prefix("ResourceNotFound.") else { return false };
    let names: &[&str] = match entity {
        Entity::User => &["User", "UserId"],
        Entity::OrganizationalUnit => {
            &["OrganizationalUnit", "OrganizationalUnitId", "OrganizationUnit", "OrganizationUnitId"]
        }
        Entity::Group => &["Group", "GroupId"],
        Entity::Connectivity | Entity::Unclassified | Entity::DeadLetter | Entity::Credential => &[],
    };
    names.contains(&what)
}

/// Returns the permissions that a text names.
fn permissions(text: &str) -> Vec<String> {
    let is_part = |c: char| c.is_ascii_alphanumeric() || matches!(c, ':' | '_' | '-');
    let words = text.split(|c| !is_part(c)).filter(|word| word.starts_with(SCOPE) && word.len() <= MAX_SHOWN);
    words.map(str::to_owned).collect()
}

/// Returns the code if it is safe to display, otherwise an empty text.
fn shown(code: &str) -> String {
    let plain = code.bytes().all(|byte| byte.is_ascii_alphanumeric() || b" ._-:".contains(&byte));
    if plain && code.len() <= MAX_SHOWN { code.to_owned() } else { String::new() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(status: u16, body: &str) -> Meaning {
        meaning(status, body.as_bytes(), Some(Entity::User))
    }

    #[test]
    fn expired_token_is_400_or_401() {
        assert_eq!(of(400, r#"{"error":"invalid_token","error_description":"x"}"#), Meaning::InvalidToken);
        assert_eq!(of(401, ""), Meaning::InvalidToken);
        assert_eq!(of(401, r#"{"error":"invalid_client"}"#), Meaning::Rejected(Rejection::InvalidClient));
    }

    #[test]
    fn throttling_is_known_by_status_or_code() {
        assert_eq!(of(429, "<html>"), Meaning::Throttled);
        assert_eq!(of(400, r#"{"Code":"Throttling.User","Message":"x"}"#), Meaning::Throttled);
        assert_eq!(of(503, ""), Meaning::Failed);
    }

    #[test]
    fn missing_permissions_are_named() {
        let body = r#"{"error":"permission_denied","error_description":"Require scopes: [urn:alibaba:idaas:scope:user:read_all, urn:alibaba:idaas:scope:x:y]"}"#;
        let Meaning::Rejected(Rejection::PermissionDenied(named)) = of(403, body) else { panic!() };
        assert_eq!(named, ["urn:alibaba:idaas:scope:user:read_all", "urn:alibaba:idaas:scope:x:y"]);
    }

    #[test]
    fn only_the_code_of_the_asked_entity_means_not_found() {
        for code in ["ResourceNotFound.User", "ResourceNotFound.UserId"] {
            for status in [400, 404] {
                let body = format!(r#"{{"Code":"{code}","Message":"x","RequestId":"y"}}"#);
                assert_eq!(of(status, &body), Meaning::Rejected(Rejection::NotFound), "{status} {code}");
            }
        }
        for (status, body) in [
            (404, ""),
            (404, "<html>not found</html>"),
            (404, r#"{"Code":"ResourceNotFound.Group"}"#),
            (404, r#"{"error":"application_not_found"}"#),
            (404, r#"{"Code":"ResourceNotFound.UserPool"}"#),
            (403, r#"{"Code":"ResourceNotFound.User"}"#),
        ] {
            assert_ne!(of(status, body), Meaning::Rejected(Rejection::NotFound), "{status} {body}");
        }
    }

    #[test]
    fn codes_that_look_odd_are_not_shown() {
        let odd = r#"{"Code":"zhangsan@example.com","Message":"zhangsan"}"#;
        assert_eq!(of(418, odd), Meaning::Rejected(Rejection::Other(418, String::new())));
    }
}
