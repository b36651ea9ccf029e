//! The commands of the binary, one file each. They stand on everything else, and nothing knows them.
//!
//! To add one: a file here with its arguments and an async function, a variant of [`Command`], an arm
//! of [`Command::run`], and a line in the README.

mod access;
mod healthcheck;
mod openapi;
mod registry;
mod serve;
mod simulate;
mod transfer;
mod watch;

use crate::config::ServeConfig;
use clap::error::ErrorKind;
use clap::{CommandFactory, Parser, Subcommand};

/// Indoor-air-quality server: sensors post readings, browsers see them at once.
#[derive(Debug, Parser)]
#[command(name = "iaqverse", version, args_conflicts_with_subcommands = true)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    serve: ServeConfig,
}

/// The command line with a command named on it, where the settings of the server stand behind it.
#[derive(Debug, Parser)]
#[command(name = "iaqverse", version)]
struct NamedCommand {
    #[command(subcommand)]
    command: Command,
}

impl Command {
    /// What the command line asks for; without a command, to serve. Ends the process with a message
    /// when it makes no sense.
    pub fn from_command_line() -> Self {
        let named = std::env::args_os().nth(1).is_some_and(|first| {
            NamedCommand::command()
                .get_subcommands()
                .any(|command| first == command.get_name())
        });
        // Two ways to read it: a setting of the server that is wrong is nothing to other commands.
        if named {
            return parsed::<NamedCommand>().command;
        }
        let cli = parsed::<Cli>();
        cli.command
            .unwrap_or_else(|| Self::Serve(Box::new(cli.serve)))
    }

    pub async fn run(self) -> anyhow::Result<()> {
        match self {
            Self::Serve(config) => serve::command(*config).await,
            Self::Simulate(arguments) => simulate::command(arguments).await,
            Self::User(arguments) => access::user::command(arguments).await,
            Self::DeviceKey(arguments) => access::device_key::command(arguments).await,
            Self::Token(arguments) => access::token::command(&arguments),
            Self::Watch(arguments) => watch::command(arguments).await,
            Self::Export(arguments) => transfer::export::command(arguments).await,
            Self::Import(arguments) => transfer::import::command(*arguments).await,
            Self::Future(arguments) => transfer::future::command(*arguments).await,
            Self::Sensor(arguments) => registry::sensor::command(*arguments).await,
            Self::Room(arguments) => registry::room::command(*arguments).await,
            Self::Backup(arguments) => transfer::backup::command(arguments).await,
            Self::Healthcheck(arguments) => healthcheck::command(arguments).await,
            Self::Openapi => openapi::command(),
        }
    }
}

fn parsed<C: Parser>() -> C {
    C::try_parse().unwrap_or_else(|error| {
        let culprit = (error.kind() == ErrorKind::InvalidUtf8)
            .then(|| not_text(&C::command()))
            .flatten();
        match culprit {
            Some(culprit) => C::command()
                .error(ErrorKind::InvalidUtf8, format!("{culprit} is not UTF-8"))
                .exit(),
            None => error.exit(),
        }
    })
}

/// The argument or the variable that is not UTF-8, which the error of the library does not name.
fn not_text(command: &clap::Command) -> Option<String> {
    let mut arguments = std::env::args_os();
    let argument = arguments.find(|argument| argument.to_str().is_none());
    if let Some(argument) = argument {
        return Some(format!("the argument {:?}", argument.to_string_lossy()));
    }
    let variables = command.get_arguments().filter_map(clap::Arg::get_env);
    let mut bad = variables
        .filter(|name| std::env::var_os(name).is_some_and(|value| value.to_str().is_none()));
    let named = bad.next().map(|name| name.to_string_lossy().into_owned());
    named.or_else(|| command.get_subcommands().find_map(not_text))
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the server (also when no command is given)
    Serve(Box<ServeConfig>),
    /// Simulate the sensors of a building and post their readings like devices
    Simulate(simulate::SimulateArgs),
    /// Add, list, change and remove the accounts of people
    User(access::user::UserArgs),
    /// Add, list and revoke the keys of devices
    DeviceKey(access::device_key::DeviceKeyArgs),
    /// Make a token for a program that reads
    Token(access::token::TokenArgs),
    /// Show what a server sends over its WebSocket, one message a line
    Watch(watch::WatchArgs),
    /// Write readings of the past to a file or standard output
    Export(transfer::export::ExportArgs),
    /// Store the readings of files
    Import(Box<transfer::import::ImportArgs>),
    /// List, move or remove readings that are stored under a time in the future, because the clock was
    /// ahead
    Future(Box<transfer::future::FutureArgs>),
    /// List, rename, move, merge and remove sensors
    Sensor(Box<registry::sensor::SensorArgs>),
    /// List, rename, merge and remove rooms
    Room(Box<registry::room::RoomArgs>),
    /// Copy the database, also while the server runs
    Backup(transfer::backup::BackupArgs),
    /// Ask a server whether it is ready, or without the credentials for that whether it lives; the
    /// exit code says so
    Healthcheck(healthcheck::HealthcheckArgs),
    /// Write the API as an OpenAPI document to standard output
    Openapi,
}
