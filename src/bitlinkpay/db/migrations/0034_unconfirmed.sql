-- Payments that nodes show before any block holds them (Bitcoin). They move no money: they tell the payer that his payment was
-- seen, and that it was made in time. `gone_at`: when no node showed it any more, be it mined, replaced or forgotten.
create table unconfirmed (
    network text not null,
    txid text not null,
    position text not null,
    target text not null,
    asset text not null,
    units numeric(78, 0) not null,
    payin_id uuid,
    first_seen_at timestamptz not null,
    gone_at timestamptz,
    primary key (network, txid, position, target),
    constraint unconfirmed_units_positive check (units > 0)
);
create index unconfirmed_of_payin on unconfirmed (payin_id) where payin_id is not null;
create index unconfirmed_waiting on unconfirmed (network, txid) where gone_at is null;
