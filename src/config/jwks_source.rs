//! The source of an application's public keys.
//!
//! A URL can contain a password or a token (user info, query). Therefore nothing here has `Debug`, and the `Display`
//! of [`JwksSource`] omits them.

use std::fmt;
use std::path::PathBuf;

use sha2::{Digest, Sha256};
use url::Url;

/// The location of the JSON Web Key Set (RFC 7517) of an application. Its `Display` omits user info and query.
#[derive(Clone, PartialEq, Eq)]
pub enum JwksSource {
    /// The "Public Key Endpoint" of the application's provisioning settings in the IDaaS console.
    Url {
        /// An absolute `https` or `http` URL.
        url: String,
        /// Certificate authorities (PEM) to trust in addition to the system's. Was readable when the configuration was
        /// read.
        ca_file: Option<PathBuf>,
    },
    /// A file, for tests and for networks without internet access. It contained a usable key set when the configuration
    /// was read.
    File(PathBuf),
}

impl JwksSource {
    /// Returns an identifier of this source: the SHA-256 of the URL without user info, in lower-case hexadecimal.
    /// `None` for a file.
    ///
    /// A digest, because a query can contain a token, which must not be stored on disk. Without user info, because a
    /// password could be guessed from the digest.
    #[must_use]
    pub fn digest(&self) -> Option<String> {
        match self {
            Self::Url { url, .. } => {
                let url = without_user_info(url).map_or_else(|| url.clone(), String::from);
                Some(Sha256::digest(url.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect())
            }
            Self::File(_) => None,
        }
    }
}

impl fmt::Display for JwksSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Url { url, .. } => f.write_str(&without_secrets(url)),
            Self::File(path) => write!(f, "{}", path.display()),
        }
    }
}

/// Returns the parts of a URL that cannot be secret: scheme, host, port and path.
fn without_secrets(url: &str) -> String {
    let Some(mut url) = without_user_info(url) else {
        return "(not a URL with a host)".to_owned();
    };
    url.set_query(None);
    url.set_fragment(None);
    url.into()
}

fn without_user_info(url: &str) -> Option<Url> {
    let mut url = Url::parse(url).ok()?;
    url.set_username("").ok()?;
    url.set_password(None).ok()?;
    Some(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(url: &str) -> JwksSource {
        JwksSource::Url { url: url.to_owned(), ca_file: None }
    }

    #[test]
    fn a_source_shows_neither_user_info_nor_query_nor_fragment() {
        let shown = source("https://user:secret@example.com:8443/a/jwks?token=secret#secret").to_string();
        assert_eq!(shown, "https://example.com:8443/a/jwks");
        assert_eq!(source("data:secret").to_string(), "(not a URL with a host)");
        assert_eq!(source("secret").to_string(), "(not a URL with a host)");
    }

    #[test]
    fn sources_that_differ_in_the_query_only_have_different_digests() {
        assert_ne!(source("https://example.com/?a").digest(), source("https://example.com/?b").digest());
        assert_eq!(source("https://u:a@example.com/").digest(), source("https://u:b@example.com/").digest());
        assert_eq!(JwksSource::File("jwks.json".into()).digest(), None);
    }
}
