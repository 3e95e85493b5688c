-- What every deployment has before it has a merchant: its identity, the outbox, the seals of answered envelopes.

CREATE TABLE deployment (
    singleton boolean PRIMARY KEY DEFAULT true CONSTRAINT deployment_single CHECK (singleton),
    deployment_id uuid NOT NULL,
    mode text NOT NULL CONSTRAINT deployment_mode CHECK (mode IN ('sandbox', 'live')),
    created_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE deployment IS 'append-only: one row, written at the first start; a deployment never changes its mode';

-- Events, written in the transaction that changed the business row. `seq` gives feeds a stable order; it says nothing about commit order,
-- so no reader may remember the highest one it saw: each subscriber has its own rows in outbox_pending instead.
CREATE TABLE outbox (
    seq bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    event_id uuid NOT NULL CONSTRAINT outbox_event_unique UNIQUE,
    kind text NOT NULL,
    merchant_id uuid,
    subject_id uuid NOT NULL,
    payload jsonb NOT NULL,
    happened_at timestamptz NOT NULL,
    recorded_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX outbox_by_subject ON outbox (subject_id, seq);

CREATE TABLE outbox_subscribers (
    subscriber text PRIMARY KEY,
    created_at timestamptz NOT NULL DEFAULT now()
);

-- No foreign keys: every append would lock the one row of each subscriber, and so would wait for every other append.
CREATE TABLE outbox_pending (
    subscriber text NOT NULL,
    seq bigint NOT NULL,
    PRIMARY KEY (subscriber, seq)
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000, fillfactor = 90);
CREATE INDEX outbox_pending_by_seq ON outbox_pending (seq);

-- Digests of request envelopes that were answered: the same envelope twice is a replay.
CREATE TABLE envelope_seals (
    digest bytea PRIMARY KEY CONSTRAINT envelope_seals_length CHECK (octet_length(digest) BETWEEN 16 AND 64),
    seen_at timestamptz NOT NULL
);
CREATE INDEX envelope_seals_by_age ON envelope_seals (seen_at);
