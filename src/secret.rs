//! A wrapper for values that must not be shown: keys, passwords, tokens.
//!
//! It implements none of `Debug`, `Display` and `Serialize`, so formatting cannot leak a secret into a log, an error or
//! a metric. The only access is [`Secret::expose`], which is easy to search for.

use zeroize::Zeroize;

/// A secret value, erased from memory when dropped.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret<T: Zeroize>(T);

impl<T: Zeroize> Secret<T> {
    /// Wraps a value.
    pub const fn new(value: T) -> Self {
        Self(value)
    }

    /// Returns the value. Review every call: the value must not be shown.
    pub const fn expose(&self) -> &T {
        &self.0
    }
}

impl<T: Zeroize> Drop for Secret<T> {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}
