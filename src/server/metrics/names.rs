//! Every name that `/metrics` has, with its meaning. docs/METRICS.md says the same, which is tested.

use Kind::{Counter, Gauge, Histogram};

/// What kind of a number it is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Kind {
    Counter,
    Gauge,
    /// With the upper bounds of its buckets.
    Histogram(&'static [f64]),
}

impl Kind {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Counter => "counter",
            Gauge => "gauge",
            Histogram(_) => "histogram",
        }
    }
}

/// One name.
#[derive(Debug, Clone, Copy)]
pub(super) struct Measure {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    /// Names of its labels.
    pub(super) labels: &'static [&'static str],
    pub(super) meaning: &'static str,
}

/// From a request that asks memory to one that waits for the database.
const REQUEST_S: &[f64] = &[0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0];
/// From a disk without a sync to the longest that a commit may take.
const COMMIT_S: &[f64] = &[
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0,
];
const SETTLE_S: &[f64] = &[0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 30.0, 120.0];
/// Up to a full transaction.
const READINGS: &[f64] = &[
    1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0,
];

macro_rules! measures {
    ($($name:literal $kind:expr, [$($label:literal),*], $meaning:literal;)*) => {
        &[$(Measure { name: $name, kind: $kind, labels: &[$($label),*], meaning: $meaning }),*]
    };
}

/// All of them, in the order of the document.
#[rustfmt::skip]
pub(super) const ALL: &[Measure] = measures! {
    "iaqverse_build_info" Gauge, ["version", "database"], "Always 1";
    "iaqverse_readings_taken_total" Counter, ["outcome"], "Readings that are durable: new, updated (merged into the stored one), duplicate (were stored already)";
    "iaqverse_readings_late_total" Counter, [], "Readings among the new and the updated all of whose values are older than the newest of their quantities";
    "iaqverse_readings_partial_total" Counter, [], "Readings taken without some of their values";
    "iaqverse_values_left_out_total" Counter, [], "Values left out of readings that were taken";
    "iaqverse_readings_refused_total" Counter, ["code"], "Readings refused, by the code of their first fault";
    "iaqverse_newest_reading_age_seconds" Gauge, [], "Age of the newest reading that has come, NaN as long as there is none";
    "iaqverse_sensors" Gauge, [], "Sensors known";
    "iaqverse_http_request_duration_seconds" Histogram(REQUEST_S), ["route", "method", "status"], "Requests by route, and the time until their answer began";
    "iaqverse_http_server_errors_total" Counter, [], "Requests answered with a status of 500 or above";
    "iaqverse_http_unreadable_total" Counter, [], "Requests refused because their head could not be read";
    "iaqverse_write_queue_readings" Gauge, [], "Readings and notices taken in that are not durable or published yet";
    "iaqverse_write_queue_capacity_readings" Gauge, [], "Readings and notices that may wait so; the next ones are refused with 503";
    "iaqverse_write_queue_oldest_seconds" Gauge, [], "How long the oldest readings have waited that are taken in and not durable, 0 when none are";
    "iaqverse_write_wait_seconds" Histogram(COMMIT_S), [], "Time that the readings of a request waited until they were durable";
    "iaqverse_store_up" Gauge, [], "1 when the last write of the store worked, 0 while it takes no readings";
    "iaqverse_commits_total" Counter, [], "Transactions that made readings durable";
    "iaqverse_commit_failures_total" Counter, [], "Transactions with readings that failed, or could not begin; their senders were told 503";
    "iaqverse_commit_duration_seconds" Histogram(COMMIT_S), [], "Time that the database took for a transaction with readings";
    "iaqverse_commit_readings" Histogram(READINGS), [], "Readings of a transaction that were new or changed";
    "iaqverse_settle_duration_seconds" Histogram(SETTLE_S), [], "Time that it took to bring readings from the log to chunks and roll-ups";
    "iaqverse_settle_failures_total" Counter, [], "Times that this failed; it is tried again";
    "iaqverse_unsettled_readings" Gauge, [], "Readings in memory and in the log that are in no chunk yet";
    "iaqverse_database_bytes" Gauge, [], "Size of the database (SQLite: the file and its WAL), at most about 15 s old, NaN when it cannot be asked";
    "iaqverse_log_readings" Gauge, [], "Readings kept in the log for clients and webhooks that come back";
    "iaqverse_stream_epoch" Gauge, [], "First part of the id of the last message: the number of this start";
    "iaqverse_stream_sequence" Gauge, [], "Second part of the id of the last message: messages numbered since the start";
    "iaqverse_broadcast_clients" Gauge, ["transport"], "Clients connected, by websocket and events";
    "iaqverse_broadcast_encodes_total" Counter, [], "Messages and snapshots encoded, each once for all clients";
    "iaqverse_broadcast_compressions_total" Counter, [], "Messages and snapshots compressed, each at most once for all clients";
    "iaqverse_broadcast_conflated_total" Counter, [], "Measurements left out because a slow client's queue was full and had newer ones";
    "iaqverse_broadcast_slow_clients_closed_total" Counter, [], "Clients closed with 1013 because their queue stayed full";
    "iaqverse_broadcast_silent_clients_dropped_total" Counter, [], "Clients dropped because they gave no sign of life";
    "iaqverse_broadcast_snapshots_refused_total" Counter, [], "Clients closed with 1013 because their snapshot could not be made in time";
    "iaqverse_webhooks" Gauge, [], "Webhooks";
    "iaqverse_webhooks_failing" Gauge, [], "Webhooks whose last try failed";
    "iaqverse_webhook_lag_seconds" Gauge, [], "For how long the webhook has not had everything for which that has lasted the longest, 0 when all have";
    "iaqverse_webhook_lag_messages" Gauge, [], "About how many messages come behind the webhook that is behind the most";
    "iaqverse_webhook_deliveries_total" Counter, [], "Deliveries of webhooks that were taken";
    "iaqverse_webhook_failures_total" Counter, [], "Deliveries of webhooks that were not taken and are tried again";
    "iaqverse_models" Gauge, [], "Models of rooms";
    "iaqverse_models_bytes" Gauge, [], "Size of all models of rooms";
    "iaqverse_model_uploads_refused_total" Counter, [], "Uploads of models of rooms that were refused or broken off";
    "process_cpu_seconds_total" Counter, [], "Processor time of this process";
    "process_resident_memory_bytes" Gauge, [], "Memory of this process that is resident";
    "process_virtual_memory_bytes" Gauge, [], "Address space of this process";
    "process_open_fds" Gauge, [], "Open file descriptors, connections among them";
    "process_max_fds" Gauge, [], "Most file descriptors that may be open";
    "process_start_time_seconds" Gauge, [], "When this process started, in seconds since 1970";
};

