//! Everybody who may do something, in memory.

use super::account::Account;
use super::claim::Claim;
use super::device_key::DeviceKey;
use super::session::Session;
use crate::database::{Document, DocumentChange, LoadedDocuments, StoreError};
use rustc_hash::FxHashMap;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

/// All accounts, sessions, device keys and claims of one version. A mirror of the documents in the database.
#[derive(Debug, Default)]
pub struct Book {
    pub(crate) version: i64,
    pub(crate) accounts: FxHashMap<String, Account>,
    pub(crate) sessions: FxHashMap<String, Session>,
    pub(crate) keys: FxHashMap<String, KeyEntry>,
    pub(crate) claims: FxHashMap<String, Claim>,
}

/// A key and when it was used.
#[derive(Debug, Clone)]
pub(crate) struct KeyEntry {
    pub key: Arc<DeviceKey>,
    /// When it was last used, 0 for never; counted here and written now and then.
    used_ms: Arc<AtomicI64>,
    written_ms: i64,
}

/// What a change does to the book.
#[derive(Debug, Default)]
pub struct Change {
    accounts: Vec<(String, Option<Account>)>,
    sessions: Vec<(String, Option<Session>)>,
    keys: Vec<(String, Option<DeviceKey>)>,
    claims: Vec<(String, Option<Claim>)>,
}

const ACCOUNT: &str = "account";
const SESSION: &str = "session";
const KEY: &str = "device_key";
const KEY_USE: &str = "device_key_use";
const CLAIM: &str = "claim";

#[derive(Serialize, Deserialize)]
struct KeyUse {
    used_ms: i64,
}

impl KeyEntry {
    pub(crate) fn used_ms(&self) -> Option<i64> {
        Some(self.used_ms.load(Ordering::Relaxed)).filter(|used_ms| *used_ms > 0)
    }

    pub(crate) fn note_use(&self, now_ms: i64) {
        self.used_ms.store(now_ms, Ordering::Relaxed);
    }
}

impl Book {
    pub(crate) fn read(loaded: &LoadedDocuments) -> Result<Self, StoreError> {
        let mut book = Self {
            version: loaded.version,
            ..Self::default()
        };
        let mut uses: FxHashMap<&str, i64> = FxHashMap::default();
        for document in &loaded.documents {
            let id = document.id.clone();
            match document.kind.as_str() {
                ACCOUNT => drop(book.accounts.insert(id, document.record()?)),
                SESSION => drop(book.sessions.insert(id, document.record()?)),
                KEY => {
                    let entry = KeyEntry {
                        key: Arc::new(document.record()?),
                        used_ms: Arc::default(),
                        written_ms: 0,
                    };
                    book.keys.insert(id, entry);
                }
                KEY_USE => {
                    uses.insert(&document.id, document.record::<KeyUse>()?.used_ms);
                }
                CLAIM => drop(book.claims.insert(id, document.record()?)),
                // Documents are not only for access.
                _ => {}
            }
        }
        for (id, used_ms) in uses {
            if let Some(entry) = book.keys.get_mut(id) {
                entry.note_use(used_ms);
                entry.written_ms = used_ms;
            }
        }
        Ok(book)
    }

    /// Takes over what `before` knows of uses that are not written yet.
    pub(crate) fn keep_uses(&mut self, before: &Self) {
        for (id, entry) in &mut self.keys {
            if let Some(known) = before.keys.get(id) {
                let used_ms = known.used_ms().max(entry.used_ms()).unwrap_or(0);
                known.note_use(used_ms);
                entry.used_ms = Arc::clone(&known.used_ms);
            }
        }
    }

    /// Uses of keys that are not written yet, as documents.
    pub(crate) fn unwritten_uses(&mut self) -> Vec<Document> {
        let entries = self.keys.iter_mut().filter_map(|(id, entry)| {
            let used_ms = entry.used_ms().filter(|used| *used > entry.written_ms)?;
            entry.written_ms = used_ms;
            Some(Document::of(KEY_USE, id, &KeyUse { used_ms }))
        });
        entries.collect()
    }

