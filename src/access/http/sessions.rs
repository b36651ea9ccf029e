//! Logging in and out.

use super::{cookie, not_changed};
use crate::access::call::{Call, call};
use crate::access::gate::{Access, counted_address};
use crate::access::password::{PasswordsBusy, length_fault};
use crate::access::session::{RefreshToken, Refreshed};
use crate::access::sessions::{self, AccountChanged, Begun};
use crate::access::token::Verified;
use crate::access::{Account, AuthMode, Caller, Need, Role, Who, sites_json};
use crate::domain::{Sites, Timestamp};
use crate::http::{BodyReader, Fields, Problem, TrustedProxies, rule};
use actix_web::http::{StatusCode, header};
use actix_web::web::{Data, Payload};
use actix_web::{HttpRequest, HttpResponse};
use serde::Serialize;
use std::net::IpAddr;
use utoipa::ToSchema;
use validator::{Validate, ValidationError};

pub(super) fn calls() -> Vec<Call> {
    vec![
        call!(Need::Itself, log_in),
        call!(Need::Itself, refresh),
        call!(Need::Itself, log_out),
        call!(Need::Somebody, me),
        call!(Need::VIEWER, change_password),
    ]
}

#[derive(Debug, Validate, ToSchema)]
struct Login {
    name: String,
    #[schema(format = Password)]
    password: String,
    /// Keep the refresh token in a cookie that no script can read.
    #[schema(value_type = Option<bool>)]
    cookie: bool,
}

/// A token for a name and a password
#[utoipa::path(post, path = "/api/auth/login", tag = "sessions", request_body = Login,
    responses(
        (status = 200, description = "Logged in", body = Tokens),
        (status = 422, description = "A field is missing or wrong"),
    ))]
async fn log_in(
    request: HttpRequest,
    payload: Payload,
    access: Data<Access>,
    proxies: Data<TrustedProxies>,
    bodies: Data<BodyReader>,
) -> Result<HttpResponse, Problem> {
    let mut fields = Fields::read(&bodies, &request, payload).await?;
    let values = Login {
        name: fields.text("name"),
        password: fields.text("password"),
        cookie: fields.flag("cookie"),
    };
    let Login {
        name,
        password,
        cookie: in_cookie,
    } = fields.finish(values)?;

    limit_attempts(&access, address_of(&proxies, &request), Some(&name))?;
    let account = access
        .registry()
        .book(|book| book.accounts.get(&name).cloned());
    let known = account.as_ref().map(|account| account.name.clone());
    let hash = account.as_ref().map(|known| known.password_hash.clone());
    let is_right = access.passwords().verify(password.into(), hash).await;
    let Some(account) = account.filter(|_| is_right == Ok(true)) else {
        is_right.map_err(busy)?;
        // What is no account's name may be a password in the wrong field.
        tracing::info!(account = known, "a login was refused");
        return Err(bad_credentials());
    };

    let now = access.now();
    let ends = now.plus(access.lifetimes().refresh);
    let begun = access.registry().change(|book| {
        sessions::begin(book, &account, in_cookie, now, ends).map_err(account_changed)
    });
    let Begun {
        session,
        refresh_token,
    } = begun.await.map_err(not_changed)?;
    tracing::info!(name = account.name, "somebody logged in");
    let token = Handout {
        account: &account,
        session,
        refresh_token: Some(refresh_token),
        in_cookie,
    };
    token.answer(&access, &proxies, &request)
}

/// A refresh token; without one that of the cookie is taken.
#[derive(Debug, Validate, ToSchema)]
struct Refresh {
    refresh_token: Option<String>,
}

/// The next token, for a refresh token that is used up
///
/// One that was used before ends its session.
#[utoipa::path(post, path = "/api/auth/refresh", tag = "sessions", request_body = Option<Refresh>,
    responses(
        (status = 200, description = "Still logged in", body = Tokens),
        (status = 422, description = "A field is wrong"),
    ))]
async fn refresh(
    request: HttpRequest,
    payload: Payload,
    access: Data<Access>,
    proxies: Data<TrustedProxies>,
    bodies: Data<BodyReader>,
) -> Result<HttpResponse, Problem> {
    let presented = presented(&bodies, &request, payload).await?;
    let refused = || {
        let address = address_of(&proxies, &request);
        let limited = limit_attempts(&access, address, None).err();
        limited
            .unwrap_or_else(|| unauthorized("bad_refresh_token", "the refresh token is not valid"))
    };
    let Some(token) = presented.token else {
        // A page that is opened for the first time asks as well, and is no attempt to get in.
        return Err(if presented.is_empty {
            unauthorized("bad_refresh_token", "there is no refresh token")
        } else {
            refused()
        });
    };
    let now = access.now();
    let ends = now.plus(access.lifetimes().refresh);
    let in_cookie = presented.in_cookie;
    let refreshed = access
        .registry()
        .change(|book| Ok(sessions::refresh(book, &token, in_cookie, now, ends)));
    let (account, refresh_token) = match refreshed.await.map_err(not_changed)? {
        Some((Refreshed::Rotated(_, next), account)) => (account, Some(next)),
        Some((Refreshed::Overlapping, account)) => (account, None),
        Some((Refreshed::Reused, account)) => {
            tracing::warn!(
                name = account.name,
                "a refresh token was used twice; its session is ended"
            );
            return Err(unauthorized(
                "refresh_token_reused",
                "the refresh token was used before, so its session is ended",
            ));
        }
        Some((Refreshed::Expired, _)) | None => return Err(refused()),
    };
    let token = Handout {
        account: &account,
        session: token.session_id(),
        refresh_token,
        in_cookie,
    };
    token.answer(&access, &proxies, &request)
}

