//! The calls about webhooks, for admins.

use super::courier::Attempt;
use super::entry::{Condition, Entry};
use super::selection::Selection;
use super::target::Target;
use super::webhooks::{ChangeError, Webhooks};
use crate::access::{Call, Caller, Need, call};
use crate::domain::{PlaceName, SensorId, StreamId, Timestamp};
use crate::http::{BodyReader, Fields, Problem};
use actix_web::web::{Data, Path, Payload};
use actix_web::{HttpRequest, HttpResponse};
use secrecy::ExposeSecret;
use serde::Serialize;
use std::convert::Infallible;
use utoipa::ToSchema;
use validator::Validate;

pub(crate) fn calls() -> Vec<Call> {
    vec![
        call!(Need::ADMIN, webhooks),
        call!(Need::ADMIN, add_webhook),
        call!(Need::ADMIN, remove_webhook),
        call!(Need::ADMIN, test_webhook),
    ]
}

/// A URL that measurements are posted to.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Webhook)]
struct ShownWebhook<'a> {
    id: &'a str,
    url: &'a str,
    /// Only measurements of this site.
    #[schema(required = true)]
    enseigne: Option<&'a str>,
    /// Only measurements of this room.
    #[schema(required = true)]
    salle: Option<&'a str>,
    /// Only measurements of this sensor.
    #[schema(required = true)]
    sensor_id: Option<&'a str>,
    created_at: Timestamp,
    created_by: &'a str,
    state: State,
    #[schema(required = true)]
    last_delivery_at: Option<Timestamp>,
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
    #[serde(skip_serializing_if = "Option::is_none")]
    secret: Option<&'a str>,
}

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(as = WebhookState)]
enum State {
    Active,
    Failing,
}

impl<'a> ShownWebhook<'a> {
    fn of(entry: &'a Entry, present: StreamId) -> Self {
        let webhook = &entry.webhook;
        let Condition {
            progress, fault, ..
        } = entry.condition();
        Self {
            id: &webhook.id,
            url: &webhook.url,
            enseigne: webhook.selection.enseigne.as_deref(),
            salle: webhook.selection.salle.as_deref(),
            sensor_id: webhook.selection.sensor_id.as_deref(),
            created_at: Timestamp::from_millis(webhook.created_ms),
            created_by: &webhook.created_by,
            state: if fault.is_some() {
                State::Failing
            } else {
                State::Active
            },
            last_delivery_at: progress.delivery_ms.map(Timestamp::from_millis),
            last_error: fault,
            delivered: progress.delivered,
            lag: lag(progress.position, present),
            secret: None,
        }
    }
}

/// All webhooks
#[utoipa::path(get, path = "/api/webhooks", tag = "webhooks",
    responses((status = 200, description = "The newest first", body = Vec<ShownWebhook>)))]
async fn webhooks(webhooks: Data<Webhooks>) -> HttpResponse {
    let present = webhooks.present();
    let all = webhooks.all();
    let bodies: Vec<_> = all
        .iter()
        .map(|entry| ShownWebhook::of(entry, present))
        .collect();
    HttpResponse::Ok().json(bodies)
}

#[derive(Debug, Validate, ToSchema)]
struct NewWebhook {
    #[schema(value_type = String, format = "uri", max_length = 2048,
        example = "https://receiver.example/iaq")]
    url: Option<Target>,
    #[schema(value_type = Option<String>, min_length = 1, max_length = 128)]
    enseigne: Option<PlaceName>,
    #[schema(value_type = Option<String>, min_length = 1, max_length = 128)]
    salle: Option<PlaceName>,
    #[schema(value_type = Option<String>, pattern = "^[A-Za-z0-9._:-]{1,64}$")]
    sensor_id: Option<SensorId>,
}

/// A new webhook
///
/// Gets what is published from now on. Its secret is in this answer and no other.
#[utoipa::path(post, path = "/api/webhooks", tag = "webhooks", request_body = NewWebhook,
    responses(
        (status = 201, description = "Added", body = ShownWebhook),
        (status = 409, description = "There are too many"),
        (status = 422, description = "A field is missing or wrong, or the URL leads where it may not"),
    ))]
