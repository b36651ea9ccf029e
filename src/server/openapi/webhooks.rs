//! Measurements pushed to other systems.

use super::shapes::Problem;
use super::shapes::webhooks::{NewWebhook, Webhook, WebhookTest};

/// All webhooks
#[utoipa::path(get, path = "/api/webhooks", tag = "webhooks",
    responses((status = 200, description = "The newest first", body = Vec<Webhook>)))]
pub(super) fn webhooks() {}

/// A new webhook
///
/// Gets what is published from now on. Its secret is in this answer and no other.
#[utoipa::path(post, path = "/api/webhooks", tag = "webhooks", request_body = NewWebhook,
    responses(
        (status = 201, description = "Added", body = Webhook),
        (status = 409, description = "There are too many", body = Problem,
            content_type = "application/problem+json"),
        (status = 422, description = "A field is missing or wrong, or the URL leads where it may not",
            body = Problem, content_type = "application/problem+json"),
    ))]
pub(super) fn add_webhook() {}

/// Removes a webhook
#[utoipa::path(delete, path = "/api/webhooks/{id}", tag = "webhooks",
    params(("id" = String, Path, description = "Id of the webhook")),
    responses(
        (status = 204, description = "Removed; nothing is delivered any more"),
        (status = 404, description = "There is none", body = Problem,
            content_type = "application/problem+json"),
    ))]
pub(super) fn remove_webhook() {}

/// Delivers a message without content at once
#[utoipa::path(post, path = "/api/webhooks/{id}/test", tag = "webhooks",
    responses(
        (status = 200, description = "What came of it", body = WebhookTest),
        (status = 404, description = "There is none", body = Problem,
            content_type = "application/problem+json"),
    ),
    params(("id" = String, Path, description = "Id of the webhook")))]
pub(super) fn test_webhook() {}
