//! JSON Object Signing and Encryption, as far as IDaaS uses it and no further; and the seal of our own files.
//!
//! [`jws`] is the only place that meets the `josekit` crate, [`jwe`] and [`seal`] the only ones that meet `aes-gcm`.
//! None takes an algorithm from what it reads: the algorithms are constants here.

pub mod jwe;
pub mod jws;
mod key_set;
mod rs256;
pub mod seal;
