//! JSON Object Signing and Encryption, as far as IDaaS uses it and no further; and the seal of our own files.
//!
//! [`jws`] verifies and does not sign. [`jwe`] and [`seal`] are the only places that meet the `aes-gcm` crate.
//! None takes an algorithm from what it reads: the algorithms are constants here.

pub mod jwe;
pub mod jws;
mod rs256;
pub mod seal;
