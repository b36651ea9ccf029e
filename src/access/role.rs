//! What people may do.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

/// Each role may do what those before it may.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Reads.
    Viewer,
    /// Runs the building: writes readings, adopts sensors, hands out keys to devices.
    Operator,
    /// Decides who may do what.
    Admin,
}

impl Role {
    pub const ALL: [Self; 3] = [Self::Viewer, Self::Operator, Self::Admin];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Operator => "operator",
            Self::Admin => "admin",
        }
    }

    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.as_str() == name)
    }

    /// The highest that is named in a claim, which may be a name or a list of some.
    pub(super) fn highest_of(claim: &Value) -> Option<Self> {
        match claim {
            Value::String(name) => Self::from_name(name),
            Value::Array(names) => {
                let names = names.iter().filter_map(Value::as_str);
                names.filter_map(Self::from_name).max()
            }
            _ => None,
        }
    }
}
