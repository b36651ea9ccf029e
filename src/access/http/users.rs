//! Accounts, for admins.

use super::sessions::{busy, password_rule};
use super::{not_changed, role};
use crate::access::account::{name_fault, role_fault};
use crate::access::accounts::{self, AccountEdit, AccountRefusal};
use crate::access::call::{Call, call};
use crate::access::{Access, Need, Role};
use crate::access::{Account, Caller, sites_json};
use crate::domain::{Sites, Timestamp};
use crate::fault::FieldError;
use crate::http::{BodyReader, Fields, Problem, rule};
use actix_web::web::{Data, Path, Payload};
use actix_web::{HttpRequest, HttpResponse};
use serde::Serialize;
use utoipa::ToSchema;
use validator::{Validate, ValidationError};

pub(super) fn calls() -> Vec<Call> {
    vec![
        call!(Need::ADMIN, users),
        call!(Need::ADMIN, add_user),
        call!(Need::ADMIN, change_user),
        call!(Need::ADMIN, remove_user),
    ]
}

/// An account.
#[derive(Debug, Serialize, ToSchema)]
struct User<'a> {
    name: &'a str,
    role: Role,
    #[schema(required = true)]
    sites: Option<Vec<&'a str>>,
    created_at: Timestamp,
    #[schema(required = true)]
    last_login_at: Option<Timestamp>,
}

impl<'a> User<'a> {
    fn of(account: &'a Account) -> Self {
        Self {
            name: &account.name,
            role: account.role,
            sites: sites_json::names(&account.sites),
            created_at: Timestamp::from_millis(account.created_ms),
            last_login_at: account.last_login_ms.map(Timestamp::from_millis),
        }
    }
}

/// All accounts
#[utoipa::path(get, path = "/api/users", tag = "people",
    responses((status = 200, description = "By name", body = Vec<User>)))]
async fn users(access: Data<Access>) -> HttpResponse {
    let mut accounts: Vec<Account> = access
        .registry()
        .book(|book| book.accounts.values().cloned().collect());
    accounts.sort_by(|a, b| a.name.cmp(&b.name));
    HttpResponse::Ok().json(accounts.iter().map(User::of).collect::<Vec<_>>())
}

#[derive(Debug, Validate, ToSchema)]
struct NewUser {
    #[validate(custom(function = "name_rule"))]
    #[schema(pattern = "^[A-Za-z0-9._@+-]{1,64}$")]
    name: String,
    #[validate(custom(function = "password_rule"))]
    #[schema(format = Password, min_length = 10, max_length = 256)]
    password: String,
    role: Role,
    /// Sites it is restricted to; left out or `null` for all. An admin cannot be restricted.
    #[schema(value_type = Option<Vec<String>>)]
    sites: Sites,
}

/// A new account
#[utoipa::path(post, path = "/api/users", tag = "people", request_body = NewUser,
    responses(
        (status = 201, description = "Added", body = User),
        (status = 409, description = "There is one of this name, or too many"),
        (status = 422, description = "A field is missing or wrong"),
    ))]
async fn add_user(
    caller: Caller,
    request: HttpRequest,
    payload: Payload,
    access: Data<Access>,
    bodies: Data<BodyReader>,
) -> Result<HttpResponse, Problem> {
    let mut fields = Fields::read(&bodies, &request, payload).await?;
    let (role, sites) = (role(&mut fields, "role"), fields.sites("sites"));
    if let Some(fault) = role_fault(role, &sites) {
        fields.fault("sites", "bad_sites", fault);
    }
    let values = NewUser {
        name: fields.text("name"),
        password: fields.text("password"),
        role,
        sites,
    };
    let NewUser {
        name,
        password,
        role,
        sites,
    } = fields.finish(values)?;

    let hash = access.passwords().hash(password.into()).await;
    let account = Account {
        name,
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
    Ok(HttpResponse::Created().json(User::of(&account)))
}

/// What is left out stays.
#[derive(Debug, Validate, ToSchema)]
struct ChangeUser {
    #[schema(value_type = Role, required = false)]
    role: Option<Role>,
    /// `null` for all.
    #[schema(value_type = Option<Vec<String>>)]
    sites: Option<Sites>,
    #[validate(custom(function = "password_rule"))]
    #[schema(value_type = String, required = false, format = Password, min_length = 10,
        max_length = 256)]
    password: Option<String>,
}

/// Another role, other sites or another password
///
/// Logins of the account end.
#[utoipa::path(patch, path = "/api/users/{name}", tag = "people", request_body = ChangeUser,
    params(("name" = String, Path, description = "Name of the account")),
    responses(
        (status = 200, description = "Changed", body = User),
        (status = 404, description = "There is none"),
        (status = 409, description = "It is the last admin"),
        (status = 422, description = "A field is wrong"),
    ))]
async fn change_user(
    caller: Caller,
    name: Path<String>,
    request: HttpRequest,
    payload: Payload,
    access: Data<Access>,
    bodies: Data<BodyReader>,
) -> Result<HttpResponse, Problem> {
    let mut fields = Fields::read(&bodies, &request, payload).await?;
    let values = ChangeUser {
        role: fields.has("role").then(|| role(&mut fields, "role")),
        sites: fields.has("sites").then(|| fields.sites("sites")),
        password: fields.has("password").then(|| fields.text("password")),
    };
    if values.role.is_none() && values.sites.is_none() && values.password.is_none() {
        fields.fault(
            "",
            "nothing_to_change",
            "must name a role, sites or a password",
        );
    }
    let ChangeUser {
        role,
        sites,
        password,
    } = fields.finish(values)?;

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
    Ok(HttpResponse::Ok().json(User::of(&account)))
}

/// Removes an account
#[utoipa::path(delete, path = "/api/users/{name}", tag = "people",
    params(("name" = String, Path, description = "Name of the account")),
    responses(
        (status = 204, description = "Removed"),
        (status = 404, description = "There is none"),
        (status = 409, description = "It is the last admin"),
    ))]
async fn remove_user(
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

fn name_rule(name: &str) -> Result<(), ValidationError> {
    rule("bad_name", name_fault(name))
}
