-- What every look at a lane or a wallet asks: what its transactions spend, and what has not ended there. Both were found by reading all rows.
create index unspents_spent on unspents (spent_by) where spent_by is not null;
create index sendings_unended on sendings (network, payer) where state in ('queued', 'sending', 'uncertain', 'confirming');
