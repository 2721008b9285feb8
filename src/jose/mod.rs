//! JSON Object Signing and Encryption, as far as IDaaS uses it and no further.
//!
//! [`jws`] is the only place that meets the `josekit` crate, [`jwe`] the only one that meets `aes-gcm`.
//! Neither takes an algorithm from a token: the algorithms are constants here.

pub mod jwe;
pub mod jws;
mod rs256;
