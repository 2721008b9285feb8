//! TLS on the callback listener, with OpenSSL. The certificate can be replaced while connections are open.

use std::io;
use std::path::Path;
use std::sync::Arc;

use arc_swap::ArcSwap;
use openssl::error::ErrorStack;
use openssl::pkey::PKey;
use openssl::ssl::{SslAcceptor, SslAcceptorBuilder, SslContext, SslMethod};
use openssl::x509::X509;
use zeroize::Zeroizing;

use crate::text;

/// The certificate of the callback listener. Clones share it.
#[derive(Clone)]
pub struct ListenerCertificate {
    current: Arc<ArcSwap<SslContext>>,
}

/// A certificate and its key cannot be used. Displays OpenSSL's message, which never contains the key.
#[derive(Debug)]
pub struct CertificateFault(Unusable);

#[derive(Debug)]
enum Unusable {
    File(io::ErrorKind),
    NoCertificate,
    OpenSsl(ErrorStack),
}

impl From<ErrorStack> for Unusable {
    fn from(stack: ErrorStack) -> Self {
        Self::OpenSsl(stack)
    }
}

impl std::fmt::Display for CertificateFault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("server.tls: the certificate and its key cannot be used together: ")?;
        match &self.0 {
            Unusable::File(kind) => write!(f, "a file cannot be read ({kind})"),
            Unusable::NoCertificate => f.write_str("there is no certificate in the file"),
            Unusable::OpenSsl(stack) => write!(f, "{stack}"),
        }
    }
}

impl std::error::Error for CertificateFault {}

impl ListenerCertificate {
    /// Reads a certificate with its chain, and its private key, both PEM.
    ///
    /// # Errors
    /// [`CertificateFault`] if they are unreadable or do not belong together.
    pub fn load(certificate: &Path, key: &Path) -> Result<Self, CertificateFault> {
        let context = context(certificate, key).map_err(CertificateFault)?;
        Ok(Self { current: Arc::new(ArcSwap::from_pointee(context)) })
    }

    /// Replaces this certificate with `other` for new connections.
    pub fn replace(&self, other: &Self) {
        self.current.store(other.current.load_full());
    }

    /// Returns the days until a certificate file expires; negative once it has expired. `None` if it cannot be read.
    #[must_use]
    pub fn days_left(certificate: &Path) -> Option<i32> {
        let certificate = X509::from_pem(&text::plain(&std::fs::read(certificate).ok()?)).ok()?;
        let now = openssl::asn1::Asn1Time::days_from_now(0).ok()?;
        let left = now.diff(certificate.not_after()).ok()?;
        // Both parts have the same sign. Rounds down, so that a certificate that expired an hour ago counts as expired.
        Some(if left.secs < 0 { left.days - 1 } else { left.days })
    }

    /// Returns a TLS acceptor that uses the certificate current at each handshake.
    pub(super) fn acceptor(&self) -> io::Result<SslAcceptorBuilder> {
        let mut acceptor = SslAcceptor::mozilla_intermediate_v5(SslMethod::tls_server())?;
        let current = Arc::clone(&self.current);
        // OpenSSL calls this for each handshake, even if the client sends no server name.
        acceptor.set_servername_callback(move |ssl, _| {
            ssl.set_ssl_context(&current.load()).map_err(|_| openssl::ssl::SniError::ALERT_FATAL)
        });
        Ok(acceptor)
    }
}

/// When the first certificate of a chain in PEM expires, in seconds since 1970. `None` if it cannot be read.
#[must_use]
pub fn certificate_expiry(chain: &[u8]) -> Option<i64> {
    let epoch = openssl::asn1::Asn1Time::from_unix(0).ok()?;
    let seconds = |certificate: &X509| {
        let left = epoch.diff(certificate.not_after()).ok()?;
        Some(i64::from(left.days) * 86_400 + i64::from(left.secs))
    };
    X509::stack_from_pem(&text::plain(chain)).ok()?.iter().filter_map(seconds).min()
}

fn context(certificate: &Path, key: &Path) -> Result<SslContext, Unusable> {
    let read = |path: &Path| std::fs::read(path).map(Zeroizing::new).map_err(|error| Unusable::File(error.kind()));
    let (certificate, key) = (read(certificate)?, read(key)?);
    let mut chain = X509::stack_from_pem(&text::plain(&certificate))?.into_iter();
    // Rejects keys with a passphrase. Without the callback, OpenSSL would prompt for it on the terminal and block.
    let key = PKey::private_key_from_pem_callback(&text::plain(&key), |_| Err(ErrorStack::get()))?;
    let mut acceptor = SslAcceptor::mozilla_intermediate_v5(SslMethod::tls_server())?;
    acceptor.set_certificate(&*chain.next().ok_or(Unusable::NoCertificate)?)?;
    for issuer in chain {
        acceptor.add_extra_chain_cert(issuer)?;
    }
    acceptor.set_private_key(&key)?;
    acceptor.check_private_key()?;
    Ok(acceptor.build().into_context())
}
