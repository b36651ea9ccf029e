//! Queries that are the same in both databases.

pub(super) const ROOMS: &str = "select rooms.key, coalesce(sites.name, ''), rooms.name
    from rooms left join sites on sites.key = rooms.site_key order by rooms.key";

pub(super) const SENSORS: &str =
    "select key, sensor_id, room_key, reading_count, first_ms, latest, newest_ms, state
    from sensors order by key";

pub(super) const SENSOR_ROOMS: &str =
    "select sensor_key, room_key from sensor_rooms order by sensor_key, room_key";

/// With the start before the last.
pub(super) const MARKS: &str =
    "select settled_to, trimmed_to, removed_to_ms, trusted_ms, doubted_ms, even_ms,
        (select started_ms from stream_epochs order by epoch desc limit 1 offset 1)
    from marks where key = 1";

/// `removed_to_ms` stays when it is null.
pub(super) const PUT_CLOCK: &str =
    "update marks set trusted_ms = $1, doubted_ms = $2, even_ms = $3,
        removed_to_ms = coalesce($4, removed_to_ms)
    where key = 1";

pub(super) const UNSETTLED: &str = "select last_id, readings, payload from log
    where last_id > (select settled_to from marks where key = 1) order by last_id";

pub(super) const LOG_SIZES: &str = "select last_id, readings from log order by last_id";

/// Its parameters are the id after which, the id up to which, and the number of readings.
///
/// One statement, so that nothing is trimmed between the look at the mark and that at the batches. The
/// row that holds the mark is there also when no batch is. Each batch has a reading at least, which
/// bounds how many are looked at.
pub(super) const LOG: &str = "select marks.trimmed_to, part.last_id, part.readings, part.payload
    from marks left join (
        select log.last_id, log.readings, log.payload
        from (
            select last_id, sum(readings) over (order by last_id) - readings as readings_before
            from (
                select last_id, readings from log
                where last_id > $1 and last_id - readings < $2
                    and last_id <= coalesce((select min(last_id) from log where last_id >= $2), $2)
                order by last_id limit $3
            ) as near
        ) as counted
        join log on log.last_id = counted.last_id
        where counted.readings_before < $3
    ) as part on true
    where marks.key = 1 order by part.last_id";

/// There is a row for each kind that ever changed: few.
pub(super) const DOCUMENT_VERSIONS: &str = "select kind, version from document_versions";

/// Only in a transaction that sees one moment.
pub(super) const ALL_DOCUMENTS: &str = "select kind, id, body from documents order by kind, id";

pub(super) const REMOVE_DOCUMENT: &str = "delete from documents where kind = $1 and id = $2";