pub(super) fn of(name: &str) -> Option<&'static Measure> {
    ALL.iter().find(|measure| measure.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use pretty_assertions::assert_eq;

    fn documented() -> Vec<String> {
        let document = include_str!("../../../docs/METRICS.md");
        let rows = document.lines().filter(|line| line.starts_with("| `"));
        rows.map(str::to_owned).collect()
    }

    #[test]
    fn the_document_has_every_name_with_its_kind_labels_and_meaning() {
        let row = |measure: &Measure| {
            let labels = measure.labels.iter().map(|label| format!("`{label}`"));
            let labels = labels.collect::<Vec<_>>().join(", ");
            let (name, kind, meaning) = (measure.name, measure.kind.as_str(), measure.meaning);
            format!("| `{name}` | {kind} | {labels} | {meaning} |")
        };
        assert_eq!(documented(), ALL.iter().map(row).collect::<Vec<_>>());
    }

    #[test]
    fn names_say_their_unit_and_counters_that_they_count() {
        for Measure { name, kind, .. } in ALL {
            assert_eq!(name.ends_with("_total"), *kind == Counter, "{name}");
            assert!(!name.ends_with("_ms") && !name.ends_with("_mb"), "{name}");
            if let Histogram(bounds) = kind {
                assert!(bounds.is_sorted(), "{name}");
            }
        }
    }

    /// The rules of the example are about names that there are.
    #[test]
    fn rules_name_what_there_is() {
        let rules = include_str!("../../../deploy/prometheus-rules.yml");
        let is_name = |byte: char| byte.is_ascii_alphanumeric() || byte == '_';
        let words = rules.split(|byte| !is_name(byte));
        let mut count = 0;
        for word in
            words.filter(|word| word.starts_with("iaqverse_") || word.starts_with("process_"))
        {
            let name = ["_bucket", "_count", "_sum"]
                .iter()
                .find_map(|part| word.strip_suffix(part).filter(|name| of(name).is_some()));
            assert!(name.or(Some(word)).and_then(of).is_some(), "{word}");
            count += 1;
        }
        assert!(count > 10, "{count}");
    }
}
