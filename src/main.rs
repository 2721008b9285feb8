//! The program `idaas-bridge`.

use std::process::ExitCode;

fn main() -> ExitCode {
    idaas_bridge::commands::main()
}
