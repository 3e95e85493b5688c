-- What a merchant's lists walk along when they are asked for one state or one asset (web/api); without one, the indexes of 0028 serve.
create index payins_of_merchant_by_state on payins (merchant_id, state, payin_id);
create index payins_of_merchant_by_asset on payins (merchant_id, asset, payin_id);
create index payouts_of_merchant_by_state on payouts (merchant_id, state, payout_id);
create index payouts_of_merchant_by_asset on payouts (merchant_id, asset, payout_id);

-- Who settles by hand makes the settlement's id, and not by the clock: only their times tell which is newer.
create index settlements_of_merchant_by_time on settlements (merchant_id, created_at, settlement_id);
drop index settlements_of_merchant;

create index settlement_addresses_of_merchant on settlement_addresses (merchant_id, address_id) where ended_at is null;
