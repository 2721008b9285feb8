//! Values that must not be shown: keys, passwords, tokens.
//!
//! Nothing here has `Debug`, `Display` or `Serialize`, so that a secret cannot reach a log, an error or a metric
//! by being formatted. The only way out is [`Secret::expose`], which is easy to search for.

use zeroize::Zeroize;

/// A secret value, erased from memory when dropped.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret<T: Zeroize>(T);

impl<T: Zeroize> Secret<T> {
    /// Wraps a value.
    pub const fn new(value: T) -> Self {
        Self(value)
    }

    /// The value itself. Each call is a place to review: what it is passed to must not show it.
    pub const fn expose(&self) -> &T {
        &self.0
    }
}

impl<T: Zeroize> Drop for Secret<T> {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}
