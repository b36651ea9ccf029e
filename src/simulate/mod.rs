//! A simulated building that posts readings like real devices.
//!
//! `iaqverse simulate` and `serve --demo` run it against a server over HTTP. Each room is one
//! well-mixed zone with mass balances for CO2, moisture, particles and volatile compounds and a
//! heat balance, driven by people's habits, windows, heating and weather. It shows what a building
//! looks like to the server; it does not stand in for measurements and knows nothing of scores.

mod balance;
mod building;
mod config;
mod courier;
mod demo;
mod emission;
mod http;
mod kind;
mod layout;
mod moisture;
mod occupancy;
mod outbox;
mod random;
mod reading;
mod room;
mod run;
mod sensor;
mod time;
mod weather;
mod window;

pub use building::Building;
pub use config::{SimulateError, SimulationConfig, Target};
pub use demo::start_demo;
pub(crate) use demo::system_time;
pub use reading::{SimulatedReading, SimulatedUnits, SimulatedValues};
pub use run::{Now, run};
