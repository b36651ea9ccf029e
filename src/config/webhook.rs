//! Settings of webhooks.

use super::bounds::{COUNT_MAX, up_to};
use super::network;
use crate::webhook::address::AllowedNetworks;
use crate::webhook::target::Reach;
use clap::Args;
use ipnet::IpNet;

/// How many webhooks there can be, and where they may lead.
#[derive(Debug, Clone, Args)]
pub struct WebhookConfig {
    /// Most webhooks; those that exist above this go on, but no more can be added
    #[arg(
        long,
        env = "IAQ_WEBHOOKS_MAX",
        value_parser = up_to(COUNT_MAX),
        value_name = "IAQ_WEBHOOKS_MAX",
        default_value_t = 50
    )]
    pub webhooks_max: usize,

    /// Ports that webhooks may lead to besides 443 (with http:// 80), comma-separated
    #[arg(
        long,
        env = "IAQ_WEBHOOK_PORTS",
        value_name = "IAQ_WEBHOOK_PORTS",
        value_delimiter = ','
    )]
    pub webhook_ports: Vec<u16>,

    /// Networks that are not public and that webhooks may lead to all the same, with http:// too, as
    /// comma-separated CIDRs
    #[arg(long, env = "IAQ_WEBHOOK_ALLOWED_NETWORKS",
        value_name = "IAQ_WEBHOOK_ALLOWED_NETWORKS", value_delimiter = ',', value_parser = network)]
    pub webhook_allowed_networks: Vec<IpNet>,
}

impl WebhookConfig {
    /// Where webhooks may lead.
    pub fn reach(&self) -> Reach {
        let networks = AllowedNetworks::new(&self.webhook_allowed_networks);
        Reach::new(&self.webhook_ports, networks)
    }
}
