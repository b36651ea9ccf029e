//! Reads the command line, starts logging, runs, and maps the result to an exit code.

use iaqverse::access::command::{device_key, token, user};
use iaqverse::config::{Command, ServeConfig};
use iaqverse::server::Application;
use iaqverse::server::telemetry;
use iaqverse::{healthcheck, simulate, transfer, watch};
use std::process::ExitCode;

fn main() -> ExitCode {
    let command = Command::from_command_line();
    let result = actix_rt::System::new().block_on(async {
        match command {
            Command::Serve(config) => serve(*config).await,
            Command::Simulate(arguments) => simulate::command(arguments).await,
            Command::User(arguments) => user::command(arguments).await,
            Command::DeviceKey(arguments) => device_key::command(arguments).await,
            Command::Token(arguments) => token::command(&arguments),
            Command::Watch(arguments) => watch::command(arguments).await,
            Command::Export(arguments) => transfer::export::command(arguments).await,
            Command::Import(arguments) => transfer::import::command(*arguments).await,
            Command::Future(arguments) => transfer::future::command(*arguments).await,
            Command::Backup(arguments) => transfer::backup::command(arguments).await,
            Command::Healthcheck(arguments) => healthcheck::command(arguments).await,
        }
    });
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            #[expect(clippy::print_stderr, reason = "logging may be what failed to start")]
            {
                eprintln!("error: {error:#}");
            }
            ExitCode::FAILURE
        }
    }
}

async fn serve(config: ServeConfig) -> anyhow::Result<()> {
    telemetry::start(&config.log)?;
    Application::build(config).await?.run_until_stopped().await
}