/// Ends a session and its tokens
#[utoipa::path(post, path = "/api/auth/logout", tag = "sessions", request_body = Option<Refresh>,
    responses(
        (status = 204, description = "Logged out"),
        (status = 422, description = "A field is wrong"),
    ))]
async fn log_out(
    request: HttpRequest,
    payload: Payload,
    access: Data<Access>,
    proxies: Data<TrustedProxies>,
    bodies: Data<BodyReader>,
) -> Result<HttpResponse, Problem> {
    let presented = presented(&bodies, &request, payload).await?;
    if let Some(token) = presented.token {
        let ended = access
            .registry()
            .change(|book| Ok((sessions::end(book, &token), ())));
        ended.await.map_err(not_changed)?;
    }
    let mut response = HttpResponse::NoContent();
    if let Some(cookie) = cookie::forget(is_secure(&proxies, &request)) {
        response.insert_header((header::SET_COOKIE, cookie));
    }
    Ok(response.finish())
}

/// Who is asking.
#[derive(Debug, Serialize, ToSchema)]
struct Me<'a> {
    auth: AuthMode,
    kind: Kind,
    name: &'a str,
    #[schema(required = true)]
    role: Option<Role>,
    #[schema(required = true)]
    sites: Option<Vec<&'a str>>,
    /// Until when the credentials count.
    #[schema(required = true)]
    expires_at: Option<Timestamp>,
}

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum Kind {
    Anyone,
    Person,
    Device,
}

/// Who is asking
#[utoipa::path(get, path = "/api/auth/me", tag = "sessions",
    responses((status = 200, description = "Whose credentials they are", body = Me)))]
async fn me(caller: Caller, access: Data<Access>) -> HttpResponse {
    let kind = match caller.who() {
        Who::Anyone => Kind::Anyone,
        Who::Person { .. } => Kind::Person,
        Who::Device { .. } => Kind::Device,
    };
    HttpResponse::Ok()
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .json(Me {
            auth: access.mode(),
            kind,
            name: caller.name(),
            role: caller.role(),
            sites: sites_json::names(caller.sites()),
            expires_at: caller.expires_at(),
        })
}

#[derive(Debug, Validate, ToSchema)]
struct ChangePassword {
    #[schema(format = Password)]
    current_password: String,
    #[validate(custom(function = "password_rule"))]
    #[schema(format = Password, min_length = 10, max_length = 256)]
    new_password: String,
}

/// Another password for oneself
///
/// Every login of the account ends.
#[utoipa::path(put, path = "/api/auth/password", tag = "sessions", request_body = ChangePassword,
    responses(
        (status = 204, description = "Changed"),
        (status = 422, description = "A field is missing or wrong"),
    ))]
async fn change_password(
    caller: Caller,
    request: HttpRequest,
    payload: Payload,
    access: Data<Access>,
    proxies: Data<TrustedProxies>,
    bodies: Data<BodyReader>,
) -> Result<HttpResponse, Problem> {
    let mut fields = Fields::read(&bodies, &request, payload).await?;
    let values = ChangePassword {
        current_password: fields.text("current_password"),
        new_password: fields.text("new_password"),
    };
    let ChangePassword {
        current_password: current,
        new_password: new,
    } = fields.finish(values)?;
    let account = match caller.who() {
        Who::Person {
            name,
            session: Some(_),
            ..
        } => access
            .registry()
            .book(|book| book.accounts.get(name).cloned()),
        _ => None,
    };
    let account = account.ok_or_else(|| {
        Problem::new(
            StatusCode::FORBIDDEN,
            "forbidden",
            "Forbidden",
            "only somebody who has logged in has a password here",
        )
    })?;
    let address = address_of(&proxies, &request);
    limit_attempts(&access, address, Some(&account.name))?;
    let passwords = access.passwords();
    let hash = Some(account.password_hash.clone());
    if !passwords.verify(current.into(), hash).await.map_err(busy)? {
        let error = crate::fault::FieldError::new(
            "/current_password",
            "wrong_password",
            "is not the password of this account",
        );
        return Err(Problem::invalid("bad_body", "Bad body", vec![error]));
    }
    let password_hash = passwords.hash(new.into()).await.map_err(busy)?;
    let changed = access.registry().change(|book| {
        let change = sessions::change_password(book, &account, &password_hash);
        Ok((change.map_err(account_changed)?, ()))
    });
    changed.await.map_err(not_changed)?;
    tracing::info!(name = account.name, "somebody changed the own password");
    Ok(HttpResponse::NoContent().finish())
}

