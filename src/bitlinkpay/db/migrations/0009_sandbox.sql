-- The simulated networks of a sandbox and its movable clock. In a live deployment these tables stay empty.

-- Business time = wall time + offset; it only ever moves forward.
CREATE TABLE sandbox_clock (
    singleton boolean PRIMARY KEY DEFAULT true CONSTRAINT sandbox_clock_single CHECK (singleton),
    offset_us bigint NOT NULL CONSTRAINT sandbox_clock_forward CHECK (offset_us >= 0)
);

-- One row per network: the lock that whoever mines or forks holds.
CREATE TABLE sim_networks (
    network text PRIMARY KEY,
    skip_cycle integer NOT NULL CONSTRAINT sim_networks_cycle CHECK (skip_cycle = 0 OR skip_cycle > 2)
);

-- Blocks, as runs that follow from one seed: a block's digest is sha256(seed || height as 8 bytes), its time is
-- started_at + step_ms for each height. Only a run's first block holds transfers, so a quiet network adds no rows.
CREATE TABLE sim_runs (
    network text NOT NULL REFERENCES sim_networks,
    first_height bigint NOT NULL,
    last_height bigint NOT NULL,
    seed bytea NOT NULL CONSTRAINT sim_runs_seed CHECK (octet_length(seed) = 32),
    parent bytea NOT NULL CONSTRAINT sim_runs_parent CHECK (octet_length(parent) = 32),
    started_at timestamptz NOT NULL,
    step_ms integer NOT NULL CONSTRAINT sim_runs_step CHECK (step_ms >= 0),
    transfers integer NOT NULL CONSTRAINT sim_runs_transfers CHECK (transfers >= 0),
    PRIMARY KEY (network, first_height),
    CONSTRAINT sim_runs_order CHECK (0 <= first_height AND first_height <= last_height)
) WITH (fillfactor = 70);

-- Transactions, one row per transfer in them; without a height they wait in the mempool.
CREATE TABLE sim_transfers (
    network text NOT NULL REFERENCES sim_networks,
    txid bytea NOT NULL CONSTRAINT sim_transfers_txid CHECK (octet_length(txid) = 32),
    ordinal integer NOT NULL CONSTRAINT sim_transfers_ordinal CHECK (ordinal >= 0),
    seq bigint GENERATED ALWAYS AS IDENTITY,
    height bigint,
    asset text NOT NULL,
    source text NOT NULL,
    target text NOT NULL,
    tag text NOT NULL,
    units numeric(78, 0) NOT NULL CONSTRAINT sim_transfers_units CHECK (units >= 0),
    fee_units numeric(78, 0) NOT NULL CONSTRAINT sim_transfers_fee CHECK (fee_units >= 0),
    arrival text NOT NULL CONSTRAINT sim_transfers_arrival CHECK (arrival IN ('direct', 'internal', 'system')),
    has_failed boolean NOT NULL,
    broadcast_at timestamptz NOT NULL,
    PRIMARY KEY (network, txid, ordinal)
);
CREATE INDEX sim_transfers_by_height ON sim_transfers (network, height, seq) WHERE height IS NOT NULL;
CREATE INDEX sim_transfers_mempool ON sim_transfers (network) WHERE height IS NULL;
CREATE INDEX sim_transfers_by_target ON sim_transfers (target, asset);
CREATE INDEX sim_transfers_by_source ON sim_transfers (source);
