//! `iaqverse openapi`: the API document, for programs that are made from it.

use crate::server;
use std::io::Write;

pub(super) fn command() -> anyhow::Result<()> {
    let mut document = server::document().to_pretty_json()?;
    document.push('\n');
    std::io::stdout().write_all(document.as_bytes())?;
    Ok(())
}
