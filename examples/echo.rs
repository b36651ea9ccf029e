//! The server with `/ws/echo`, which sends every message back, for conformance tests of `WebSocket`
//! servers. It is a program of its own, so that nobody runs such a server by mistake.

use anyhow::Result;
use iaqverse::commands::Command;

fn main() -> Result<()> {
    actix_rt::System::new().block_on(Command::from_command_line().run())
}
