//! The reasons why the API gives no usable answer, with remedies.

use super::answers::Rejection;
use crate::diagnosis::Diagnosis;
use crate::http_client::HttpFault;

/// The reason why a request has no usable answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, strum::IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub enum Cause {
    /// The API rejected the request.
    #[error("{0}")]
    Rejected(Rejection),
    /// A newly issued token was rejected.
    #[error("a new access token was not accepted")]
    TokenRefused,
    /// The API still throttled the request after all retries.
    #[error("the API rejects requests because there are too many")]
    Throttled,
    /// The server failed, with this status.
    #[error("the API answered with status {0}")]
    Status(u16),
    /// The request failed.
    #[error("{0}")]
    Http(HttpFault),
    /// The answer does not conform to the API's documentation.
    #[error("the answer does not match the documentation of the Developer API")]
    Malformed,
}

/// A request that failed after all attempts.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{call}: {cause}")]
pub struct ApiFault {
    /// Alibaba's name of the call.
    pub call: &'static str,
    /// The permission that the call needs, as far as it is known.
    pub permission: &'static str,
    /// The reason.
    pub cause: Cause,
}

impl From<&ApiFault> for Diagnosis {
    fn from(fault: &ApiFault) -> Self {
        let code = if let Cause::Rejected(rejection) = &fault.cause { rejection.code() } else { (&fault.cause).into() };
        Self::new(code, fault.to_string(), fault.remedy())
    }
}

impl ApiFault {
    fn remedy(&self) -> String {
        match &self.cause {
            Cause::Rejected(rejection) => self.rejection_remedy(rejection),
            Cause::TokenRefused => "check that no other endpoint, instance or proxy answers, and try again".to_owned(),
            Cause::Throttled => "lower requests_per_second in [application.fetch], and continue with --run".to_owned(),
            Cause::Status(_) | Cause::Malformed => {
                "check that the endpoint is the Developer API, and continue later with --run".to_owned()
            }
            Cause::Http(fault) => match fault {
                HttpFault::InvalidUrl => "correct the endpoint in [application.fetch]".to_owned(),
                HttpFault::Tls(_) => {
                    "check that the endpoint's certificate is for this host and has not expired".to_owned()
                }
                HttpFault::CaCertificate | HttpFault::Setup => {
                    "check that the proxy's address is a URL and that OpenSSL works".to_owned()
                }
                HttpFault::Dns
                | HttpFault::Connect
                | HttpFault::Timeout
                | HttpFault::Redirect
                | HttpFault::Interrupted
                | HttpFault::TooLarge
                | HttpFault::Encoding => {
                    "check that the endpoint is correct and that firewalls allow the connection, or set HTTPS_PROXY"
                        .to_owned()
                }
            },
        }
    }

    fn rejection_remedy(&self, rejection: &Rejection) -> String {
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
                "enable the application's API in the IDaaS console".to_owned()
            }
            Rejection::ApplicationDisabled => "enable the application in the IDaaS console".to_owned(),
            Rejection::OtherApplication | Rejection::ApplicationNotFound | Rejection::InstanceNotFound => {
                "correct endpoint, instance_id and id: they have to be of the same region and instance".to_owned()
            }
            Rejection::NotFound | Rejection::NotInScope | Rejection::Other(_, _) => {
                "check that the endpoint is the Developer API of the instance's region".to_owned()
            }
        }
    }
}
