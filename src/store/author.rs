//! Whose readings they are, as far as the store is to know: who has a turn, where may be written, and
//! what part of the directory may be filled.

use super::turns::Party;
use crate::domain::Sites;
use std::fmt::Debug;
use std::sync::Arc;

/// Sensors that somebody writes for.
pub trait Covers: Debug + Send + Sync {
    fn covers(&self, sensor: &str) -> bool;
}

/// Somebody who sends readings.
#[derive(Debug, Clone, Default)]
pub struct Author {
    /// As whom it is counted; `None` where nobody is.
    pub party: Option<Party>,
    /// Where it may write.
    pub sites: Sites,
    /// The sensors it is restricted to, of which and of whose rooms it has a share; `None` for who may
    /// write for any.
    pub sensors: Option<Arc<dyn Covers>>,
}

impl Author {
    /// Nobody in particular, who may write at these sites.
    pub fn at(sites: &Sites) -> Self {
        Self {
            sites: sites.clone(),
            ..Self::default()
        }
    }
}
