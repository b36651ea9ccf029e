-- Sites and rooms by the names devices send; a sensor stands in one room at a time.
create table sites (
    key integer primary key,
    name text not null unique
) strict;

create table rooms (
    key integer primary key,
    site_key integer not null references sites,
    name text not null,
    unique (site_key, name)
) strict;

-- The last four columns say how the sensor was when its readings last went to `chunks`; what came
-- since is in `log`. They are null until readings of it went there.
create table sensors (
    key integer primary key,
    sensor_id text not null unique,
    room_key integer not null references rooms,
    reading_count integer not null,
    -- Smoothed time between readings; null until there are two.
    period_ms real,
    first_ms integer,
    -- The newest reading, packed.
    latest blob
) strict;

-- Every room a sensor has readings in, so that a room's history is found without a search.
create table sensor_rooms (
    sensor_key integer not null references sensors,
    room_key integer not null references rooms,
    primary key (sensor_key, room_key)
) strict, without rowid;

-- The log of the stream: one row for each commit, with all readings it stored or changed. A reading
-- becomes durable here and nowhere else; from here it goes to `chunks`, and clients are told again
-- what they missed.
create table log (
    -- Id of the last reading of the commit: epoch * 2^40 + sequence. The others have the ids before.
    last_id integer primary key,
    readings integer not null,
    payload blob not null
) strict;

-- Readings and their roll-ups, packed in runs of one sensor that do not overlap.
create table chunks (
    key integer primary key,
    -- 0 readings, 1 minutes, 2 quarters of an hour, 3 hours, 4 days.
    series integer not null,
    sensor_key integer not null references sensors,
    -- Times of the first and the last row.
    start_ms integer not null,
    end_ms integer not null,
    rows integer not null,
    payload blob not null
) strict;

-- Has everything but the payload, so that chunks are found and counted without reading them.
create index chunks_by_time on chunks (series, sensor_key, start_ms, end_ms, rows);

-- A unique index cannot have more columns than it keeps unique, and a second one would cost as much
-- again. Rows are only inserted and deleted.
create trigger chunks_start_once before insert on chunks
when exists (
    select 1 from chunks
    where series = new.series and sensor_key = new.sensor_key and start_ms = new.start_ms
)
begin
    select raise(abort, 'UNIQUE constraint failed: chunks.series, chunks.sensor_key, chunks.start_ms');
end;

-- One row for each start of the server: the first half of the ids on the wire, which are never used
-- again after a restart.
create table stream_epochs (
    epoch integer primary key autoincrement,
    started_ms integer not null
) strict;

create table marks (
    key integer primary key check (key = 1),
    -- The log up to this id is in `chunks`.
    settled_to integer not null,
    -- The log up to this id may be gone; what is behind it is all there.
    trimmed_to integer not null,
    -- Readings before this time may be gone.
    removed_to_ms integer not null,
    -- Grows with every recovery from a failed commit, so that one always writes.
    recoveries integer not null
) strict;

insert into marks (key, settled_to, trimmed_to, removed_to_ms, recoveries)
values (1, 0, 0, -9223372036854775808, 0);