    pub(crate) fn apply(&mut self, change: Change) {
        self.version += 1;
        apply(&mut self.accounts, change.accounts);
        apply(&mut self.sessions, change.sessions);
        apply(&mut self.claims, change.claims);
        let entry = |key| KeyEntry {
            key: Arc::new(key),
            used_ms: Arc::default(),
            written_ms: 0,
        };
        let keys = change.keys.into_iter();
        apply(&mut self.keys, keys.map(|(id, key)| (id, key.map(entry))));
    }

    /// The sessions of an account.
    pub(crate) fn sessions_of(&self, account: &str) -> impl Iterator<Item = (&String, &Session)> {
        let of = move |(_, session): &(&String, &Session)| session.account == account;
        self.sessions.iter().filter(of)
    }
}

fn apply<T>(
    records: &mut FxHashMap<String, T>,
    changes: impl IntoIterator<Item = (String, Option<T>)>,
) {
    for (id, record) in changes {
        match record {
            Some(record) => drop(records.insert(id, record)),
            None => drop(records.remove(&id)),
        }
    }
}

impl Change {
    pub(crate) fn is_empty(&self) -> bool {
        self.accounts.is_empty()
            && self.sessions.is_empty()
            && self.keys.is_empty()
            && self.claims.is_empty()
    }

    pub(crate) fn put_account(&mut self, account: Account) {
        self.accounts.push((account.name.clone(), Some(account)));
    }

    pub(crate) fn remove_account(&mut self, name: &str) {
        self.accounts.push((name.to_owned(), None));
    }

    pub(crate) fn put_session(&mut self, id: String, session: Session) {
        self.sessions.push((id, Some(session)));
    }

    pub(crate) fn remove_session(&mut self, id: &str) {
        self.sessions.push((id.to_owned(), None));
    }

    /// Ends every login of an account.
    pub(crate) fn remove_sessions_of(&mut self, book: &Book, account: &str) {
        for (id, _) in book.sessions_of(account) {
            self.remove_session(id);
        }
    }

    /// Ends the logins of an account, and the codes it has made that nobody has used yet: it may do
    /// something else from now on, or nothing.
    pub(crate) fn remove_sessions_and_claims_of(&mut self, book: &Book, account: &str) {
        self.remove_sessions_of(book, account);
        for (id, claim) in &book.claims {
            if claim.created_by == account && claim.key_id.is_none() {
                self.remove_claim(id);
            }
        }
    }

    pub(crate) fn put_key(&mut self, id: String, key: DeviceKey) {
        self.keys.push((id, Some(key)));
    }

    pub(crate) fn remove_key(&mut self, id: &str) {
        self.keys.push((id.to_owned(), None));
    }

    pub(crate) fn put_claim(&mut self, id: String, claim: Claim) {
        self.claims.push((id, Some(claim)));
    }

    pub(crate) fn remove_claim(&mut self, id: &str) {
        self.claims.push((id.to_owned(), None));
    }

    /// The same for the database.
    pub(crate) fn documents(&self) -> DocumentChange {
        let mut documents = DocumentChange::default();
        write(&mut documents, ACCOUNT, &self.accounts);
        write(&mut documents, SESSION, &self.sessions);
        write(&mut documents, KEY, &self.keys);
        write(&mut documents, CLAIM, &self.claims);
        for (id, key) in &self.keys {
            if key.is_none() {
                documents.removed.push((KEY_USE.to_owned(), id.clone()));
            }
        }
        documents
    }
}

fn write<T: Serialize>(
    documents: &mut DocumentChange,
    kind: &str,
    records: &[(String, Option<T>)],
) {
    for (id, record) in records {
        match record {
            Some(record) => documents.put.push(Document::of(kind, id, record)),
            None => documents.removed.push((kind.to_owned(), id.clone())),
        }
    }
}
