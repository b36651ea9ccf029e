//! Measurements pushed to other systems, and where they are not pushed to.

mod delivery;
mod reach;
mod receiver;
mod tls;
