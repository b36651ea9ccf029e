//! Shapes of bodies.

use std::collections::BTreeMap;
use utoipa::ToSchema;

/// An error, after RFC 9457.
#[derive(ToSchema)]
pub(super) struct Problem {
    r#type: String,
    title: String,
    #[schema(minimum = 400, maximum = 599)]
    status: u16,
    /// What went wrong, for people.
    detail: String,
    /// Stable name of the problem.
    code: String,
    request_id: String,
    /// What is wrong with which field.
    errors: Option<Vec<FieldError>>,
}

/// What is wrong with one field.
#[derive(ToSchema)]
pub(super) struct FieldError {
    /// JSON pointer (RFC 6901).
    pointer: String,
    /// Stable name of the fault.
    code: String,
    /// What is expected, for people.
    detail: String,
}

/// What a sensor measured at one moment.
#[derive(ToSchema)]
#[schema(example = json!({"sensor_id": "bureau1", "enseigne": "Home", "salle": "Office",
    "values": {"CO2": 645, "PM25": 12, "TVOC": 40, "Temperature": 22.3, "Humidity": 45}}))]
pub(super) struct Reading {
    #[schema(pattern = "^[A-Za-z0-9._:-]{1,64}$")]
    sensor_id: String,
    /// Site. May be left out for a sensor the server knows.
    #[schema(min_length = 1, max_length = 128)]
    enseigne: Option<String>,
    /// Room. May be left out for a sensor the server knows.
    #[schema(min_length = 1, max_length = 128)]
    salle: Option<String>,
    /// RFC 3339; the time of receipt when it is left out.
    #[schema(format = DateTime)]
    timestamp: Option<String>,
    /// Numbers by quantity, such as `CO2`, `PM25`, `TVOC`, `Temperature`, `Humidity`; numbers may come
    /// as text.
    values: BTreeMap<String, f64>,
    /// Units of values that come in others than the usual ones.
    units: Option<BTreeMap<String, String>>,
}

/// One reading, or several.
#[derive(ToSchema)]
#[serde(untagged)]
pub(super) enum ReadingOrReadings {
    One(Reading),
    Several(Vec<Reading>),
}

/// What became of one reading.
#[derive(ToSchema)]
pub(super) struct Taken {
    status: Success,
    message: String,
    sensor_id: String,
    #[schema(format = DateTime)]
    timestamp: String,
    #[schema(minimum = 0, maximum = 100, required = true)]
    global_score: Option<u8>,
    #[schema(required = true)]
    global_level: Option<Level>,
    /// The same was stored before.
    duplicate: Option<bool>,
    /// It was merged into one of the same sensor and moment.
    updated: Option<bool>,
}

#[derive(ToSchema)]
#[schema(rename_all = "lowercase")]
pub(super) enum Success {
    Success,
}

/// What became of several readings: the counts add up to those sent.
#[derive(ToSchema)]
pub(super) struct BatchTaken {
    status: BatchStatus,
    accepted: u64,
    duplicates: u64,
    updated: u64,
    rejected: Vec<Rejected>,
}

#[derive(ToSchema)]
#[schema(rename_all = "lowercase")]
pub(super) enum BatchStatus {
    Success,
    Partial,
}

/// A reading that was not taken.
#[derive(ToSchema)]
pub(super) struct Rejected {
    /// Its place among those sent.
    index: u64,
    #[schema(required = true)]
    sensor_id: Option<String>,
    errors: Vec<FieldError>,
}

#[derive(ToSchema)]
#[serde(untagged)]
pub(super) enum OneOrBatch {
    One(Taken),
    Batch(BatchTaken),
}

#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
pub(super) enum Level {
    Excellent,
    Good,
    Moderate,
    Poor,
    VeryPoor,
}

/// A reading, or the mean of several. Further quantities have a member of their own.
#[derive(ToSchema)]
pub(super) struct Record {
    #[schema(format = DateTime)]
    timestamp: String,
    sensor_id: String,
    enseigne: String,
    salle: String,
    /// ppm
    #[schema(required = true)]
    co2: Option<f64>,
    /// µg/m³
    #[schema(required = true)]
    pm25: Option<f64>,
    /// ppb
    #[schema(required = true)]
    tvoc: Option<f64>,
    /// °C
    #[schema(required = true)]
    temperature: Option<f64>,
    /// % RH
    #[schema(required = true)]
    humidity: Option<f64>,
    /// People; 0 when nobody counted.
    occupants: f64,
    /// Values of no known quantity.
    extra: Option<BTreeMap<String, f64>>,
    #[schema(minimum = 0, maximum = 100, required = true)]
    global_score: Option<f64>,
    #[schema(required = true)]
    global_level: Option<Level>,
}

