//! The program `idaas-bridge`.

use std::process::ExitCode;

/// jemalloc returns memory to the system a few seconds after a burst, and needs a fifth less CPU time here than the
/// system's allocator. Its functions have the standard names, so librdkafka and OpenSSL use it too.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    idaas_bridge::cli::main()
}
