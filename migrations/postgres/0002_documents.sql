-- Small records that a server has in memory: accounts, sessions, keys of devices. What is in them is
-- the business of the code that reads them.
create table documents (
    kind text not null,
    id text not null,
    -- JSON.
    body text not null,
    primary key (kind, id)
);

-- One row, whose number grows with every change that other processes must hear of.
create table document_version (
    key bigint primary key check (key = 1),
    version bigint not null
);

insert into document_version (key, version) values (1, 0);
