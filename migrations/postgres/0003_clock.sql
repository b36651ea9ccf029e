-- What removes old readings goes by this time, which does not follow a clock that is wrong. Null until
-- the first look at the clock.
alter table marks add column trusted_ms bigint;
-- While the clock is far ahead of it: what the clock said last, and how long it has run evenly.
alter table marks add column doubted_ms bigint;
alter table marks add column even_ms bigint;

-- Time of the newest reading in chunks. `latest` has the newest whose time had come; where this is null
-- there was no such difference.
alter table sensors add column newest_ms bigint;
