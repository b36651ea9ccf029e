//! `iaqverse user`: accounts.

use super::{not_changed, note, open, say, sites};
use crate::access::account::{name_fault, role_fault};
use crate::access::accounts::{self, AccountEdit, AccountRefusal};
use crate::access::password::{Passwords, length_fault};
use crate::access::registry::Registry;
use crate::access::{Account, Role, secret};
use crate::clock::{Clock, SystemClock};
use crate::config::DatabaseConfig;
use crate::config::names;
use crate::domain::{Sites, Timestamp};
use anyhow::{Context, anyhow, bail, ensure};
use clap::{Args, Subcommand};
use secrecy::{ExposeSecret, SecretString};
use std::io::{BufRead, IsTerminal};

#[derive(Debug, Clone, Args)]
pub struct UserArgs {
    #[command(subcommand)]
    pub action: UserAction,

    #[command(flatten)]
    pub database: DatabaseConfig,
}

#[derive(Debug, Clone, Subcommand)]
pub enum UserAction {
    /// Add an account; its password is asked for, or read from standard input
    Add {
        name: String,
        #[arg(long, default_value = "viewer", value_parser = names::role())]
        role: Role,
        /// Restrict to this site; may be given several times
        #[arg(long = "site", value_name = "SITE")]
        sites: Vec<String>,
        /// Make a password up and print it
        #[arg(long)]
        generate: bool,
    },
    /// List the accounts
    List,
    /// Give an account another role or other sites; its logins end
    Set {
        name: String,
        #[arg(long, value_parser = names::role())]
        role: Option<Role>,
        /// Restrict to this site; may be given several times
        #[arg(long = "site", value_name = "SITE", conflicts_with = "all_sites")]
        sites: Vec<String>,
        /// Let it see every site
        #[arg(long)]
        all_sites: bool,
    },
    /// Give an account another password; its logins end
    Password {
        name: String,
        /// Make a password up and print it
        #[arg(long)]
        generate: bool,
    },
    /// Remove an account; its logins end
    Remove { name: String },
}

/// Does what the command line says.
pub(crate) async fn command(arguments: UserArgs) -> anyhow::Result<()> {
    let registry = open(&arguments.database).await?;
    let result = run(&registry, arguments.action).await;
    registry.close().await;
    result
}

async fn run(registry: &Registry, action: UserAction) -> anyhow::Result<()> {
    match action {
        UserAction::Add {
            name,
            role,
            sites: names,
            generate,
        } => {
            let sites = sites(&names)?;
            add(registry, name, role, sites, generate).await?;
        }
        UserAction::List => list(registry),
        UserAction::Set {
            name,
            role,
            sites: names,
            all_sites,
        } => {
            let changes_sites = all_sites || !names.is_empty();
            ensure!(
                role.is_some() || changes_sites,
                "--role, --site or --all-sites: one of them must be given"
            );
            let edit = AccountEdit {
                role,
                sites: changes_sites.then(|| sites(&names)).transpose()?,
                password_hash: None,
            };
            change(registry, &name, &edit).await?;
        }
        UserAction::Password { name, generate } => {
            let edit = AccountEdit {
                password_hash: Some(hash(password(generate)?).await?),
                ..AccountEdit::default()
            };
            change(registry, &name, &edit).await?;
        }
        UserAction::Remove { name } => {
            let removed = registry.change(|book| {
                let change = accounts::remove(book, &name).map_err(|why| refused(why, &name))?;
                Ok((change, ()))
            });
            removed.await.map_err(not_changed)?;
            note(&format!("removed {name}"));
        }
    }
    Ok(())
}

async fn add(
    registry: &Registry,
    name: String,
    role: Role,
    sites: Sites,
    generate: bool,
) -> anyhow::Result<()> {
    if let Some(fault) = name_fault(&name) {
        bail!("NAME: the name {fault}");
    }
    if let Some(fault) = role_fault(role, &sites) {
        bail!("--site: {fault}");
    }
    let account = Account {
        name,
        password_hash: hash(password(generate)?).await?,
        role,
        sites,
        created_ms: SystemClock.now().millis(),
        last_login_ms: None,
    };
    let added = registry.change(|book| {
        let change = accounts::add(book, &account).map_err(|why| refused(why, &account.name))?;
        Ok((change, ()))
    });
    added.await.map_err(not_changed)?;
    note(&format!("added {} as {}", account.name, role.as_str()));
    Ok(())
}

fn list(registry: &Registry) {
    let mut accounts: Vec<Account> =
        registry.book(|book| book.accounts.values().cloned().collect());
    accounts.sort_by(|a, b| a.name.cmp(&b.name));
    for account in accounts {
        let sites = account
            .sites
            .names()
            .map_or("all sites".to_owned(), |names| {
                names.collect::<Vec<_>>().join(", ")
            });
        let last = account.last_login_ms.map_or("never".to_owned(), |at| {
            Timestamp::from_millis(at).to_string()
        });
        let (name, role) = (&account.name, account.role.as_str());
        say(&format!("{name}\t{role}\t{sites}\tlast login {last}"));
    }
}

async fn change(registry: &Registry, name: &str, edit: &AccountEdit) -> anyhow::Result<()> {
    let changed = registry.change(|book| {
        let edited = accounts::edit(book, name, edit);
        edited.map_err(|why| match why {
            AccountRefusal::LastAdmin => anyhow!("--role: {name} is the last admin; {ADD_ANOTHER}"),
            why => refused(why, name),
        })
    });
    changed.await.map_err(not_changed)?;
    note(&format!("changed {name}"));
    Ok(())
}

/// What somebody does who wants to be rid of the last admin.
const ADD_ANOTHER: &str = "make another one first, with user add --role admin";

/// Names the argument that cannot be as it is.
fn refused(why: AccountRefusal, name: &str) -> anyhow::Error {
    match why {
        AccountRefusal::Exists => anyhow!("NAME: there is an account {name}"),
        AccountRefusal::Unknown => anyhow!("NAME: there is no account {name}"),
        AccountRefusal::TooMany => anyhow!("NAME: {why}"),
        AccountRefusal::Role(fault) => anyhow!("--role, --site: {fault}"),
        AccountRefusal::LastAdmin => anyhow!("NAME: {name} is the last admin; {ADD_ANOTHER}"),
    }
}

/// Made up and printed, asked for twice on a terminal, or the first line of standard input.
fn password(generate: bool) -> anyhow::Result<SecretString> {
    if generate {
        let password = secret::random_secret();
        say(&password);
        return Ok(password.into());
    }
    let password: SecretString = if std::io::stdin().is_terminal() {
        let first = rpassword::prompt_password("Password: ").context("no password")?;
        let again = rpassword::prompt_password("Once more: ").context("no password")?;
        ensure!(first == again, "the two are not the same");
        first.into()
    } else {
        let mut line = String::new();
        std::io::stdin()
            .lock()
            .read_line(&mut line)
            .context("standard input")?;
        line.trim_end_matches(['\r', '\n']).into()
    };
    if let Some(fault) = length_fault(password.expose_secret()) {
        bail!("the password {fault}");
    }
    Ok(password)
}

async fn hash(password: SecretString) -> anyhow::Result<String> {
    Ok(Passwords::default().hash(password).await?)
}