/// A sensor's latest reading, and why its score is what it is.
#[derive(ToSchema)]
pub(super) struct Latest {
    #[schema(inline)]
    #[serde(flatten)]
    record: Record,
    #[schema(inline)]
    #[serde(flatten)]
    explanation: Explanation,
}

/// Why a score is what it is.
#[derive(ToSchema)]
pub(super) struct Explanation {
    profile: Profile,
    /// The pollutant that costs the most.
    #[schema(required = true)]
    dominant: Option<String>,
    /// For each quantity its score, value, unit, averaging time and the source of the limit.
    sub_scores: BTreeMap<String, SubScore>,
    /// Quantities that would make it complete.
    missing: Vec<String>,
    #[schema(minimum = 0, maximum = 1)]
    coverage: f64,
    confidence: Confidence,
}

#[derive(ToSchema)]
pub(super) struct SubScore {
    #[schema(minimum = 0, maximum = 100)]
    score: f64,
    value: f64,
    unit: String,
    averaging: String,
    source: String,
}

#[derive(ToSchema)]
#[schema(rename_all = "lowercase")]
pub(super) enum Profile {
    Iaqverse,
    Classic,
}

#[derive(ToSchema)]
#[schema(rename_all = "lowercase")]
pub(super) enum Confidence {
    High,
    Medium,
    Low,
}

/// What is known of a sensor.
#[derive(ToSchema)]
pub(super) struct Sensor {
    sensor_id: String,
    enseigne: String,
    salle: String,
    #[schema(format = DateTime)]
    first_seen: String,
    #[schema(format = DateTime)]
    last_seen: String,
    /// Smoothed time between readings in seconds; `null` until there are two.
    #[schema(required = true)]
    expected_period_s: Option<f64>,
    state: SensorState,
    reading_count: u64,
}

#[derive(ToSchema)]
#[schema(rename_all = "lowercase")]
pub(super) enum SensorState {
    Online,
    Late,
    Offline,
}

/// A site and its rooms.
#[derive(ToSchema)]
pub(super) struct Site {
    enseigne: String,
    salles: Vec<Room>,
}

/// A room as it is now: averages over the window of each pollutant.
#[derive(ToSchema)]
pub(super) struct Room {
    salle: String,
    #[schema(minimum = 0, maximum = 100, required = true)]
    global_score: Option<f64>,
    #[schema(required = true)]
    global_level: Option<Level>,
    #[schema(inline)]
    #[serde(flatten)]
    explanation: Explanation,
    #[schema(format = DateTime)]
    timestamp: String,
    /// Every sensor of the room is offline.
    stale: bool,
    sensors: Vec<String>,
}

/// Who is connected.
#[derive(ToSchema)]
pub(super) struct StreamStats {
    active_connections: u64,
    /// The same number under the name older clients read.
    total_connections: u64,
    /// Clients by topic; those of `all` count there only.
    subscriptions: BTreeMap<String, u64>,
}

/// How the server is.
#[derive(ToSchema)]
pub(super) struct Health {
    status: HealthStatus,
    #[schema(format = DateTime)]
    timestamp: String,
    services: BTreeMap<String, String>,
    websocket_clients: u64,
    version: String,
    /// What is wrong, when something is.
    reason: Option<String>,
}

#[derive(ToSchema)]
#[schema(rename_all = "lowercase")]
pub(super) enum HealthStatus {
    Ok,
    Degraded,
    Stopping,
}

#[derive(ToSchema)]
pub(super) struct Alive {
    status: Ok,
}

#[derive(ToSchema)]
#[schema(rename_all = "lowercase")]
pub(super) enum Ok {
    Ok,
}

#[derive(ToSchema)]
#[schema(rename_all = "lowercase")]
pub(super) enum Role {
    Viewer,
    Operator,
    Admin,
}

#[derive(ToSchema)]
pub(super) struct Login {
    name: String,
    #[schema(format = Password)]
    password: String,
    /// Keep the refresh token in a cookie that no script can read.
    cookie: Option<bool>,
}

