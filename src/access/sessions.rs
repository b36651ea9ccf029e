//! What may become of logins: decided on the book.

use super::account::Account;
use super::book::{Book, Change};
use super::session::{RefreshToken, Refreshed, Session};
use crate::domain::Timestamp;

/// Logins of one account that may go on at the same time; the one that would end first is ended for the
/// next.
const SESSIONS_MAX: usize = 20;

/// The account has gone or got another password while this one was checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the account is not what it was")]
pub(crate) struct AccountChanged;

/// What somebody gets who has logged in.
#[derive(Debug)]
pub(crate) struct Begun {
    /// Id of the session.
    pub session: String,
    /// What refreshes it, which is kept nowhere.
    pub refresh_token: String,
}

/// Begins a session of an account whose password was right.
pub(crate) fn begin(
    book: &Book,
    checked: &Account,
    in_cookie: bool,
    now: Timestamp,
    expires_at: Timestamp,
) -> Result<(Change, Begun), AccountChanged> {
    let account = unchanged(book, checked)?;
    let mut change = Change::default();
    let mut others: Vec<_> = book.sessions_of(&account.name).collect();
    others.sort_by_key(|(_, session)| session.expires_ms);
    let too_many = (others.len() + 1).saturating_sub(SESSIONS_MAX);
    for (id, _) in others.into_iter().take(too_many) {
        change.remove_session(id);
    }
    let (id, session, refresh_token) = Session::begin(&account.name, in_cookie, expires_at);
    change.put_session(id.clone(), session);
    change.put_account(Account {
        last_login_ms: Some(now.millis()),
        ..account.clone()
    });
    let begun = Begun {
        session: id,
        refresh_token,
    };
    Ok((change, begun))
}

/// Uses a refresh token up; also says whose session it is, if it is one's. A token counts only where it
/// is kept: one of a cookie is worth nothing in a body.
pub(crate) fn refresh(
    book: &Book,
    token: &RefreshToken,
    in_cookie: bool,
    now: Timestamp,
    expires_at: Timestamp,
) -> (Change, Option<(Refreshed, Account)>) {
    let mut change = Change::default();
    let id = token.session_id();
    let session = book.sessions.get(&id);
    let session = session.filter(|session| session.in_cookie == in_cookie);
    let account = session.and_then(|session| book.accounts.get(&session.account));
    let (Some(session), Some(account)) = (session, account) else {
        return (change, None);
    };
    let refreshed = session.refresh(token, now, expires_at);
    match &refreshed {
        Refreshed::Rotated(session, _) => change.put_session(id, session.clone()),
        Refreshed::Reused => change.remove_session(&id),
        Refreshed::Overlapping | Refreshed::Expired => {}
    }
    (change, Some((refreshed, account.clone())))
}

/// Ends the session of a refresh token, if there is one.
pub(crate) fn end(book: &Book, token: &RefreshToken) -> Change {
    let mut change = Change::default();
    let id = token.session_id();
    if book.sessions.contains_key(&id) {
        change.remove_session(&id);
    }
    change
}

/// Gives an account another password; all of its logins end.
pub(crate) fn change_password(
    book: &Book,
    checked: &Account,
    password_hash: &str,
) -> Result<Change, AccountChanged> {
    let account = unchanged(book, checked)?;
    let mut change = Change::default();
    change.remove_sessions_of(book, &account.name);
    change.put_account(Account {
        password_hash: password_hash.to_owned(),
        ..account.clone()
    });
    Ok(change)
}

