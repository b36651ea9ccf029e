-- From here on `arrivals` is also the log of the stream, from which the readings a client missed are
-- told again. It has one row for each reading published, the changed ones included, and `arrival` is
-- the id it was published under: epoch * 2^40 + sequence, the epoch one of `stream_epochs`. Bit 1 of
-- its `flags` says that the reading was late; bit 0 is that of `readings`. Rows are copied to
-- `readings` as before, but stay until enough newer ones are there.

-- What has arrived so far has no such id: it goes to its place, as it always did at start.
insert into readings (
    sensor_key, observed_ms, room_key, flags, co2, pm25, tvoc, temperature, humidity, pm10, pm1, no2,
    o3, hcho, co, radon, pressure, vocindex, noxindex, noise, light, occupants, extras
)
select
    sensor_key, observed_ms, room_key, flags, co2, pm25, tvoc, temperature, humidity, pm10, pm1, no2,
    o3, hcho, co, radon, pressure, vocindex, noxindex, noise, light, occupants, extras
from arrivals
where true
-- Of several rows with one identity the last to arrive has everything the others had.
order by arrival
on conflict (sensor_key, observed_ms) do update set
    room_key = excluded.room_key,
    flags = excluded.flags,
    co2 = excluded.co2,
    pm25 = excluded.pm25,
    tvoc = excluded.tvoc,
    temperature = excluded.temperature,
    humidity = excluded.humidity,
    pm10 = excluded.pm10,
    pm1 = excluded.pm1,
    no2 = excluded.no2,
    o3 = excluded.o3,
    hcho = excluded.hcho,
    co = excluded.co,
    radon = excluded.radon,
    pressure = excluded.pressure,
    vocindex = excluded.vocindex,
    noxindex = excluded.noxindex,
    noise = excluded.noise,
    light = excluded.light,
    occupants = excluded.occupants,
    extras = excluded.extras;

update sensors set
    room_key = newest.sensor_room_key,
    reading_count = newest.sensor_reading_count,
    period_ms = newest.sensor_period_ms
from (
    -- The other columns of `max` are those of the row that has the maximum.
    select sensor_key, max(arrival), sensor_room_key, sensor_reading_count, sensor_period_ms
    from arrivals group by sensor_key
) as newest
where sensors.key = newest.sensor_key;

delete from arrivals;

create table stream_log (
    key integer primary key check (key = 1),
    -- Rows of `arrivals` up to here are in `readings` as well.
    settled_to integer not null,
    -- Rows of `arrivals` up to here may be gone; those behind it are all there.
    trimmed_to integer not null
) strict;

-- Nothing is known of what earlier starts published: all their ids count as trimmed.
insert into stream_log (key, settled_to, trimmed_to)
select 1, before, before
from (select (coalesce(max(epoch), -1) + 1) * 1099511627776 - 1 as before from stream_epochs);
