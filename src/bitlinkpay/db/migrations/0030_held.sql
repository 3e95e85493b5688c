-- A payment that a person has to see again leaves the queue and keeps its money reserved; lanes have a history; a payout has
-- one person who asks and another one who decides; money that was credited a moment ago does not leave in the same moment.

alter table sendings drop constraint sendings_state_known;
alter table sendings add constraint sendings_state_known check (state in
    ('queued', 'held', 'sending', 'uncertain', 'confirming', 'delivered', 'failed', 'cancelled')) not valid;
alter table sendings drop constraint sendings_carried;
alter table sendings add constraint sendings_carried check
    (state in ('queued', 'held', 'failed', 'cancelled') or transaction_id is not null) not valid;
-- The queue is dealt out merchant by merchant.
create index sendings_turns on sendings (network, payer, merchant_id, queued_at, sending_id) where state = 'queued';

create table lane_events (
    network text not null,
    payer text not null,
    seq integer not null,
    event text not null constraint lane_events_known check (event in ('frozen', 'thawed')),
    cause text not null,
    at timestamptz not null,
    primary key (network, payer, seq),
    constraint lane_events_lane foreign key (network, payer) references lanes
);
comment on table lane_events is 'append-only';

-- Who asked for a payout and who approved it: '' for the merchant's own API, and for nobody.
alter table payouts add column maker text not null default '';
alter table payouts add column checker text not null default '';
alter table payouts add constraint payouts_two_persons check (maker = '' or checker = '' or maker <> checker) not valid;

alter table payout_terms add column fresh_max_units numeric(78, 0);
create index deposits_fresh on deposits (merchant_id, asset, updated_at) where state = 'credited';
