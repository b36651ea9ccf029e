-- What a sensor measured when its readings last went to `chunks`: the newest value of each quantity, and
-- its rhythm, packed. Null until then, and where an earlier version wrote the row.
alter table sensors add column state blob;
-- The rhythm is in there.
alter table sensors drop column period_ms;
