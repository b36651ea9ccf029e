//! Keys of devices, and how a sensor gets one.

use utoipa::ToSchema;

/// A key with which a device writes.
#[derive(ToSchema)]
pub(in crate::server::openapi) struct DeviceKey {
    id: String,
    label: String,
    /// Sensors it writes for, with `*` for any run of characters.
    sensors: Vec<String>,
    #[schema(required = true)]
    sites: Option<Vec<String>>,
    /// Site of every reading, whatever the device says.
    #[schema(required = true)]
    enseigne: Option<String>,
    /// Room of every reading.
    #[schema(required = true)]
    salle: Option<String>,
    #[schema(format = DateTime)]
    created_at: String,
    created_by: String,
    #[schema(format = DateTime, required = true)]
    last_used_at: Option<String>,
    /// The key itself, in the answer that made it and nowhere else.
    key: Option<String>,
}

#[derive(ToSchema)]
pub(in crate::server::openapi) struct NewDeviceKey {
    #[schema(max_length = 128)]
    label: Option<String>,
    #[schema(min_items = 1, max_items = 32)]
    sensors: Vec<String>,
    sites: Option<Vec<String>>,
    enseigne: Option<String>,
    salle: Option<String>,
}

/// A place that waits for its sensor.
#[derive(ToSchema)]
pub(in crate::server::openapi) struct Claim {
    id: String,
    state: ClaimState,
    enseigne: String,
    salle: String,
    #[schema(required = true)]
    sensor_id: Option<String>,
    #[schema(required = true)]
    label: Option<String>,
    #[schema(required = true)]
    key_id: Option<String>,
    created_by: String,
    #[schema(format = DateTime)]
    created_at: String,
    #[schema(format = DateTime)]
    expires_at: String,
    /// The code, in the answer that made it and nowhere else.
    code: Option<String>,
}

#[derive(ToSchema)]
#[schema(rename_all = "lowercase")]
pub(in crate::server::openapi) enum ClaimState {
    Waiting,
    Redeemed,
}

#[derive(ToSchema)]
pub(in crate::server::openapi) struct NewClaim {
    #[schema(min_length = 1, max_length = 128)]
    enseigne: String,
    #[schema(min_length = 1, max_length = 128)]
    salle: String,
    /// The only sensor that may use the code, when it is known.
    sensor_id: Option<String>,
    #[schema(max_length = 128)]
    label: Option<String>,
}

#[derive(ToSchema)]
pub(in crate::server::openapi) struct Redeem {
    /// As somebody types it.
    #[schema(example = "K7QM-3F9P")]
    code: String,
    #[schema(pattern = "^[A-Za-z0-9._:-]{1,64}$")]
    sensor_id: String,
}

/// The key of a sensor that was adopted.
#[derive(ToSchema)]
pub(in crate::server::openapi) struct Adopted {
    key: String,
    key_id: String,
    sensor_id: String,
    enseigne: String,
    salle: String,
}
