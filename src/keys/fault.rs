//! Why keys could not be fetched, in words for the person who can mend it.
//!
//! Nothing here may hold a URL or a part of the document: a fault is logged and shown.

use std::fmt;
use std::io::ErrorKind;

use crate::http_client::HttpFault;
use idaas_callback::jose::jws::{KeySetFault, SkippedKey};

use super::fetch::MAX_DOCUMENT;

/// Why a fetch brought no usable key set. Its `Display` names the problem and the remedy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FetchFault {
    /// The source is no `http` or `https` URL with a host.
    InvalidUrl,
    /// The file of extra CA certificates cannot be read.
    CaFile(ErrorKind),
    /// The file of extra CA certificates holds none, or a broken one.
    CaCertificate,
    /// The proxy's address is no URL, or the HTTP client cannot be set up.
    Client,
    /// The host's name cannot be resolved.
    Dns,
    /// No connection to the host, or to the proxy before it.
    Connect,
    /// TLS failed; with OpenSSL's own words, which hold nothing secret.
    Tls(String),
    /// No complete answer in time.
    Timeout,
    /// The endpoint redirects to another scheme, or too often.
    Redirect,
    /// The endpoint answered with another status than 200.
    Status(u16),
    /// The exchange broke off after the connection stood.
    Interrupted,
    /// The document is larger than [`MAX_DOCUMENT`].
    TooLarge,
    /// The document is no JSON Web Key Set.
    NotAKeySet,
    /// The key set holds no key that can verify RS256. With the first of its entries.
    NoUsableKey(Option<SkippedKey>),
    /// The document has a content coding that nobody asked for, or is not in the coding that it claims.
    Encoding,
    /// The file of keys cannot be read.
    File(ErrorKind),
}

impl FetchFault {
    /// The stable code, for logs and for the doctor's findings.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::InvalidUrl => "invalid_url",
            Self::CaFile(_) | Self::CaCertificate => "ca_file",
            Self::Client => "client",
            Self::Dns => "dns",
            Self::Connect => "connect",
            Self::Tls(_) => "tls",
            Self::Timeout => "timeout",
            Self::Redirect => "redirect",
            Self::Status(_) => "status",
            Self::Interrupted => "interrupted",
            Self::TooLarge => "too_large",
            Self::NotAKeySet => "not_a_key_set",
            Self::NoUsableKey(_) => "no_usable_key",
            Self::Encoding => "encoding",
            Self::File(_) => "file",
        }
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
            HttpFault::Tls(words) => Self::Tls(words),
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

impl fmt::Display for FetchFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InvalidUrl => f.write_str(
                "jwks is not an http or https URL; copy the \"Public Key Endpoint\" of the application's \
                 provisioning settings",
            ),
            Self::CaFile(kind) => write!(f, "the CA file cannot be read ({kind}); correct its path or its permissions"),
            Self::CaCertificate => {
                f.write_str("the CA file holds no readable certificate; it takes one or more in PEM form")
            }
            Self::Client => f.write_str(
                "the HTTP client cannot be set up; see that the proxy's address is a URL and that OpenSSL is intact",
            ),
            Self::Dns => f.write_str("the host's name cannot be resolved; see that it is right and that DNS answers"),
            Self::Connect => f.write_str(
                "no connection to the host; see that a firewall lets it through, or set HTTPS_PROXY (and NO_PROXY)",
            ),
            Self::Tls(words) => write!(
                f,
                "TLS failed: {words}; if a private CA signed the server's certificate, name it as the CA file, and see \
                 that the certificate is for this host and not expired"
            ),
            Self::Timeout => {
                f.write_str("no complete answer in time; see that the host is reachable and not overloaded")
            }
            Self::Redirect => f.write_str(
                "the endpoint redirects too often or to another scheme, which is not followed; configure the address \
                 that it leads to",
            ),
            Self::Status(status) => write!(
                f,
                "the endpoint answered with status {status} instead of 200; see that the address names the right \
                 instance and application, and that provisioning is enabled there"
            ),
            Self::Interrupted => {
                f.write_str("the answer broke off or is no HTTP; see what stands between here and the endpoint")
            }
            Self::TooLarge => {
                write!(f, "the document is larger than {MAX_DOCUMENT} bytes; see that the address is that of a key set")
            }
            Self::NotAKeySet => {
                write!(f, "{}; see that the address is that of a key set", KeySetFault::NotAKeySet)
            }
            Self::NoUsableKey(first) => write!(
                f,
                "{}; see that the address is the application's own",
                KeySetFault::NoUsableKey(first.clone())
            ),
            Self::Encoding => f.write_str(
                "the answer has a content coding other than gzip and deflate, or is damaged; see what stands between here \
                 and the endpoint",
            ),
            Self::File(kind) => {
                write!(f, "the file of keys cannot be read ({kind}); correct its path or its permissions")
            }
        }
    }
}

impl std::error::Error for FetchFault {}