fn account_changed(_: AccountChanged) -> Problem {
    bad_credentials()
}

fn bad_credentials() -> Problem {
    unauthorized("bad_credentials", "name or password is not right")
}

pub(super) fn password_rule(password: &str) -> Result<(), ValidationError> {
    rule("bad_password", length_fault(password))
}

pub(super) fn busy(_: PasswordsBusy) -> Problem {
    Problem::unavailable("passwords_busy", "too many passwords are being checked")
}

pub(super) fn unauthorized(code: &'static str, detail: &'static str) -> Problem {
    Problem::new(StatusCode::UNAUTHORIZED, code, "Unauthorized", detail)
}

pub(super) fn address_of(proxies: &TrustedProxies, request: &HttpRequest) -> Option<IpAddr> {
    proxies.client(request.peer_addr(), request.headers())
}

/// Counts an attempt to get in, for its address and for the account it is about.
pub(super) fn limit_attempts(
    access: &Access,
    address: Option<IpAddr>,
    account: Option<&str>,
) -> Result<(), Problem> {
    let limits = access.limits();
    if let Some(counted) = counted_address(address) {
        limits.login.check(counted)?;
    }
    if let Some(account) = account {
        limits.login.check(limits.said(account))?;
    }
    Ok(())
}

fn is_secure(proxies: &TrustedProxies, request: &HttpRequest) -> bool {
    proxies.is_secure(request.peer_addr(), request.headers())
}

/// A refresh token of a request, if it has one.
struct Presented {
    token: Option<RefreshToken>,
    /// There was not even something like one.
    is_empty: bool,
    in_cookie: bool,
}

async fn presented(
    bodies: &BodyReader,
    request: &HttpRequest,
    payload: Payload,
) -> Result<Presented, Problem> {
    let mut fields = Fields::read(bodies, request, payload).await?;
    let values = Refresh {
        refresh_token: fields.optional_text("refresh_token"),
    };
    let in_body = fields.finish(values)?.refresh_token;
    let in_cookie = in_body.is_none();
    let text = in_body.or_else(|| cookie::refresh_token(request.headers()));
    Ok(Presented {
        token: text.as_deref().and_then(RefreshToken::parse),
        is_empty: text.is_none(),
        in_cookie,
    })
}

/// What somebody who has logged in gets.
#[derive(Debug, Serialize, ToSchema)]
struct Tokens<'a> {
    /// For `Authorization: Bearer`.
    access_token: String,
    token_type: &'static str,
    /// Seconds the token counts.
    expires_in: u64,
    expires_at: Timestamp,
    /// Counts once; not there when it is in a cookie.
    #[serde(skip_serializing_if = "Option::is_none")]
    refresh_token: Option<String>,
    name: &'a str,
    role: Role,
    /// Sites one is restricted to; `null` for all.
    #[schema(required = true)]
    sites: Option<Vec<&'a str>>,
}

/// A token and how it is handed out.
struct Handout<'a> {
    account: &'a Account,
    session: String,
    /// `None` when the browser has the next one already.
    refresh_token: Option<String>,
    in_cookie: bool,
}

impl Handout<'_> {
    fn answer(
        self,
        access: &Access,
        proxies: &TrustedProxies,
        request: &HttpRequest,
    ) -> Result<HttpResponse, Problem> {
        let lifetimes = access.lifetimes();
        let Account {
            name, role, sites, ..
        } = self.account;
        let token = Verified {
            subject: name.clone(),
            session: Some(self.session),
            // The account says what it may do, at the time it is used.
            role: None,
            sites: Sites::ALL,
            expires_at: access.now().plus(lifetimes.token),
        };
        let access_token = access.issue(&token).map_err(|error| {
            tracing::error!(%error, "no token could be made");
            Problem::internal()
        })?;
        let mut tokens = Tokens {
            access_token,
            token_type: "Bearer",
            expires_in: lifetimes.token.as_secs(),
            expires_at: token.expires_at,
            refresh_token: None,
            name,
            role: *role,
            sites: sites_json::names(sites),
        };
        let mut response = HttpResponse::Ok();
        response.insert_header((header::CACHE_CONTROL, "no-store"));
        match self.refresh_token {
            Some(token) if self.in_cookie => {
                let is_secure = is_secure(proxies, request);
                if let Some(cookie) = cookie::keep(&token, lifetimes.refresh, is_secure) {
                    response.insert_header((header::SET_COOKIE, cookie));
                }
            }
            token => tokens.refresh_token = token,
        }
        Ok(response.json(tokens))
    }
}
