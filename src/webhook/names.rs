//! Names → addresses that may be connected to.
//!
//! A name is asked for once for each connection, which then goes to what was found. So there is no
//! second answer of the name's server that could be another one (DNS rebinding).

use super::target::{Reach, Scheme};
use futures_util::future::BoxFuture;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;

/// A resolver of host names.
pub(super) trait Lookup: std::fmt::Debug + Send + Sync {
    fn lookup(&self, name: &str) -> BoxFuture<'static, io::Result<Vec<IpAddr>>>;
}

/// The system, as every program does.
#[derive(Debug)]
pub(super) struct SystemLookup;

impl Lookup for SystemLookup {
    fn lookup(&self, name: &str) -> BoxFuture<'static, io::Result<Vec<IpAddr>>> {
        let name = name.to_owned();
        Box::pin(async move {
            let addresses = tokio::net::lookup_host((name, 0)).await?;
            Ok(addresses.map(|address| address.ip()).collect())
        })
    }
}

/// A name has no address, or one that is not allowed. Which of them is nobody's business: it would
/// tell what the names of a private network are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("has no address that may be connected to")]
pub(super) struct NoAddress;

/// Names of receivers that are spoken to in one way.
#[derive(Debug, Clone)]
pub(super) struct CheckedNames {
    lookup: Arc<dyn Lookup>,
    reach: Reach,
    scheme: Scheme,
}

impl CheckedNames {
    pub(super) fn new(lookup: Arc<dyn Lookup>, reach: Reach, scheme: Scheme) -> Self {
        Self {
            lookup,
            reach,
            scheme,
        }
    }

    /// The addresses of a name, if each of them may be connected to.
    pub(super) async fn addresses(&self, name: &str) -> Result<Vec<IpAddr>, NoAddress> {
        let found = self.lookup.lookup(name).await;
        let addresses = found.map_err(|_unknown| NoAddress)?;
        let allowed = addresses
            .iter()
            .all(|address| self.reach.allows(*address, self.scheme));
        if addresses.is_empty() || !allowed {
            return Err(NoAddress);
        }
        Ok(addresses)
    }
}
