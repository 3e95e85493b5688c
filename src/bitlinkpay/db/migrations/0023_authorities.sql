-- Which authority (the folder `keys/`) the files of merchants belong to, so that no host makes another one unasked.
create table authorities (
    number integer primary key constraint authorities_counted check (number > 0),
    ca_spki bytea not null,
    envelope_spki bytea not null,
    adopted_at timestamptz not null default now(),
    constraint authorities_digests check (octet_length(ca_spki) = 32 and octet_length(envelope_spki) = 32)
);
comment on table authorities is 'append-only: SHA-256 of the public keys of CA and envelope; the newest one counts';
