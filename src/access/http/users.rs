//! Accounts, for admins.

use super::sessions::{busy, new_password};
use super::{not_changed, role, shown};
use crate::access::Access;
use crate::access::account::{name_fault, role_fault};
use crate::access::accounts::{self, AccountEdit, AccountRefusal};
use crate::access::{Account, Caller, sites_json};
use crate::fault::FieldError;
use crate::http::{BodyReader, Fields, Problem};
use actix_web::web::{Data, Path, Payload};
use actix_web::{HttpRequest, HttpResponse};
use serde_json::{Value, json};

/// `GET /api/users`: all accounts by name.
pub async fn users(access: Data<Access>) -> HttpResponse {
    let mut accounts: Vec<Account> = access
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
    access: Data<Access>,
    bodies: Data<BodyReader>,
) -> Result<HttpResponse, Problem> {
    let mut fields = Fields::read(&bodies, &request, payload).await?;
    let name = fields.text("name");
    if let Some(fault) = name.as_deref().and_then(name_fault) {
        fields.fault("name", "bad_name", fault);
    }
    let password = new_password(&mut fields, "password");
    let (role, sites) = (role(&mut fields, "role"), fields.sites("sites"));
    if let Some(fault) = role_fault(role, &sites) {
        fields.fault("sites", "bad_sites", fault);
    }
    fields.finish()?;

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
        let change = accounts::add(book, &account).map_err(refused)?;
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
    access: Data<Access>,
    bodies: Data<BodyReader>,
) -> Result<HttpResponse, Problem> {
    let mut fields = Fields::read(&bodies, &request, payload).await?;
    let role = fields.has("role").then(|| role(&mut fields, "role"));
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
    let edit = AccountEdit {
        role,
        sites,
        password_hash,
    };
    let changed = access
        .registry()
        .change(|book| accounts::edit(book, &name, &edit).map_err(refused));
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
    access: Data<Access>,
) -> Result<HttpResponse, Problem> {
    let removed = access.registry().change(|book| {
        let change = accounts::remove(book, &name).map_err(refused)?;
        Ok((change, ()))
    });
    removed.await.map_err(not_changed)?;
    tracing::info!(name = *name, by = caller.name(), "an account was removed");
    Ok(HttpResponse::NoContent().finish())
}

fn refused(refusal: AccountRefusal) -> Problem {
    match refusal {
        AccountRefusal::Exists => Problem::conflict("exists", "there is an account of this name"),
        AccountRefusal::TooMany => {
            Problem::conflict("too_many_accounts", "there are too many accounts")
        }
        AccountRefusal::Unknown => Problem::not_found(),
        AccountRefusal::Role(fault) => {
            let error = FieldError::new("/sites", "bad_sites", fault);
            Problem::invalid("bad_body", "Bad body", vec![error])
        }
        AccountRefusal::LastAdmin => Problem::conflict("last_admin", "it is the last admin"),
    }
}

fn body(account: &Account) -> Value {
    json!({
        "name": account.name,
        "role": account.role.as_str(),
        "sites": sites_json::names(&account.sites),
        "created_at": shown(account.created_ms),
        "last_login_at": account.last_login_ms.map(shown),
    })
}
