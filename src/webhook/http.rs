//! The calls about webhooks, for admins.

use super::courier::Attempt;
use super::entry::{Condition, Entry};
use super::selection::Selection;
use super::webhooks::{ChangeError, Webhooks};
use crate::access::Caller;
use crate::domain::{SensorId, StreamId, Timestamp};
use crate::http::{BodyReader, Fields, Problem};
use actix_web::web::{Data, Path, Payload};
use actix_web::{HttpRequest, HttpResponse};
use secrecy::ExposeSecret;
use serde_json::{Value, json};

/// `GET /api/webhooks`: the newest first.
pub async fn webhooks(webhooks: Data<Webhooks>) -> HttpResponse {
    let present = webhooks.present();
    let all = webhooks.all();
    let bodies: Vec<_> = all.iter().map(|entry| body(entry, present)).collect();
    HttpResponse::Ok().json(bodies)
}

/// `POST /api/webhooks`: a new webhook, whose secret is in this answer and no other.
pub async fn add_webhook(
    caller: Caller,
    request: HttpRequest,
    payload: Payload,
    webhooks: Data<Webhooks>,
    bodies: Data<BodyReader>,
) -> Result<HttpResponse, Problem> {
    let mut fields = Fields::read(&bodies, &request, payload).await?;
    let selection = selection(&mut fields);
    let mut target = None;
    if let Some(url) = fields.text("url") {
        match webhooks.target(&url).await {
            Ok(found) => target = Some(found),
            Err(error) => fields.fault("url", error.code(), error.to_string()),
        }
    }
    fields.finish()?;
    // Without one there was a fault.
    let target = target.ok_or_else(Problem::internal)?;

    let added = webhooks.add(&target, selection, caller.name());
    let (entry, secret) = added.await.map_err(not_changed)?;
    let id = &entry.webhook.id;
    tracing::info!(id, by = caller.name(), "a webhook was added");
    let mut answer = body(&entry, webhooks.present());
    answer["secret"] = secret.expose_secret().into();
    Ok(HttpResponse::Created().json(answer))
}

/// `DELETE /api/webhooks/{id}`: nothing is delivered from now on.
pub async fn remove_webhook(
    caller: Caller,
    id: Path<String>,
    webhooks: Data<Webhooks>,
) -> Result<HttpResponse, Problem> {
    let removed = webhooks.remove(&id);
    removed.await.map_err(not_changed)?;
    tracing::info!(id = *id, by = caller.name(), "a webhook was removed");
    Ok(HttpResponse::NoContent().finish())
}

/// `POST /api/webhooks/{id}/test`: delivers a message without content and says what came of it.
pub async fn test_webhook(
    id: Path<String>,
    webhooks: Data<Webhooks>,
) -> Result<HttpResponse, Problem> {
    let attempt = webhooks.test(&id).await;
    let Attempt { result, duration } = attempt.ok_or_else(Problem::not_found)?;
    let status = match result {
        Ok(status) | Err(super::Failure::Status(status)) => Some(status.as_u16()),
        Err(_) => None,
    };
    Ok(HttpResponse::Ok().json(json!({
        "delivered": result.is_ok(),
        "status": status,
        "reason": result.err().map(|failure| failure.to_string()),
        "duration_ms": u64::try_from(duration.as_millis()).unwrap_or(u64::MAX),
    })))
}

fn selection(fields: &mut Fields) -> Selection {
    let mut name = |field: &str| {
        let text = fields.optional_text(field)?;
        Some(fields.place_name(field, text))
    };
    let (enseigne, salle) = (name("enseigne"), name("salle"));
    let sensor_id = fields.optional_text("sensor_id");
    if let Some(Err(error)) = sensor_id.as_deref().map(SensorId::parse) {
        fields.fault("sensor_id", "bad_sensor_id", error.to_string());
    }
    Selection {
        enseigne: enseigne.map(Into::into),
        salle: salle.map(Into::into),
        sensor_id: sensor_id.map(Into::into),
    }
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

fn body(entry: &Entry, present: StreamId) -> Value {
    let webhook = &entry.webhook;
    let Condition { progress, fault } = entry.condition();
    let shown = |millis: i64| Timestamp::from_millis(millis).to_string();
    json!({
        "id": webhook.id,
        "url": webhook.url,
        "enseigne": webhook.selection.enseigne,
        "salle": webhook.selection.salle,
        "sensor_id": webhook.selection.sensor_id,
        "created_at": shown(webhook.created_ms),
        "created_by": webhook.created_by,
        "state": if fault.is_some() { "failing" } else { "active" },
        "last_delivery_at": progress.delivery_ms.map(shown),
        "last_error": fault,
        "delivered": progress.delivered,
        "lag": lag(progress.position, present),
    })
}

/// Messages of this start that were published since; `None` when it has not come to this start yet,
/// because nobody knows how many there were before.
fn lag(position: StreamId, present: StreamId) -> Option<u64> {
    (position.epoch == present.epoch).then(|| present.sequence.saturating_sub(position.sequence))
}
