//! Measurements pushed to other systems.

use utoipa::ToSchema;

/// A URL that measurements are posted to.
#[derive(ToSchema)]
pub(in crate::server::openapi) struct Webhook {
    id: String,
    url: String,
    /// Only measurements of this site.
    #[schema(required = true)]
    enseigne: Option<String>,
    /// Only measurements of this room.
    #[schema(required = true)]
    salle: Option<String>,
    /// Only measurements of this sensor.
    #[schema(required = true)]
    sensor_id: Option<String>,
    #[schema(format = DateTime)]
    created_at: String,
    created_by: String,
    state: WebhookState,
    #[schema(format = DateTime, required = true)]
    last_delivery_at: Option<String>,
    /// Why the last try failed; `null` when it did not.
    #[schema(required = true)]
    last_error: Option<String>,
    /// Messages delivered so far.
    delivered: u64,
    /// Messages published since the last one it has come to; `null` while that is one from before the
    /// server started.
    #[schema(required = true)]
    lag: Option<u64>,
    /// What deliveries are signed with, in the answer that made it and nowhere else.
    secret: Option<String>,
}

#[derive(ToSchema)]
#[schema(rename_all = "lowercase")]
pub(in crate::server::openapi) enum WebhookState {
    Active,
    Failing,
}

#[derive(ToSchema)]
pub(in crate::server::openapi) struct NewWebhook {
    #[schema(
        format = "uri",
        max_length = 2048,
        example = "https://receiver.example/iaq"
    )]
    url: String,
    #[schema(min_length = 1, max_length = 128)]
    enseigne: Option<String>,
    #[schema(min_length = 1, max_length = 128)]
    salle: Option<String>,
    #[schema(pattern = "^[A-Za-z0-9._:-]{1,64}$")]
    sensor_id: Option<String>,
}

/// What came of a delivery.
#[derive(ToSchema)]
pub(in crate::server::openapi) struct WebhookTest {
    delivered: bool,
    #[schema(minimum = 100, maximum = 599, required = true)]
    status: Option<u16>,
    #[schema(required = true)]
    reason: Option<String>,
    duration_ms: u64,
}
