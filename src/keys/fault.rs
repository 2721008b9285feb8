//! Why keys could not be fetched, as an operator reads it.
//!
//! Nothing here may contain a URL or a part of the document, because faults are logged and displayed.

use std::io::ErrorKind;

use crate::diagnosis::Diagnosis;
use crate::http_client::HttpFault;
use idaas_callback::jose::jws::{KeySetFault, SkippedKey};

use super::fetch::MAX_DOCUMENT;

/// The reason why a fetch failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, strum::IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub enum FetchFault {
    /// The source is not an `http` or `https` URL with a host.
    #[error("jwks is not an http or https URL")]
    InvalidUrl,
    /// The file of extra CA certificates cannot be read.
    #[error("the CA file cannot be read ({0})")]
    CaFile(ErrorKind),
    /// The file of extra CA certificates contains no certificate, or a damaged one.
    #[error("the CA file contains no readable certificate")]
    #[strum(to_string = "ca_file")]
    CaCertificate,
    /// The proxy's address is not a URL, or the HTTP client cannot be set up.
    #[error("the HTTP client cannot be set up")]
    Client,
    /// The host name cannot be resolved.
    #[error("the host's name cannot be resolved")]
    Dns,
    /// The host, or the proxy, cannot be connected to.
    #[error("no connection to the host")]
    Connect,
    /// TLS failed. Contains OpenSSL's message, which is not secret.
    #[error("TLS failed: {0}")]
    Tls(String),
    /// The answer was not complete in time.
    #[error("no complete answer in time")]
    Timeout,
    /// The endpoint redirects to a URL that must not be followed, or too often.
    #[error("the endpoint redirects too often or to another scheme, which is not followed")]
    Redirect,
    /// The endpoint answered with a status other than 200.
    #[error("the endpoint answered with status {0} instead of 200")]
    Status(u16),
    /// The connection broke after it was established.
    #[error("the answer is incomplete or is not HTTP")]
    Interrupted,
    /// The document is larger than [`MAX_DOCUMENT`].
    #[error("the document is larger than {MAX_DOCUMENT} bytes")]
    TooLarge,
    /// The document is not a JSON Web Key Set.
    #[error("{}", KeySetFault::NotAKeySet)]
    NotAKeySet,
    /// The key set contains no key that can verify RS256. Contains the first skipped entry, if there is one.
    #[error("{}", KeySetFault::NoUsableKey(.0.clone()))]
    NoUsableKey(Option<SkippedKey>),
    /// The document has a content coding that was not requested, or is not in the coding that it claims.
    #[error("the answer has a content coding other than gzip and deflate, or is damaged")]
    Encoding,
    /// The key file cannot be read.
    #[error("the file of keys cannot be read ({0})")]
    File(ErrorKind),
}

impl FetchFault {
    /// Returns the stable code, for logs and for `check`.
    #[must_use]
    pub fn code(&self) -> &'static str {
        self.into()
    }
}

impl From<HttpFault> for FetchFault {
    fn from(fault: HttpFault) -> Self {
        match fault {
            HttpFault::InvalidUrl => Self::InvalidUrl,
            HttpFault::CaCertificate => Self::CaCertificate,
            HttpFault::Setup => Self::Client,
            HttpFault::Dns => Self::Dns,
            HttpFault::Connect => Self::Connect,
            HttpFault::Tls(problem) => Self::Tls(problem),
            HttpFault::Timeout => Self::Timeout,
            HttpFault::Redirect => Self::Redirect,
            HttpFault::Interrupted => Self::Interrupted,
            HttpFault::TooLarge => Self::TooLarge,
            HttpFault::Encoding => Self::Encoding,
        }
    }
}

impl From<KeySetFault> for FetchFault {
    fn from(fault: KeySetFault) -> Self {
        match fault {
            KeySetFault::NotAKeySet => Self::NotAKeySet,
            KeySetFault::NoUsableKey(first) => Self::NoUsableKey(first),
        }
    }
}

impl From<&FetchFault> for Diagnosis {
    fn from(fault: &FetchFault) -> Self {
        let remedy = match fault {
            FetchFault::InvalidUrl => "copy the \"Public Key Endpoint\" of the application's provisioning settings",
            FetchFault::CaFile(_) | FetchFault::File(_) => "correct its path or its permissions",
            FetchFault::CaCertificate => "it must contain one or more certificates in PEM format",
            FetchFault::Client => "check that the proxy's address is a URL and that OpenSSL works",
            FetchFault::Dns => "check that it is correct and that DNS answers",
            FetchFault::Connect => "check that firewalls allow the connection, or set HTTPS_PROXY (and NO_PROXY)",
            FetchFault::Tls(_) => {
                "if a private CA signed the server's certificate, name it as the CA file, and check that the \
                certificate is for this host and has not expired"
            }
            FetchFault::Timeout => "check that the host is reachable and not overloaded",
            FetchFault::Redirect => "configure the address that it redirects to",
            FetchFault::Status(_) => {
                "check that the address has the right instance and application, and that provisioning is enabled there"
            }
            FetchFault::Interrupted | FetchFault::Encoding => "check the proxies between this machine and the endpoint",
            FetchFault::TooLarge | FetchFault::NotAKeySet => "check that the address is that of a key set",
            FetchFault::NoUsableKey(_) => "check that the address is the application's own",
        };
        Self::new(fault, fault.to_string(), remedy)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_never_change() {
        let kind = ErrorKind::Other;
        for (fault, code) in [
            (FetchFault::InvalidUrl, "invalid_url"),
            (FetchFault::CaFile(kind), "ca_file"),
            (FetchFault::CaCertificate, "ca_file"),
            (FetchFault::Client, "client"),
            (FetchFault::Dns, "dns"),
            (FetchFault::Connect, "connect"),
            (FetchFault::Tls(String::new()), "tls"),
            (FetchFault::Timeout, "timeout"),
            (FetchFault::Redirect, "redirect"),
            (FetchFault::Status(500), "status"),
            (FetchFault::Interrupted, "interrupted"),
            (FetchFault::TooLarge, "too_large"),
            (FetchFault::NotAKeySet, "not_a_key_set"),
            (FetchFault::NoUsableKey(None), "no_usable_key"),
            (FetchFault::Encoding, "encoding"),
            (FetchFault::File(kind), "file"),
        ] {
            assert_eq!(Diagnosis::from(&fault).code, code);
        }
    }
}
