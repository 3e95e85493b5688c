-- Refunds: a deposit's odd money becomes a payout's, and the deposit's again if that comes to nothing.
alter table deposits drop constraint deposits_state_known;
alter table deposits add constraint deposits_state_known check (state in ('seen', 'final', 'screened', 'credited', 'unassigned',
    'refunded', 'quarantined', 'claimed', 'dropped', 'reversed')) not valid;

alter table payouts add column deposit_id uuid references deposits;
alter table payouts add constraint payouts_of_deposit check (deposit_id is null or kind = 'refund') not valid;
-- One living refund per deposit.
create unique index payouts_one_refund on payouts (deposit_id)
    where deposit_id is not null and state not in ('rejected', 'cancelled', 'failed');
create index payouts_refunds on payouts (deposit_id) where deposit_id is not null;
