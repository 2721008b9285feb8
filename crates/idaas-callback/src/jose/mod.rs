//! JSON Object Signing and Encryption, limited to what IDaaS uses; and the encryption of the bridge's own files.
//!
//! [`jws`] verifies and does not sign. Only [`jwe`] and [`seal`] use the `aes-gcm` crate. The algorithms are
//! constants here; none is taken from the input.

pub mod jwe;
pub mod jws;
mod rs256;
pub mod seal;
