//! Two registries on one database, as a server and a command are.

use super::*;
use crate::access::device_key::{DeviceKey, NewDeviceKey};
use crate::access::test_support::MemoryDocuments;
use crate::access::{Account, Role, SensorPattern};
use crate::domain::Sites;
use pretty_assertions::assert_eq;
use std::convert::Infallible;

fn account(name: &str, role: Role) -> Account {
    Account {
        name: name.to_owned(),
        password_hash: String::new(),
        role,
        sites: Sites::ALL,
        created_ms: 0,
        last_login_ms: None,
    }
}

async fn put(registry: &Registry, account: Account) {
    let changed = registry.change(|_| {
        let mut change = Change::default();
        change.put_account(account.clone());
        Ok::<_, Infallible>((change, ()))
    });
    changed.await.unwrap();
}

fn names(registry: &Registry) -> Vec<String> {
    let mut names: Vec<_> = registry.book(|book| book.accounts.keys().cloned().collect());
    names.sort();
    names
}

async fn two() -> (Registry, Registry) {
    let database = Arc::new(MemoryDocuments::default());
    (
        Registry::open(Arc::clone(&database) as Arc<dyn DocumentDatabase>)
            .await
            .unwrap(),
        Registry::open(database).await.unwrap(),
    )
}

#[tokio::test]
async fn what_another_has_changed_is_seen_after_a_refresh() {
    let (one, other) = two().await;
    put(&one, account("ada", Role::Admin)).await;
    assert_eq!((names(&one).len(), names(&other).len()), (1, 0));
    let before = other.generation();
    other.refresh().await.unwrap();
    assert_eq!(names(&other), ["ada"]);
    assert!(other.generation() > before);
    let unchanged = other.generation();
    other.refresh().await.unwrap();
    assert_eq!(other.generation(), unchanged);
}

#[tokio::test]
async fn a_change_is_decided_again_on_what_another_has_changed() {
    let (one, other) = two().await;
    put(&one, account("ada", Role::Admin)).await;
    let mut seen = Vec::new();
    // It has not refreshed, so it decides on an empty book first.
    let changed = other.change(|book| {
        seen.push(book.accounts.len());
        if book.accounts.contains_key("ada") {
            return Err("there is one");
        }
        let mut change = Change::default();
        change.put_account(account("ada", Role::Viewer));
        Ok((change, ()))
    });
    let refused = changed.await.unwrap_err();
    assert!(matches!(refused, ChangeError::Refused("there is one")));
    assert_eq!(seen, [0, 1]);
    assert_eq!(one.book(|book| book.accounts["ada"].role), Role::Admin);
}

#[tokio::test]
async fn nothing_to_change_is_not_written() {
    let (one, _) = two().await;
    let generation = one.generation();
    one.change(|_| Ok::<_, Infallible>((Change::default(), ())))
        .await
        .unwrap();
    assert_eq!(one.generation(), generation);
    assert_eq!(one.book(|book| book.version), 0);
}

#[tokio::test]
async fn uses_of_keys_outlive_a_refresh_and_are_written_for_others() {
    let (one, other) = two().await;
    let (id, key, _) = DeviceKey::create(NewDeviceKey {
        label: String::new(),
        sensors: vec![SensorPattern::parse("*").unwrap()],
        sites: Sites::ALL,
        place: None,
        created_by: "ada".to_owned(),
        created_ms: 0,
    });
    let added = one.change(|_| {
        let mut change = Change::default();
        change.put_key(id.clone(), key.clone());
        Ok::<_, Infallible>((change, ()))
    });
    added.await.unwrap();
    let used = |registry: &Registry| registry.book(|book| book.keys[&id].used_ms());
    assert_eq!(used(&one), None);
    one.book(|book| book.keys[&id].note_use(42));
    put(&other, account("ada", Role::Viewer)).await;
    one.refresh().await.unwrap();
    assert_eq!(used(&one), Some(42));
    assert_eq!(used(&other), None);
    one.write_uses().await.unwrap();
    put(&one, account("grace", Role::Viewer)).await;
    other.refresh().await.unwrap();
    assert_eq!(used(&other), Some(42));
}
