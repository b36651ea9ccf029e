//! Accounts for tests of other modules.

use super::caller::{Caller, Who};
use super::gate::{Access, AccessParts, AuthMode, Lifetimes};
use super::rate::RateLimits;
use super::registry::Registry;
use super::role::Role;
use super::token::Tokens;
use crate::clock::Clock;
use crate::database::{Document, DocumentChange, DocumentDatabase, LoadedDocuments, StoreError};
use crate::domain::Sites;
use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// A viewer who is restricted to these sites.
pub(crate) fn viewer_of(sites: &[&str]) -> Caller {
    let who = Who::Person {
        name: "ada".to_owned(),
        role: Role::Viewer,
        session: None,
    };
    let sites = Sites::only(sites.iter().map(|site| (*site).to_owned())).unwrap();
    Caller::new(who, sites, None)
}

/// A server's access, with nothing in it.
pub(crate) async fn access(mode: AuthMode, clock: Arc<dyn Clock>) -> Access {
    limited_access(mode, clock, RateLimits::new(0, 0, 0)).await
}

/// The same, with limits.
pub(crate) async fn limited_access(
    mode: AuthMode,
    clock: Arc<dyn Clock>,
    limits: RateLimits,
) -> Access {
    Access::new(AccessParts {
        mode,
        registry: Registry::open(Arc::new(MemoryDocuments::default()))
            .await
            .unwrap(),
        tokens: Tokens::new(None, None).unwrap(),
        lifetimes: Lifetimes {
            token: Duration::from_mins(10),
            refresh: Duration::from_hours(1),
        },
        limits,
        clock,
    })
}

/// Documents that are gone with the process.
#[derive(Debug, Default)]
pub(crate) struct MemoryDocuments(Mutex<(i64, Bodies)>);

/// By kind and id.
type Bodies = BTreeMap<(String, String), String>;

impl DocumentDatabase for MemoryDocuments {
    fn version(&self) -> BoxFuture<'_, Result<i64, StoreError>> {
        Box::pin(async { Ok(self.0.lock().0) })
    }

    fn load(&self) -> BoxFuture<'_, Result<LoadedDocuments, StoreError>> {
        Box::pin(async {
            let (version, documents) = &*self.0.lock();
            let documents = documents.iter().map(|((kind, id), body)| Document {
                kind: kind.clone(),
                id: id.clone(),
                body: body.clone(),
            });
            Ok(LoadedDocuments {
                version: *version,
                documents: documents.collect(),
            })
        })
    }

    fn change<'a>(
        &'a self,
        expected: i64,
        change: &'a DocumentChange,
    ) -> BoxFuture<'a, Result<bool, StoreError>> {
        Box::pin(async move {
            let (version, documents) = &mut *self.0.lock();
            if *version != expected {
                return Ok(false);
            }
            *version += 1;
            for name in &change.removed {
                documents.remove(name);
            }
            for Document { kind, id, body } in change.put.clone() {
                documents.insert((kind, id), body);
            }
            Ok(true)
        })
    }

    fn note<'a>(&'a self, noted: &'a [Document]) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(async move {
            let (_, documents) = &mut *self.0.lock();
            for Document { kind, id, body } in noted.iter().cloned() {
                documents.insert((kind, id), body);
            }
            Ok(())
        })
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        Box::pin(async {})
    }
}
