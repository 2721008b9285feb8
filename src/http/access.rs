//! Access control of the admin listener. Protected routes need `server.admin_token` or, if none is configured, a
//! request from a loopback address.
//!
//! One check covers all routes, so a new route is protected unless it is listed here.

use std::net::SocketAddr;
use std::sync::Arc;

use actix_web::http::header::{self, HeaderMap};
use actix_web::{HttpResponse, dev::ServiceRequest};
use arc_swap::ArcSwapOption;
use sha2::{Digest, Sha256};

use super::console;
use crate::secret::Secret;

/// Paths that need no token, besides those of the console: they show no ids.
const OPEN: [&str; 3] = ["/metrics", "/livez", "/readyz"];

/// Headers that proxies add to the requests that they forward. The proxy can run on this machine, but not its client.
const FORWARDED: [&str; 4] = ["forwarded", "via", "x-forwarded-for", "x-real-ip"];

/// The digest of `server.admin_token`. Digests have equal lengths, so they can be compared in constant time. Clones
/// share the token.
#[derive(Clone, Default)]
pub struct AdminToken(Arc<ArcSwapOption<[u8; 32]>>);

impl AdminToken {
    /// Replaces the token.
    pub fn set(&self, token: Option<&Secret<String>>) {
        self.0.store(token.map(|token| Arc::new(digest(token.expose()))));
    }

    /// Returns the digest of the current token. A change means that access has to be checked again.
    pub(super) fn digest(&self) -> Option<[u8; 32]> {
        self.0.load().as_deref().copied()
    }

    /// Returns true if a token is configured.
    pub(super) fn is_set(&self) -> bool {
        self.0.load().is_some()
    }

    /// Returns the response to a request that is not allowed, or `None` if it is.
    pub(super) fn refusal(&self, request: &ServiceRequest) -> Option<HttpResponse> {
        let is_open = OPEN.contains(&request.path()) || console::is_open(request.path());
        let allowed = is_open || self.allows(request.headers(), request.peer_addr());
        (!allowed).then(|| {
            let mut response = HttpResponse::Unauthorized();
            response.insert_header((header::WWW_AUTHENTICATE, "Bearer"));
            response.content_type("text/plain; charset=utf-8").body(
                "Send server.admin_token as `Authorization: Bearer`. Without a token in the configuration, only \
                requests from this machine's loopback address are allowed. If a proxy runs on this machine, configure a \
                token.\n",
            )
        })
    }

    /// Returns true if the sender of such a request may see ids and change data.
    pub(super) fn allows(&self, headers: &HeaderMap, peer: Option<SocketAddr>) -> bool {
        let Some(expected) = &*self.0.load() else {
            let is_forwarded = FORWARDED.iter().any(|name| headers.contains_key(*name));
            return !is_forwarded && peer.is_some_and(|peer| peer.ip().to_canonical().is_loopback());
        };
        let given = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()?.split_once(' '));
        let Some((scheme, token)) = given else { return false };
        scheme.eq_ignore_ascii_case("bearer") && openssl::memcmp::eq(&digest(token.trim()), expected.as_slice())
    }
}

fn digest(token: &str) -> [u8; 32] {
    Sha256::digest(token.as_bytes()).into()
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    fn allowed(token: &AdminToken, path: &str, peer: &str, authorization: Option<&str>) -> bool {
        let mut request = TestRequest::with_uri(path).peer_addr(peer.parse().unwrap());
        if let Some(value) = authorization {
            request = request.insert_header(("authorization", value));
        }
        token.refusal(&request.to_srv_request()).is_none()
    }

    #[test]
    fn without_a_token_only_loopback_peers_are_allowed() {
        let token = AdminToken::default();
        for path in ["/journal", "/journal/entries/x/redrive", "/quarantine/x", "/console/events", "/anything"] {
            assert!(allowed(&token, path, "127.0.0.1:1", None) && allowed(&token, path, "[::1]:1", None));
            assert!(allowed(&token, path, "[::ffff:127.0.0.1]:1", None));
            assert!(!allowed(&token, path, "192.0.2.1:1", None), "{path}");
            assert!(!allowed(&token, path, "192.0.2.1:1", Some("Bearer ")), "{path}");
        }
        for path in OPEN.into_iter().chain(["/", "/console/main.js", "/console/stream"]) {
            assert!(allowed(&token, path, "192.0.2.1:1", None), "{path}");
        }
    }

    #[test]
    fn without_a_token_forwarded_requests_are_not_allowed() {
        let token = AdminToken::default();
        for header in ["Forwarded", "Via", "X-Forwarded-For", "X-Real-IP"] {
            let request = TestRequest::with_uri("/journal").peer_addr("127.0.0.1:1".parse().unwrap());
            let request = request.insert_header((header, "192.0.2.1")).to_srv_request();
            assert!(token.refusal(&request).is_some(), "{header}");
        }
    }

    #[test]
    fn with_a_token_everybody_has_to_send_it() {
        let token = AdminToken::default();
        token.set(Some(&Secret::new("hush".to_owned())));
        for (authorization, expected) in [
            (Some("Bearer hush"), true),
            (Some("bearer  hush"), true),
            (Some("Bearer hus"), false),
            (Some("Bearer hushh"), false),
            (Some("Basic hush"), false),
            (Some("hush"), false),
            (None, false),
        ] {
            for peer in ["127.0.0.1:1", "192.0.2.1:1"] {
                assert_eq!(allowed(&token, "/journal", peer, authorization), expected, "{authorization:?} {peer}");
            }
        }
        assert!(allowed(&token, "/metrics", "192.0.2.1:1", None));
        token.set(None);
        assert!(!allowed(&token, "/journal", "192.0.2.1:1", Some("Bearer hush")));
    }
}
