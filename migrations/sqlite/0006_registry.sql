-- What a person said of a sensor, as JSON: a room it is pinned to, its model. Null when nothing was.
alter table sensors add column settings text;
-- 1 while a sensor is shown nowhere, because a person removed it and kept its readings.
alter table sensors add column removed integer not null default 0;

-- Names that lead to a room besides its own: what it was called before, so that devices need no change.
create table room_aliases (
    site text not null,
    room text not null,
    room_key integer not null references rooms,
    primary key (site, room)
) strict, without rowid;

create table sensor_aliases (
    sensor_id text primary key,
    sensor_key integer not null references sensors
) strict, without rowid;

-- Keys of rooms and sensors that are no more, which are never given out again: the log may still name
-- them. What was theirs belongs to `into_key`, or is gone where that is null. `pending` is 1 until the
-- chunks say so too; until then the row of the room or sensor is still there.
create table former_rooms (
    key integer primary key,
    into_key integer,
    pending integer not null
) strict;

create table former_sensors (
    key integer primary key,
    into_key integer,
    pending integer not null
) strict;
