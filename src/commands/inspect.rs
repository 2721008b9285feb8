//! stub
use super::Exit;
use clap::Args;
/// stub
#[derive(Args)]
pub struct InspectArguments {}
/// stub
#[must_use]
pub fn run(_: &InspectArguments) -> Exit {
    Exit::Fine
}