/// The account as it is now, if its password is still the one that was checked.
fn unchanged<'a>(book: &'a Book, checked: &Account) -> Result<&'a Account, AccountChanged> {
    let account = book.accounts.get(&checked.name);
    account
        .filter(|account| account.password_hash == checked.password_hash)
        .ok_or(AccountChanged)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::accounts;
    use crate::access::role::Role;
    use crate::documents::Book as _;
    use crate::domain::Sites;
    use pretty_assertions::assert_eq;

    const NOW: Timestamp = Timestamp::from_millis(1_000_000);

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_millis(NOW.millis() + seconds * 1000)
    }

    fn book_of(name: &str) -> (Book, Account) {
        let account = Account {
            name: name.to_owned(),
            password_hash: "first".to_owned(),
            role: Role::Viewer,
            sites: Sites::ALL,
            created_ms: 0,
            last_login_ms: None,
        };
        let mut book = Book::default();
        let change = accounts::add(&book, &account).unwrap();
        book.apply(change);
        (book, account)
    }

    fn log_in(book: &mut Book, account: &Account, in_cookie: bool, ends: Timestamp) -> Begun {
        let (change, begun) = begin(book, account, in_cookie, NOW, ends).unwrap();
        book.apply(change);
        begun
    }

    fn try_token(book: &mut Book, text: &str, in_cookie: bool) -> Option<Refreshed> {
        let token = RefreshToken::parse(text).unwrap();
        let (change, refreshed) = refresh(book, &token, in_cookie, NOW, at(100));
        book.apply(change);
        refreshed.map(|(refreshed, _)| refreshed)
    }

    #[test]
    fn the_login_that_would_end_first_makes_way() {
        let (mut book, account) = book_of("ada");
        let mut begun = Vec::new();
        for number in 0..SESSIONS_MAX {
            let ends = at(1000 - i64::try_from(number).unwrap());
            begun.push(log_in(&mut book, &account, false, ends).session);
        }
        log_in(&mut book, &account, false, at(1));
        assert_eq!(book.sessions.len(), SESSIONS_MAX);
        assert!(!book.sessions.contains_key(begun.last().unwrap()));
        assert!(book.sessions.contains_key(&begun[0]));
        assert_eq!(book.accounts["ada"].last_login_ms, Some(NOW.millis()));
    }

    #[test]
    fn a_token_that_is_used_twice_ends_its_session() {
        let (mut book, account) = book_of("ada");
        let first = log_in(&mut book, &account, false, at(100)).refresh_token;
        let Some(Refreshed::Rotated(_, second)) = try_token(&mut book, &first, false) else {
            panic!("not refreshed");
        };
        assert_eq!(try_token(&mut book, &first, false), Some(Refreshed::Reused));
        assert!(book.sessions.is_empty());
        assert_eq!(try_token(&mut book, &second, false), None);
    }

    #[test]
    fn a_token_counts_only_where_it_is_kept() {
        let (mut book, account) = book_of("ada");
        for in_cookie in [false, true] {
            let token = log_in(&mut book, &account, in_cookie, at(100)).refresh_token;
            assert_eq!(try_token(&mut book, &token, !in_cookie), None);
            assert!(try_token(&mut book, &token, in_cookie).is_some());
        }
    }

    #[test]
    fn logging_out_ends_one_session_and_another_password_all() {
        let (mut book, account) = book_of("ada");
        let first = log_in(&mut book, &account, false, at(100));
        let second = log_in(&mut book, &account, true, at(100));
        let token = RefreshToken::parse(&first.refresh_token).unwrap();
        for _ in 0..2 {
            let change = end(&book, &token);
            book.apply(change);
            assert_eq!(book.sessions.keys().collect::<Vec<_>>(), [&second.session]);
        }
        let change = change_password(&book, &account, "second").unwrap();
        book.apply(change);
        assert!(book.sessions.is_empty());
        assert_eq!(book.accounts["ada"].password_hash, "second");
    }

    #[test]
    fn a_password_that_was_checked_is_worth_nothing_once_there_is_another() {
        let (mut book, account) = book_of("ada");
        let change = change_password(&book, &account, "second").unwrap();
        book.apply(change);
        let refused = begin(&book, &account, false, NOW, at(100)).unwrap_err();
        assert_eq!(refused, AccountChanged);
        let refused = change_password(&book, &account, "third").unwrap_err();
        assert_eq!(refused, AccountChanged);
        let gone = accounts::remove(&book_of("eve").0, "eve");
        assert!(gone.is_ok());
        assert_eq!(
            begin(&Book::default(), &account, false, NOW, at(100)).unwrap_err(),
            AccountChanged
        );
    }
}
