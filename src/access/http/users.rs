//! Accounts, for admins.

use super::fields::Fields;
use super::sessions::{busy, new_password};
use super::{not_changed, shown};
use crate::access::account::{name_fault, role_fault};
use crate::access::book::{Book, Change};
use crate::access::{Account, Caller, Role};
use crate::http::{Problem, Services};
use actix_web::web::{Data, Path, Payload};
use actix_web::{HttpRequest, HttpResponse};
use serde_json::{Value, json};

/// Most accounts there can be.
const ACCOUNTS_MAX: usize = 10_000;

/// `GET /api/users`: all accounts by name.
pub async fn users(services: Data<Services>) -> HttpResponse {
    let mut accounts: Vec<Account> = services
        .access
        .registry()
        .book(|book| book.accounts.values().cloned().collect());
    accounts.sort_by(|a, b| a.name.cmp(&b.name));
    HttpResponse::Ok().json(accounts.iter().map(body).collect::<Vec<_>>())
}

/// `POST /api/users`: a new account.
pub async fn add_user(
    caller: Caller,
    request: HttpRequest,
    payload: Payload,
    services: Data<Services>,
) -> Result<HttpResponse, Problem> {
    let mut fields = Fields::read(&services, &request, payload).await?;
    let name = fields.text("name");
    if let Some(fault) = name.as_deref().and_then(name_fault) {
        fields.fault("name", "bad_name", fault);
    }
    let password = new_password(&mut fields, "password");
    let (role, sites) = (fields.role("role"), fields.sites("sites"));
    if let Some(fault) = role_fault(role, &sites) {
        fields.fault("sites", "bad_sites", fault);
    }
    fields.finish()?;

    let access = &services.access;
    let hash = access.passwords().hash(password.into()).await;
    let account = Account {
        name: name.unwrap_or_default(),
        password_hash: hash.map_err(busy)?,
        role,
        sites,
        created_ms: access.now().millis(),
        last_login_ms: None,
    };
    let added = access.registry().change(|book| {
        if book.accounts.contains_key(&account.name) {
            return Err(Problem::conflict(
                "exists",
                "there is an account of this name",
            ));
        }
        if book.accounts.len() >= ACCOUNTS_MAX {
            return Err(Problem::conflict(
                "too_many_accounts",
                "there are too many accounts",
            ));
        }
        let mut change = Change::default();
        change.put_account(account.clone());
        Ok((change, ()))
    });
    added.await.map_err(not_changed)?;
    tracing::info!(
        name = account.name,
        role = role.as_str(),
        by = caller.name(),
        "an account was added"
    );
    Ok(HttpResponse::Created().json(body(&account)))
}

/// `PATCH /api/users/{name}`: another role, other sites or another password. Logins of the account
/// end.
pub async fn change_user(
    caller: Caller,
    name: Path<String>,
    request: HttpRequest,
    payload: Payload,
    services: Data<Services>,
) -> Result<HttpResponse, Problem> {
    let mut fields = Fields::read(&services, &request, payload).await?;
    let role = fields.has("role").then(|| fields.role("role"));
    let sites = fields.has("sites").then(|| fields.sites("sites"));
    let password = fields
        .has("password")
        .then(|| new_password(&mut fields, "password"));
    if role.is_none() && sites.is_none() && password.is_none() {
        fields.fault(
            "",
            "nothing_to_change",
            "must name a role, sites or a password",
        );
    }
    fields.finish()?;

    let access = &services.access;
    let password_hash = match password {
        Some(password) => Some(
            access
                .passwords()
                .hash(password.into())
                .await
                .map_err(busy)?,
        ),
        None => None,
    };
    let changed = access.registry().change(|book| {
        let known = book.accounts.get(&*name).ok_or_else(Problem::not_found)?;
        let mut account = known.clone();
        account.role = role.unwrap_or(account.role);
        if let Some(sites) = &sites {
            account.sites = sites.clone();
        }
        if let Some(hash) = &password_hash {
            account.password_hash.clone_from(hash);
        }
        if let Some(fault) = role_fault(account.role, &account.sites) {
            let error = crate::validate::FieldError::new("/sites", "bad_sites", fault);
            return Err(Problem::invalid("bad_body", "Bad body", vec![error]));
        }
        if account.role != Role::Admin {
            require_another_admin(book, &account.name)?;
        }
        let mut change = Change::default();
        change.remove_sessions_and_claims_of(book, &account.name);
        change.put_account(account.clone());
        Ok((change, account))
    });
    let account = changed.await.map_err(not_changed)?;
    tracing::info!(
        name = account.name,
        role = account.role.as_str(),
        by = caller.name(),
        "an account was changed"
    );
    Ok(HttpResponse::Ok().json(body(&account)))
}

/// `DELETE /api/users/{name}`.
pub async fn remove_user(
    caller: Caller,
    name: Path<String>,
    services: Data<Services>,
) -> Result<HttpResponse, Problem> {
    let removed = services.access.registry().change(|book| {
        if !book.accounts.contains_key(&*name) {
            return Err(Problem::not_found());
        }
        require_another_admin(book, &name)?;
        let mut change = Change::default();
        change.remove_sessions_and_claims_of(book, &name);
        change.remove_account(&name);
        Ok((change, ()))
    });
    removed.await.map_err(not_changed)?;
    tracing::info!(name = *name, by = caller.name(), "an account was removed");
    Ok(HttpResponse::NoContent().finish())
}

/// Somebody must be left who can let others in.
fn require_another_admin(book: &Book, but: &str) -> Result<(), Problem> {
    let admins = |account: &&Account| account.role == Role::Admin;
    let is_last = book.accounts.values().filter(admins).count() == 1
        && book.accounts.get(but).as_ref().is_some_and(admins);
    if is_last {
        return Err(Problem::conflict("last_admin", "it is the last admin"));
    }
    Ok(())
}

fn body(account: &Account) -> Value {
    json!({
        "name": account.name,
        "role": account.role.as_str(),
        "sites": account.sites,
        "created_at": shown(account.created_ms),
        "last_login_at": account.last_login_ms.map(shown),
    })
}