/// What somebody who has logged in gets.
#[derive(ToSchema)]
pub(super) struct Tokens {
    /// For `Authorization: Bearer`.
    access_token: String,
    token_type: String,
    /// Seconds the token counts.
    expires_in: u64,
    #[schema(format = DateTime)]
    expires_at: String,
    /// Counts once; not there when it is in a cookie.
    refresh_token: Option<String>,
    name: String,
    role: Role,
    /// Sites one is restricted to; `null` for all.
    #[schema(required = true)]
    sites: Option<Vec<String>>,
}

/// A refresh token; without one that of the cookie is taken.
#[derive(ToSchema)]
pub(super) struct Refresh {
    refresh_token: Option<String>,
}

/// Who is asking.
#[derive(ToSchema)]
pub(super) struct Me {
    auth: Auth,
    kind: Kind,
    name: String,
    #[schema(required = true)]
    role: Option<Role>,
    #[schema(required = true)]
    sites: Option<Vec<String>>,
    /// Until when the credentials count.
    #[schema(format = DateTime, required = true)]
    expires_at: Option<String>,
}

#[derive(ToSchema)]
#[schema(rename_all = "lowercase")]
pub(super) enum Auth {
    Off,
    Required,
}

#[derive(ToSchema)]
#[schema(rename_all = "lowercase")]
pub(super) enum Kind {
    Anyone,
    Person,
    Device,
}

#[derive(ToSchema)]
pub(super) struct ChangePassword {
    #[schema(format = Password)]
    current_password: String,
    #[schema(format = Password, min_length = 10, max_length = 256)]
    new_password: String,
}

/// An account.
#[derive(ToSchema)]
pub(super) struct User {
    name: String,
    role: Role,
    #[schema(required = true)]
    sites: Option<Vec<String>>,
    #[schema(format = DateTime)]
    created_at: String,
    #[schema(format = DateTime, required = true)]
    last_login_at: Option<String>,
}

#[derive(ToSchema)]
pub(super) struct NewUser {
    #[schema(pattern = "^[A-Za-z0-9._@+-]{1,64}$")]
    name: String,
    #[schema(format = Password, min_length = 10, max_length = 256)]
    password: String,
    role: Role,
    /// Sites it is restricted to; left out or `null` for all. An admin cannot be restricted.
    sites: Option<Vec<String>>,
}

/// What is left out stays.
#[derive(ToSchema)]
pub(super) struct ChangeUser {
    role: Option<Role>,
    sites: Option<Vec<String>>,
    #[schema(format = Password, min_length = 10, max_length = 256)]
    password: Option<String>,
}

/// A key with which a device writes.
#[derive(ToSchema)]
pub(super) struct DeviceKey {
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
pub(super) struct NewDeviceKey {
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
pub(super) struct Claim {
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
pub(super) enum ClaimState {
    Waiting,
    Redeemed,
}

#[derive(ToSchema)]
pub(super) struct NewClaim {
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
pub(super) struct Redeem {
    /// As somebody types it.
    #[schema(example = "K7QM-3F9P")]
    code: String,
    #[schema(pattern = "^[A-Za-z0-9._:-]{1,64}$")]
    sensor_id: String,
}

/// The key of a sensor that was adopted.
#[derive(ToSchema)]
pub(super) struct Adopted {
    key: String,
    key_id: String,
    sensor_id: String,
    enseigne: String,
    salle: String,
}

/// A 3D model of a room.
#[derive(ToSchema)]
pub(super) struct Model {
    #[schema(pattern = "^[0-9a-f]{32}$")]
    id: String,
    /// Site.
    enseigne: String,
    /// Room.
    salle: String,
    /// Size of the file.
    bytes: u64,
    /// Path of the file.
    url: String,
    #[schema(format = DateTime)]
    created_at: String,
    /// Name of whoever uploaded it.
    created_by: String,
}

/// A URL that measurements are posted to.
#[derive(ToSchema)]
pub(super) struct Webhook {
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
pub(super) enum WebhookState {
    Active,
    Failing,
}

#[derive(ToSchema)]
pub(super) struct NewWebhook {
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
pub(super) struct WebhookTest {
    delivered: bool,
    #[schema(minimum = 100, maximum = 599, required = true)]
    status: Option<u16>,
    #[schema(required = true)]
    reason: Option<String>,
    duration_ms: u64,
}
