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

create table sensors (
    key integer primary key,
    sensor_id text not null unique,
    room_key integer not null references rooms,
    reading_count integer not null,
    -- Smoothed time between readings; null until there are two.
    period_ms real
) strict;

-- Every room a sensor has readings in, so that a room's history is found without scanning.
create table sensor_rooms (
    sensor_key integer not null references sensors,
    room_key integer not null references rooms,
    primary key (sensor_key, room_key)
) strict, without rowid;

-- The identity of a reading is its key, so a repeated reading can not be stored twice and one
-- sensor's history lies together on disk. Scores are not stored: they follow from the values.
create table readings (
    sensor_key integer not null,
    observed_ms integer not null,
    room_key integer not null,
    -- Bit 0: the unit of tvoc was assumed.
    flags integer not null,
    co2 real,
    pm25 real,
    tvoc real,
    temperature real,
    humidity real,
    pm10 real,
    pm1 real,
    no2 real,
    o3 real,
    hcho real,
    co real,
    radon real,
    pressure real,
    vocindex real,
    noxindex real,
    noise real,
    light real,
    occupants real,
    -- Other numbers as a JSON object, keys as they came.
    extras text,
    primary key (sensor_key, observed_ms)
) strict, without rowid;

-- Where readings arrive, in the order of their commits. Readings of many sensors lie far apart in
-- `readings`, and each would dirty a page of its own; here a commit appends to one page. They are
-- moved over in bulk: when enough have gathered, before a query and at start.
create table arrivals (
    arrival integer primary key,
    sensor_key integer not null,
    observed_ms integer not null,
    room_key integer not null,
    flags integer not null,
    co2 real,
    pm25 real,
    tvoc real,
    temperature real,
    humidity real,
    pm10 real,
    pm1 real,
    no2 real,
    o3 real,
    hcho real,
    co real,
    radon real,
    pressure real,
    vocindex real,
    noxindex real,
    noise real,
    light real,
    occupants real,
    extras text,
    -- The sensor's row after the commit that brought this reading.
    sensor_room_key integer not null,
    sensor_reading_count integer not null,
    sensor_period_ms real
) strict;

-- One row for each start of the server: the first half of the ids on the wire, which are never used
-- again after a restart.
create table stream_epochs (
    epoch integer primary key autoincrement,
    started_ms integer not null
) strict;
