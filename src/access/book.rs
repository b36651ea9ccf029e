//! Everybody who may do something, in memory.

use super::account::Account;
use super::claim::Claim;
use super::device_key::DeviceKey;
use super::session::Session;
use crate::database::{Document, DocumentChange, StoreError};
use crate::documents::{self, Record, RecordChanges, Records};
use rustc_hash::FxHashMap;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

/// All accounts, sessions, device keys and claims: what may become of one hangs on the others.
#[derive(Debug, Default)]
pub struct Book {
    pub(crate) accounts: Records<Account>,
    pub(crate) sessions: Records<Session>,
    pub(crate) keys: FxHashMap<String, KeyEntry>,
    pub(crate) claims: Records<Claim>,
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
    accounts: RecordChanges<Account>,
    sessions: RecordChanges<Session>,
    keys: RecordChanges<DeviceKey>,
    claims: RecordChanges<Claim>,
}

/// When a key was last used. It is noted, so no version grows with it.
#[derive(Debug, Serialize, Deserialize)]
struct KeyUse {
    used_ms: i64,
}

impl Record for KeyUse {
    const KIND: &'static str = "device_key_use";
    const SUBJECT: &'static str = "uses of keys";

    fn of(document: &Document) -> Result<Self, StoreError> {
        document.record()
    }
}

impl KeyEntry {
    fn new(key: DeviceKey) -> Self {
        Self {
            key: Arc::new(key),
            used_ms: Arc::default(),
            written_ms: 0,
        }
    }

    pub(crate) fn used_ms(&self) -> Option<i64> {
        Some(self.used_ms.load(Ordering::Relaxed)).filter(|used_ms| *used_ms > 0)
    }

    pub(crate) fn note_use(&self, now_ms: i64) {
        self.used_ms.store(now_ms, Ordering::Relaxed);
    }
}

impl documents::Book for Book {
    const KINDS: &'static [&'static str] = &[
        Account::KIND,
        Session::KIND,
        DeviceKey::KIND,
        KeyUse::KIND,
        Claim::KIND,
    ];
    const SUBJECT: &'static str = "accounts";

    type Change = Change;

    fn read(documents: &[Document]) -> Result<Self, StoreError> {
        let mut keys: FxHashMap<String, KeyEntry> = FxHashMap::default();
        for document in documents.iter().filter(|it| it.kind == DeviceKey::KIND) {
            keys.insert(document.id.clone(), KeyEntry::new(DeviceKey::of(document)?));
        }
        for (id, KeyUse { used_ms }) in Records::among(documents)?.iter() {
            if let Some(entry) = keys.get_mut(id) {
                entry.note_use(*used_ms);
                entry.written_ms = *used_ms;
            }
        }
        Ok(Self {
            accounts: Records::among(documents)?,
            sessions: Records::among(documents)?,
            keys,
            claims: Records::among(documents)?,
        })
    }

    fn apply(&mut self, change: Change) {
        self.accounts.take_over(change.accounts);
        self.sessions.take_over(change.sessions);
        self.claims.take_over(change.claims);
        for (id, key) in change.keys {
            match key {
                Some(key) => drop(self.keys.insert(id, KeyEntry::new(key))),
                None => drop(self.keys.remove(&id)),
            }
        }
    }

    fn documents(change: &Change) -> DocumentChange {
        let mut documents = DocumentChange::default();
        change.accounts.write(&mut documents);
        change.sessions.write(&mut documents);
        change.keys.write(&mut documents);
        change.claims.write(&mut documents);
        for id in change.keys.removed() {
            let removed = (KeyUse::KIND.to_owned(), id.clone());
            documents.removed.push(removed);
        }
        documents
    }

    /// Uses that are not written yet.
    fn succeed(&mut self, before: &Self) {
        for (id, entry) in &mut self.keys {
            if let Some(known) = before.keys.get(id) {
                let used_ms = known.used_ms().max(entry.used_ms()).unwrap_or(0);
                known.note_use(used_ms);
                entry.used_ms = Arc::clone(&known.used_ms);
            }
        }
    }
}

impl Book {
    /// Uses of keys that are not written yet, as documents: so many at most.
    pub(crate) fn unwritten_uses(&mut self, count_max: usize) -> Vec<Document> {
        let entries = self.keys.iter_mut().filter_map(|(id, entry)| {
            let used_ms = entry.used_ms().filter(|used| *used > entry.written_ms)?;
            entry.written_ms = used_ms;
            Some(Document::of(KeyUse::KIND, id, &KeyUse { used_ms }))
        });
        entries.take(count_max).collect()
    }

    /// The sessions of an account.
    pub(crate) fn sessions_of(&self, account: &str) -> impl Iterator<Item = (&String, &Session)> {
        let of = move |(_, session): &(&String, &Session)| session.account == account;
        self.sessions.iter().filter(of)
    }
}

impl Change {
    pub(crate) fn put_account(&mut self, account: Account) {
        self.accounts.put(account.name.clone(), account);
    }

    pub(crate) fn remove_account(&mut self, name: &str) {
        self.accounts.remove(name);
    }

    pub(crate) fn put_session(&mut self, id: String, session: Session) {
        self.sessions.put(id, session);
    }

    pub(crate) fn remove_session(&mut self, id: &str) {
        self.sessions.remove(id);
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
        for (id, claim) in book.claims.iter() {
            if claim.created_by == account && claim.key_id.is_none() {
                self.remove_claim(id);
            }
        }
    }

    pub(crate) fn put_key(&mut self, id: String, key: DeviceKey) {
        self.keys.put(id, key);
    }

    pub(crate) fn remove_key(&mut self, id: &str) {
        self.keys.remove(id);
    }

    pub(crate) fn put_claim(&mut self, id: String, claim: Claim) {
        self.claims.put(id, claim);
    }

    pub(crate) fn remove_claim(&mut self, id: &str) {
        self.claims.remove(id);
    }
}
