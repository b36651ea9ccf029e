//! What may become of accounts: decided on the book, the same for a call and for a command.

use super::account::{Account, role_fault};
use super::book::{Book, Change};
use super::role::Role;
use crate::domain::Sites;

/// Most accounts there can be.
pub(crate) const ACCOUNTS_MAX: usize = 10_000;

/// Why accounts stay as they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum AccountRefusal {
    #[error("there is an account of this name")]
    Exists,
    #[error("there are {ACCOUNTS_MAX} accounts, and that is the most")]
    TooMany,
    #[error("there is no such account")]
    Unknown,
    /// What is wrong with its role and sites together.
    #[error("{0}")]
    Role(&'static str),
    #[error("it is the last admin")]
    LastAdmin,
}

/// What is to be another of an account; `None` stays.
#[derive(Debug, Clone, Default)]
pub(crate) struct AccountEdit {
    pub role: Option<Role>,
    pub sites: Option<Sites>,
    pub password_hash: Option<String>,
}

/// Adds a new account.
pub(crate) fn add(book: &Book, account: &Account) -> Result<Change, AccountRefusal> {
    require_role(account)?;
    if book.accounts.contains_key(&account.name) {
        return Err(AccountRefusal::Exists);
    }
    if book.accounts.len() >= ACCOUNTS_MAX {
        return Err(AccountRefusal::TooMany);
    }
    let mut change = Change::default();
    change.put_account(account.clone());
    Ok(change)
}

/// Changes an account, whose logins end; also says what it is then.
pub(crate) fn edit(
    book: &Book,
    name: &str,
    edit: &AccountEdit,
) -> Result<(Change, Account), AccountRefusal> {
    let known = book.accounts.get(name).ok_or(AccountRefusal::Unknown)?;
    let mut account = known.clone();
    account.role = edit.role.unwrap_or(account.role);
    if let Some(sites) = &edit.sites {
        account.sites = sites.clone();
    }
    if let Some(hash) = &edit.password_hash {
        account.password_hash.clone_from(hash);
    }
    require_role(&account)?;
    if account.role != Role::Admin {
        require_another_admin(book, name)?;
    }
    let mut change = Change::default();
    change.remove_sessions_and_claims_of(book, name);
    change.put_account(account.clone());
    Ok((change, account))
}

/// Removes an account; its logins end.
pub(crate) fn remove(book: &Book, name: &str) -> Result<Change, AccountRefusal> {
    if !book.accounts.contains_key(name) {
        return Err(AccountRefusal::Unknown);
    }
    require_another_admin(book, name)?;
    let mut change = Change::default();
    change.remove_sessions_and_claims_of(book, name);
    change.remove_account(name);
    Ok(change)
}

fn require_role(account: &Account) -> Result<(), AccountRefusal> {
    role_fault(account.role, &account.sites)
        .map_or(Ok(()), |fault| Err(AccountRefusal::Role(fault)))
}

/// Somebody must be left who can let others in.
fn require_another_admin(book: &Book, but: &str) -> Result<(), AccountRefusal> {
    let admins = |account: &&Account| account.role == Role::Admin;
    let is_last = book.accounts.values().filter(admins).count() == 1
        && book.accounts.get(but).as_ref().is_some_and(admins);
    if is_last {
        return Err(AccountRefusal::LastAdmin);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::documents::Book as _;
    use pretty_assertions::assert_eq;

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

    fn with(mut book: Book, account: &Account) -> Book {
        let change = add(&book, account).unwrap();
        book.apply(change);
        book
    }

    #[test]
    fn the_last_admin_stays_until_there_is_another() {
        let book = with(Book::default(), &account("ada", Role::Admin));
        let book = with(book, &account("bob", Role::Viewer));
        let demoted = AccountEdit {
            role: Some(Role::Operator),
            ..AccountEdit::default()
        };
        assert_eq!(remove(&book, "ada").unwrap_err(), AccountRefusal::LastAdmin);
        let refused = edit(&book, "ada", &demoted).unwrap_err();
        assert_eq!(refused, AccountRefusal::LastAdmin);
        assert!(remove(&book, "bob").is_ok() && edit(&book, "bob", &demoted).is_ok());
        let book = with(book, &account("eve", Role::Admin));
        assert!(remove(&book, "ada").is_ok() && edit(&book, "ada", &demoted).is_ok());
    }

    #[test]
    fn there_are_only_so_many_accounts_and_each_once() {
        let mut book = Book::default();
        let mut full = Change::default();
        for number in 0..ACCOUNTS_MAX {
            full.put_account(account(&number.to_string(), Role::Viewer));
        }
        book.apply(full);
        let refused = add(&book, &account("ada", Role::Admin)).unwrap_err();
        assert_eq!(refused, AccountRefusal::TooMany);
        let refused = add(&book, &account("7", Role::Admin)).unwrap_err();
        assert_eq!(refused, AccountRefusal::Exists);
        let removed = remove(&book, "7").unwrap();
        book.apply(removed);
        assert!(add(&book, &account("ada", Role::Admin)).is_ok());
    }
}
