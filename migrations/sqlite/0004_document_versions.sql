-- A number for each kind of document, which grows with every change of documents of this kind that
-- other processes must hear of. A kind without a row has 0.
create table document_versions (
    kind text primary key,
    version integer not null
) strict, without rowid;

insert into document_versions (kind, version)
select distinct kind, (select version from document_version where key = 1) from documents;

drop table document_version;
