//! Why the API gives no answer that can be used, and what to do about it.

use std::fmt;

use super::answers::Rejection;
use crate::http_client::HttpFault;

/// Why a request has no answer that can be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cause {
    /// The API rejects it.
    Rejected(Rejection),
    /// A token that was just issued is not accepted.
    TokenRefused,
    /// Too many requests, however long was waited.
    Throttled,
    /// The server failed, with this status.
    Status(u16),
    /// No answer.
    Http(HttpFault),
    /// The answer is not what the API documents.
    Malformed,
}

/// A request that failed for good.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiFault {
    /// The vendor's name of the call.
    pub call: &'static str,
    /// The permission that the call needs, as far as it is known.
    pub permission: &'static str,
    /// Why.
    pub cause: Cause,
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rejected(rejection) => write!(f, "{rejection}"),
            Self::TokenRefused => f.write_str("a new access token was not accepted"),
            Self::Throttled => f.write_str("the API rejects requests as too many"),
            Self::Status(status) => write!(f, "the API answered with status {status}"),
            Self::Http(fault) => write!(f, "{fault}"),
            Self::Malformed => f.write_str("the answer is not what the Developer API documents"),
        }
    }
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotFound => "the entity does not exist",
            Self::NotInScope => "the entity is outside of the application's synchronization scope",
            Self::PermissionDenied(_) => "the application lacks a permission",
            Self::InvalidClient => "client id and client secret do not belong together",
            Self::GrantNotAllowed => "the application may not use client_credentials",
            Self::OtherApplication => "the token belongs to another application",
            Self::ApplicationDisabled => "the application is disabled",
            Self::ApiDisabled => "the application's API is switched off",
            Self::ApplicationNotFound => "the instance has no such application",
            Self::InstanceNotFound => "there is no such instance at this endpoint",
            Self::Other(status, code) if code.is_empty() => return write!(f, "the API answered with status {status}"),
            Self::Other(status, code) => return write!(f, "the API answered with status {status} and code \"{code}\""),
        })
    }
}

impl ApiFault {
    /// What to do about it.
    #[must_use]
    pub fn remedy(&self) -> String {
        match &self.cause {
            Cause::Rejected(rejection) => self.remedy_of(rejection),
            Cause::TokenRefused => "see that no other endpoint, instance or proxy answers, and try again".to_owned(),
            Cause::Throttled => "lower requests_per_second in [application.fetch], and go on with --run".to_owned(),
            Cause::Status(_) | Cause::Malformed => {
                "see that the endpoint is the Developer API's, and go on later with --run".to_owned()
            }
            Cause::Http(fault) => match fault {
                HttpFault::InvalidUrl => "correct the endpoint in [application.fetch]".to_owned(),
                HttpFault::Tls(_) => "see that the endpoint's certificate is for this host and not expired".to_owned(),
                HttpFault::CaCertificate | HttpFault::Setup => {
                    "see that the proxy's address is a URL and that OpenSSL is intact".to_owned()
                }
                HttpFault::Dns
                | HttpFault::Connect
                | HttpFault::Timeout
                | HttpFault::Redirect
                | HttpFault::Interrupted
                | HttpFault::TooLarge
                | HttpFault::Encoding => {
                    "see that the endpoint is right and that a firewall lets it through, or set HTTPS_PROXY".to_owned()
                }
            },
        }
    }

    fn remedy_of(&self, rejection: &Rejection) -> String {
        match rejection {
            Rejection::PermissionDenied(named) if named.is_empty() => {
                format!("grant the application {} in the IDaaS console", self.permission)
            }
            Rejection::PermissionDenied(named) => {
                format!("grant the application {} in the IDaaS console", named.join(" and "))
            }
            Rejection::InvalidClient => "correct client_id and client_secret in [application.fetch]; a client secret \
                                         is created in the application's settings in the IDaaS console"
                .to_owned(),
            Rejection::GrantNotAllowed | Rejection::ApiDisabled => {
                "switch the application's API on in the IDaaS console".to_owned()
            }
            Rejection::ApplicationDisabled => "enable the application in the IDaaS console".to_owned(),
            Rejection::OtherApplication | Rejection::ApplicationNotFound | Rejection::InstanceNotFound => {
                "correct endpoint, instance_id and id: they have to be of the same region and instance".to_owned()
            }
            Rejection::NotFound | Rejection::NotInScope | Rejection::Other(_, _) => {
                "see that the endpoint is the Developer API's of the instance's region".to_owned()
            }
        }
    }
}
