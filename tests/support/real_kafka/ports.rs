//! Free loopback ports, below the range from which the system takes ports for outgoing connections: a killed broker
//! must find its port free when it comes back.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::net::TcpListener;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

const FIRST: u32 = 10_000;
const COUNT: u32 = 22_000;

/// Returns `count` free ports, none of them twice in this process.
pub(crate) fn free(count: usize) -> Vec<u16> {
    // Another test process begins somewhere else.
    static BEGIN: OnceLock<u32> = OnceLock::new();
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let begin = *BEGIN.get_or_init(|| RandomState::new().build_hasher().finish() as u32 % COUNT);
    std::iter::repeat_with(|| FIRST + (begin + NEXT.fetch_add(1, Ordering::Relaxed)) % COUNT)
        .filter_map(|port| u16::try_from(port).ok())
        .filter(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok())
        .take(count)
        .collect()
}
