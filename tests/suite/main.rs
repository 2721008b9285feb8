//! The integration tests: one binary, real sockets.

mod keys;
