//! People and their logins.

use utoipa::ToSchema;

#[derive(ToSchema)]
#[schema(rename_all = "lowercase")]
pub(in crate::server::openapi) enum Role {
    Viewer,
    Operator,
    Admin,
}

#[derive(ToSchema)]
pub(in crate::server::openapi) struct Login {
    name: String,
    #[schema(format = Password)]
    password: String,
    /// Keep the refresh token in a cookie that no script can read.
    cookie: Option<bool>,
}

/// What somebody who has logged in gets.
#[derive(ToSchema)]
pub(in crate::server::openapi) struct Tokens {
    /// For `Authorization: Bearer`.
    access_token: String,
    token_type: String,
    /// Seconds the token counts.
    expires_in: u64,
    #[schema(format = DateTime)]
    expires_at: String,
    /// Counts once; not there when it is in a cookie.
    refresh_token: Option<String>,
    name: String,
    role: Role,
    /// Sites one is restricted to; `null` for all.
    #[schema(required = true)]
    sites: Option<Vec<String>>,
}

/// A refresh token; without one that of the cookie is taken.
#[derive(ToSchema)]
pub(in crate::server::openapi) struct Refresh {
    refresh_token: Option<String>,
}

/// Who is asking.
#[derive(ToSchema)]
pub(in crate::server::openapi) struct Me {
    auth: Auth,
    kind: Kind,
    name: String,
    #[schema(required = true)]
    role: Option<Role>,
    #[schema(required = true)]
    sites: Option<Vec<String>>,
    /// Until when the credentials count.
    #[schema(format = DateTime, required = true)]
    expires_at: Option<String>,
}

#[derive(ToSchema)]
#[schema(rename_all = "lowercase")]
pub(in crate::server::openapi) enum Auth {
    Off,
    Required,
}

#[derive(ToSchema)]
#[schema(rename_all = "lowercase")]
pub(in crate::server::openapi) enum Kind {
    Anyone,
    Person,
    Device,
}

#[derive(ToSchema)]
pub(in crate::server::openapi) struct ChangePassword {
    #[schema(format = Password)]
    current_password: String,
    #[schema(format = Password, min_length = 10, max_length = 256)]
    new_password: String,
}

/// An account.
#[derive(ToSchema)]
pub(in crate::server::openapi) struct User {
    name: String,
    role: Role,
    #[schema(required = true)]
    sites: Option<Vec<String>>,
    #[schema(format = DateTime)]
    created_at: String,
    #[schema(format = DateTime, required = true)]
    last_login_at: Option<String>,
}

#[derive(ToSchema)]
pub(in crate::server::openapi) struct NewUser {
    #[schema(pattern = "^[A-Za-z0-9._@+-]{1,64}$")]
    name: String,
    #[schema(format = Password, min_length = 10, max_length = 256)]
    password: String,
    role: Role,
    /// Sites it is restricted to; left out or `null` for all. An admin cannot be restricted.
    sites: Option<Vec<String>>,
}

/// What is left out stays.
#[derive(ToSchema)]
pub(in crate::server::openapi) struct ChangeUser {
    #[schema(value_type = Role, required = false)]
    role: Option<Role>,
    /// `null` for all.
    sites: Option<Vec<String>>,
    #[schema(value_type = String, required = false, format = Password, min_length = 10,
        max_length = 256)]
    password: Option<String>,
}
