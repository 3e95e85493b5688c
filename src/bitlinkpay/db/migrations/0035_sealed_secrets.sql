-- Webhook secrets are kept sealed (core/sealing.py). Those of before stand here as their plain bytes, beginning with
-- `whsec_`, until `bitlinkpay migrate`, which has just applied this file, seals them; none is written so again.
-- A worker of the release before cannot sign with them: its callbacks wait until it is replaced.
alter table merchant_webhook_secrets alter column secret type bytea using convert_to(secret, 'UTF8');
alter table merchant_webhook_secrets
    add constraint merchant_webhook_secrets_sealed check (get_byte(secret, 0) = 1) not valid;

-- Which sealing key (the file `keys/sealing.key`) counts, so that no host makes another one unasked.
create table sealing_keys (
    number integer primary key constraint sealing_keys_counted check (number > 0),
    fingerprint bytea not null constraint sealing_keys_digest check (octet_length(fingerprint) = 32),
    adopted_at timestamptz not null default now()
);
comment on table sealing_keys is 'append-only: what tells the key from any other; the newest one counts';