async fn add_webhook(
    caller: Caller,
    request: HttpRequest,
    payload: Payload,
    webhooks: Data<Webhooks>,
    bodies: Data<BodyReader>,
) -> Result<HttpResponse, Problem> {
    let mut fields = Fields::read(&bodies, &request, payload).await?;
    let values = NewWebhook {
        url: target(&mut fields, &webhooks).await,
        enseigne: fields.optional("enseigne", "bad_name", PlaceName::parse),
        salle: fields.optional("salle", "bad_name", PlaceName::parse),
        sensor_id: fields.optional("sensor_id", "bad_sensor_id", SensorId::parse),
    };
    let new = fields.finish(values)?;
    let selection = Selection {
        enseigne: new.enseigne.map(|site| site.as_str().into()),
        salle: new.salle.map(|room| room.as_str().into()),
        sensor_id: new.sensor_id.map(|sensor| sensor.as_str().into()),
    };
    // Without one there was a fault.
    let target = new.url.ok_or_else(Problem::internal)?;

    let added = webhooks.add(&target, selection, caller.name());
    let (entry, secret) = added.await.map_err(not_changed)?;
    let id = &entry.webhook.id;
    tracing::info!(id, by = caller.name(), "a webhook was added");
    Ok(HttpResponse::Created().json(ShownWebhook {
        secret: Some(secret.expose_secret()),
        ..ShownWebhook::of(&entry, webhooks.present())
    }))
}

/// Removes a webhook
#[utoipa::path(delete, path = "/api/webhooks/{id}", tag = "webhooks",
    params(("id" = String, Path, description = "Id of the webhook")),
    responses(
        (status = 204, description = "Removed; nothing is delivered any more"),
        (status = 404, description = "There is none"),
    ))]
async fn remove_webhook(
    caller: Caller,
    id: Path<String>,
    webhooks: Data<Webhooks>,
) -> Result<HttpResponse, Problem> {
    let removed = webhooks.remove(&id);
    removed.await.map_err(not_changed)?;
    tracing::info!(id = *id, by = caller.name(), "a webhook was removed");
    Ok(HttpResponse::NoContent().finish())
}

/// What came of a delivery.
#[derive(Debug, Serialize, ToSchema)]
struct WebhookTest {
    delivered: bool,
    #[schema(minimum = 100, maximum = 599, required = true)]
    status: Option<u16>,
    #[schema(required = true)]
    reason: Option<String>,
    duration_ms: u64,
}

/// Delivers a message without content at once
#[utoipa::path(post, path = "/api/webhooks/{id}/test", tag = "webhooks",
    params(("id" = String, Path, description = "Id of the webhook")),
    responses(
        (status = 200, description = "What came of it", body = WebhookTest),
        (status = 404, description = "There is none"),
    ))]
async fn test_webhook(id: Path<String>, webhooks: Data<Webhooks>) -> Result<HttpResponse, Problem> {
    let attempt = webhooks.test(&id).await;
    let Attempt { result, duration } = attempt.ok_or_else(Problem::not_found)?;
    let status = match result {
        Ok(status) | Err(super::Failure::Status(status)) => Some(status.as_u16()),
        Err(_) => None,
    };
    Ok(HttpResponse::Ok().json(WebhookTest {
        delivered: result.is_ok(),
        status,
        reason: result.err().map(|failure| failure.to_string()),
        duration_ms: u64::try_from(duration.as_millis()).unwrap_or(u64::MAX),
    }))
}

/// Where it would lead; a URL that leads where it may not is a fault.
async fn target(fields: &mut Fields, webhooks: &Webhooks) -> Option<Target> {
    let url = fields.required("url", "bad_url", |url| Ok::<_, Infallible>(url.to_owned()))?;
    let target = webhooks.target(&url).await;
    target
        .map_err(|error| fields.fault("url", error.code(), error.to_string()))
        .ok()
}

fn not_changed(error: ChangeError) -> Problem {
    match error {
        ChangeError::TooMany => Problem::conflict(
            "too_many_webhooks",
            "there are too many webhooks; see IAQ_WEBHOOKS_MAX",
        ),
        ChangeError::Unknown => Problem::not_found(),
        ChangeError::Store(error) => Problem::store_unavailable(&error),
    }
}

/// Messages of this start that were published since; `None` when it has not come to this start yet,
/// because nobody knows how many there were before.
fn lag(position: StreamId, present: StreamId) -> Option<u64> {
    (position.epoch == present.epoch).then(|| present.sequence.saturating_sub(position.sequence))
}
