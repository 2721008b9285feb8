//! Access tokens that expire. Times are milliseconds of any monotonic clock.

use std::collections::HashMap;

/// The tokens that have been issued.
pub(crate) struct Tokens {
    lifetime: u64,
    /// The expiry time of each token.
    issued: HashMap<String, u64>,
}

impl Tokens {
    pub(crate) fn new(lifetime: u64) -> Self {
        Self { lifetime, issued: HashMap::new() }
    }

    /// Returns the lifetime of new tokens, in milliseconds.
    pub(crate) const fn lifetime(&self) -> u64 {
        self.lifetime
    }

    pub(crate) const fn set_lifetime(&mut self, milliseconds: u64) {
        self.lifetime = milliseconds;
    }

    pub(crate) fn expire_all(&mut self) {
        self.issued.clear();
    }

    /// Issues a token.
    pub(crate) fn issue(&mut self, token: String, now: u64) {
        self.issued.retain(|_, end| *end > now);
        self.issued.insert(token, now + self.lifetime);
    }

    /// Returns true if the token was issued and has not expired.
    pub(crate) fn is_valid(&self, token: &str, now: u64) -> bool {
        self.issued.get(token).is_some_and(|end| *end > now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn token_is_valid_until_its_lifetime_ends() {
        let mut tokens = Tokens::new(1000);
        tokens.issue("AT1".to_owned(), 5);
        assert!(tokens.is_valid("AT1", 1004) && !tokens.is_valid("AT1", 1005) && !tokens.is_valid("AT2", 5));
        tokens.issue("AT3".to_owned(), 5);
        tokens.expire_all();
        assert!(!tokens.is_valid("AT3", 6));
    }
}
