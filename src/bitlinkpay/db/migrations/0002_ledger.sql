-- The books: double entry per asset. `ledger_post` is the only way in; every other role than the owner may only read.

-- The chart of accounts. A kind is the room, an account is the drawer; `shape` is what names of the kind look like. Itemised kinds
-- keep one account per deposit, payout or transfer (its id ends the name), so that money of one item is never spent on another and
-- what stays too long has a name. `class` groups kinds for the equation held = owed - claim + own (THREATS LED-25); `keeper` looks
-- after a clearing account that is not empty after `max_age` (LED-16).
CREATE TABLE ledger_kinds (
    kind text PRIMARY KEY,
    side text NOT NULL CONSTRAINT ledger_kinds_side CHECK (side IN ('debit', 'credit')),
    class text NOT NULL CONSTRAINT ledger_kinds_class CHECK (class IN ('held', 'owed', 'claim', 'own')),
    shape text NOT NULL,
    is_itemised boolean NOT NULL,
    keeper text,
    max_age interval,
    CONSTRAINT ledger_kinds_clearing CHECK ((keeper IS NULL) = (max_age IS NULL))
);

INSERT INTO ledger_kinds (kind, side, class, shape, is_itemised, keeper, max_age) VALUES
    ('merchant:available', 'credit', 'owed', '^merchant:[0-9a-f]{32}:available$', false, NULL, NULL),
    ('merchant:reserved', 'credit', 'owed', '^merchant:[0-9a-f]{32}:reserved:[0-9a-f]{32}$', true, NULL, NULL),
    ('merchant:pending', 'credit', 'owed', '^merchant:[0-9a-f]{32}:pending:[0-9a-f]{32}$', true, 'operations', '1 day'),
    ('merchant:unassigned', 'credit', 'owed', '^merchant:[0-9a-f]{32}:unassigned:[0-9a-f]{32}$', true, NULL, NULL),
    ('merchant:quarantined', 'credit', 'owed', '^merchant:[0-9a-f]{32}:quarantined:[0-9a-f]{32}$', true, NULL, NULL),
    ('merchant:debt', 'debit', 'claim', '^merchant:[0-9a-f]{32}:debt$', false, NULL, NULL),
    ('custody:deposits', 'debit', 'held', '^custody:deposits:[0-9A-Za-z:_-]{1,120}$', false, NULL, NULL),
    ('custody:hot', 'debit', 'held', '^custody:hot:[0-9A-Za-z:_-]{1,120}$', false, NULL, NULL),
    ('custody:cold', 'debit', 'held', '^custody:cold$', false, NULL, NULL),
    ('custody:staked', 'debit', 'held', '^custody:staked$', false, NULL, NULL),
    ('custody:rent', 'debit', 'held', '^custody:rent$', false, NULL, NULL),
    ('custody:external', 'debit', 'held', '^custody:external$', false, NULL, NULL),
    ('custody:in_transit', 'debit', 'held', '^custody:in_transit:[0-9a-f]{32}$', true, 'treasury', '1 day'),
    ('platform:pending', 'credit', 'owed', '^platform:pending:[0-9a-f]{32}$', true, 'operations', '1 day'),
    ('platform:unattributed', 'credit', 'owed', '^platform:unattributed:[0-9a-f]{32}$', true, 'support', '30 days'),
    ('fees:payin', 'credit', 'own', '^fees:payin$', false, NULL, NULL),
    ('fees:payout', 'credit', 'own', '^fees:payout$', false, NULL, NULL),
    ('fees:settlement', 'credit', 'own', '^fees:settlement$', false, NULL, NULL),
    ('fees:exchange', 'credit', 'own', '^fees:exchange$', false, NULL, NULL),
    ('fees:management', 'credit', 'own', '^fees:management$', false, NULL, NULL),
    ('fees:network', 'credit', 'own', '^fees:network$', false, NULL, NULL),
    ('expense:gas', 'debit', 'own', '^expense:gas$', false, NULL, NULL),
    ('platform:loss', 'debit', 'own', '^platform:loss$', false, NULL, NULL),
    ('exchange:long', 'credit', 'own', '^exchange:long$', false, NULL, NULL),
    ('exchange:short', 'debit', 'own', '^exchange:short$', false, NULL, NULL),
    ('equity', 'credit', 'own', '^equity$', false, NULL, NULL);

-- One account per name and asset. Balance, version and digest are a cache of its last entry. `is_open` changes only when the
-- balance leaves or reaches zero, so that indexes over open accounts do not cost every update. Kind and side are copied from the
-- chart by the one statement that creates accounts; a foreign key would cost 40 % of the creation and say no more.
CREATE TABLE ledger_accounts (
    account_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name text NOT NULL,
    asset text NOT NULL,
    kind text NOT NULL,
    side text NOT NULL,
    merchant_id uuid,
    item_id uuid,
    balance_units numeric(78, 0) NOT NULL DEFAULT 0 CONSTRAINT ledger_accounts_no_overdraft CHECK (balance_units >= 0),
    version bigint NOT NULL DEFAULT 0,
    digest bytea NOT NULL DEFAULT '',
    frozen_reason text,
    is_open boolean GENERATED ALWAYS AS (balance_units > 0) STORED,
    opened_at timestamptz NOT NULL,
    changed_at timestamptz NOT NULL,
    CONSTRAINT ledger_accounts_name UNIQUE (name, asset)
) WITH (fillfactor = 70);

CREATE INDEX ledger_accounts_of_merchant ON ledger_accounts (merchant_id, asset) WHERE is_open AND merchant_id IS NOT NULL;
CREATE INDEX ledger_accounts_of_kind ON ledger_accounts (kind, opened_at) WHERE is_open;

-- One row per business event; `key` lets it happen once. `day` is the UTC day of the books that it belongs to: that of the
-- recording, which the posting function alone decides, so that nothing enters a day that is over.
CREATE TABLE ledger_postings (
    posting_id uuid PRIMARY KEY,
    key text NOT NULL CONSTRAINT ledger_postings_key UNIQUE CONSTRAINT ledger_postings_key_length CHECK (length(key) <= 200),
    event text NOT NULL,
    asset text NOT NULL,
    merchant_id uuid,
    happened_at timestamptz NOT NULL,
    recorded_at timestamptz NOT NULL,
    day date NOT NULL GENERATED ALWAYS AS ((recorded_at AT TIME ZONE 'UTC')::date) STORED
);

-- Two rows per move, debit first. Per account the versions are a gapless chain, each entry's digest sealing the one before it.
CREATE TABLE ledger_entries (
    account_id bigint NOT NULL,
    version bigint NOT NULL,
    posting_id uuid NOT NULL,
    entry_no integer NOT NULL,
    side text NOT NULL CONSTRAINT ledger_entries_side CHECK (side = CASE entry_no % 2 WHEN 1 THEN 'debit' ELSE 'credit' END),
    units numeric(78, 0) NOT NULL CONSTRAINT ledger_entries_units CHECK (units > 0),
    balance_before numeric(78, 0) NOT NULL,
    balance_after numeric(78, 0) NOT NULL CONSTRAINT ledger_entries_no_overdraft CHECK (balance_after >= 0),
    digest bytea NOT NULL,
    PRIMARY KEY (account_id, version)
);

CREATE INDEX ledger_entries_of_posting ON ledger_entries (posting_id);

COMMENT ON TABLE ledger_kinds IS 'read-only: the chart of accounts; new kinds come by migration';
COMMENT ON TABLE ledger_accounts IS 'read-only: written by ledger_post and ledger_freeze';
COMMENT ON TABLE ledger_postings IS 'read-only, append-only: written by ledger_post';
COMMENT ON TABLE ledger_entries IS 'read-only, append-only: written by ledger_post';

-- Nets below the grants ---------------------------------------------------------------------------------------------------------

CREATE FUNCTION ledger_owner_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF current_user <> (SELECT pg_get_userbyid(relowner) FROM pg_class WHERE oid = TG_RELID) THEN
        RAISE EXCEPTION 'the books change by ledger_post only' USING ERRCODE = 'insufficient_privilege';
    END IF;
    RETURN NULL;
END
$$;

CREATE FUNCTION ledger_never() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% on % is refused: what is booked stays', TG_OP, TG_TABLE_NAME USING ERRCODE = 'insufficient_privilege';
END
$$;

CREATE FUNCTION ledger_zero_sum() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    unbalanced uuid;
BEGIN
    -- A hot account's row is looked up once, not once per entry.
    WITH touched AS MATERIALIZED (
        SELECT account_id, asset FROM ledger_accounts WHERE account_id = ANY (ARRAY(SELECT DISTINCT account_id FROM fresh))
    )
    SELECT f.posting_id INTO unbalanced FROM fresh f LEFT JOIN touched a USING (account_id)
    GROUP BY f.posting_id, a.asset HAVING a.asset IS NULL OR sum(CASE f.side WHEN 'debit' THEN f.units ELSE -f.units END) <> 0 LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'posting % does not balance', unbalanced
            USING ERRCODE = 'check_violation', CONSTRAINT = 'ledger_entries_zero_sum', TABLE = 'ledger_entries';
    END IF;
    RETURN NULL;
END
$$;

CREATE TRIGGER ledger_kinds_owner BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE ON ledger_kinds
    FOR EACH STATEMENT EXECUTE FUNCTION ledger_owner_only();
CREATE TRIGGER ledger_accounts_owner BEFORE INSERT OR UPDATE ON ledger_accounts
    FOR EACH STATEMENT EXECUTE FUNCTION ledger_owner_only();
CREATE TRIGGER ledger_accounts_stay BEFORE DELETE OR TRUNCATE OR UPDATE OF account_id, name, asset, kind, side, merchant_id, item_id
    ON ledger_accounts FOR EACH STATEMENT EXECUTE FUNCTION ledger_never();
CREATE TRIGGER ledger_postings_owner BEFORE INSERT ON ledger_postings FOR EACH STATEMENT EXECUTE FUNCTION ledger_owner_only();
CREATE TRIGGER ledger_postings_stay BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger_postings
    FOR EACH STATEMENT EXECUTE FUNCTION ledger_never();
CREATE TRIGGER ledger_entries_owner BEFORE INSERT ON ledger_entries FOR EACH STATEMENT EXECUTE FUNCTION ledger_owner_only();
CREATE TRIGGER ledger_entries_stay BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger_entries
    FOR EACH STATEMENT EXECUTE FUNCTION ledger_never();
CREATE TRIGGER ledger_entries_zero_sum AFTER INSERT ON ledger_entries REFERENCING NEW TABLE AS fresh
    FOR EACH STATEMENT EXECUTE FUNCTION ledger_zero_sum();

-- The hash chain: what a digest covers, said once for writing and for checking ----------------------------------------------------

CREATE FUNCTION ledger_head(
    posting_id uuid, key text, event text, asset text, merchant_id uuid, happened_at timestamptz, recorded_at timestamptz
) RETURNS bytea LANGUAGE sql STABLE AS $$
    SELECT sha256(convert_to(concat_ws('|', posting_id, key, event, asset, coalesce(merchant_id::text, '-'),
        extract(epoch FROM happened_at), extract(epoch FROM recorded_at)), 'UTF8'))
$$;

CREATE FUNCTION ledger_link(previous bytea, head bytea, account_id bigint, version bigint, entry_no integer, units numeric, balance_after numeric)
RETURNS bytea LANGUAGE sql STABLE AS $$
    SELECT sha256(previous || head || convert_to(concat_ws('|', account_id, version, entry_no, units, balance_after), 'UTF8'))
$$;

-- Posting -------------------------------------------------------------------------------------------------------------------------

-- One attempt at a batch. It fails with unique_violation when another transaction took one of the keys meanwhile, see ledger_post.
-- Items are decided in the caller's order, each against the balances that the accepted ones before it left. All accounts are locked
-- in one order before anything is decided, and everything is written by three statements at the end.
CREATE FUNCTION ledger_post_once(
    p_ids uuid[], p_keys text[], p_events text[], p_assets text[], p_merchants uuid[], p_happened timestamptz[],
    p_account_names text[], p_account_assets text[],
    p_move_items integer[], p_debits integer[], p_credits integer[], p_units numeric[]
) RETURNS TABLE (outcome text, detail text, posting_id uuid, recorded_at timestamptz)
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    max_units CONSTANT numeric := 10::numeric ^ 78 - 1;
    item_count CONSTANT integer := cardinality(p_ids);
    account_count CONSTANT integer := cardinality(p_account_names);
    move_count CONSTANT integer := cardinality(p_move_items);
    is_sound boolean;
    -- accounts, in the caller's order
    a_id bigint[] := array_fill(NULL::bigint, ARRAY[account_count]);
    a_sign integer[] := array_fill(0, ARRAY[account_count]); -- what a debit does to the balance
    a_owner uuid[] := array_fill(NULL::uuid, ARRAY[account_count]);
    a_frozen boolean[] := array_fill(false, ARRAY[account_count]);
    a_balance numeric[] := array_fill(0::numeric, ARRAY[account_count]);
    a_version bigint[] := array_fill(0::bigint, ARRAY[account_count]);
    a_digest bytea[] := array_fill(''::bytea, ARRAY[account_count]);
    -- results, in the caller's order
    r_outcome text[] := array_fill(NULL::text, ARRAY[item_count]);
    r_detail text[] := array_fill(NULL::text, ARRAY[item_count]);
    r_id uuid[] := array_fill(NULL::uuid, ARRAY[item_count]);
    r_at timestamptz[] := array_fill(NULL::timestamptz, ARRAY[item_count]);
    -- keys: the place of the first item with the same key, and what stands posted under it
    k_first integer[];
    k_content jsonb[] := array_fill(NULL::jsonb, ARRAY[item_count]);
    k_id uuid[] := array_fill(NULL::uuid, ARRAY[item_count]);
    k_at timestamptz[] := array_fill(NULL::timestamptz, ARRAY[item_count]);
    contents jsonb[];
    -- entries to write
    e_item integer[] := '{}'; e_no integer[] := '{}'; e_account integer[] := '{}'; e_version bigint[] := '{}';
    e_before numeric[] := '{}'; e_after numeric[] := '{}'; e_digest bytea[] := '{}';
    heads bytea[];
    line record;
    now_at timestamptz;
    entry integer := 0;
    kept integer;
    move integer := 1;
    first_move integer;
    account integer;
    holder integer;
    refusal text;
    balance numeric;
BEGIN
    SELECT bool_and(coalesce(m.units BETWEEN 1 AND max_units AND m.units = trunc(m.units) AND m.debit <> m.credit
        AND m.debit BETWEEN 1 AND account_count AND m.credit BETWEEN 1 AND account_count, false))
    INTO is_sound FROM unnest(p_move_items, p_debits, p_credits, p_units) AS m (item, debit, credit, units);
    IF is_sound IS NOT TRUE OR account_count IS DISTINCT FROM cardinality(p_account_assets)
        OR (item_count, item_count, item_count, item_count, item_count) IS DISTINCT FROM (cardinality(p_keys), cardinality(p_events),
            cardinality(p_assets), cardinality(p_merchants), cardinality(p_happened)) THEN
        RAISE EXCEPTION 'malformed batch: a move, or arrays of unequal length' USING ERRCODE = 'invalid_parameter_value';
    END IF;

    -- Create at zero, then lock. A name that fits no kind stays without an account.
    INSERT INTO ledger_accounts (name, asset, kind, side, merchant_id, item_id, opened_at, changed_at)
    SELECT n.name, n.asset, k.kind, k.side, CASE WHEN k.kind LIKE 'merchant:%' THEN split_part(n.name, ':', 2)::uuid END,
        CASE WHEN k.is_itemised THEN right(n.name, 32)::uuid END, clock_timestamp(), clock_timestamp()
    FROM (
        SELECT name, asset, CASE
            WHEN name LIKE 'merchant:%' THEN 'merchant:' || split_part(name, ':', 3)
            WHEN name LIKE '%:%' THEN split_part(name, ':', 1) || ':' || split_part(name, ':', 2)
            ELSE name END AS kind
        FROM unnest(p_account_names, p_account_assets) AS given (name, asset)
        OFFSET 0 -- the kind is worked out once a name, and a name meets the shape of its own kind only
    ) n
    JOIN ledger_kinds k ON k.kind = n.kind AND n.name ~ k.shape
    WHERE NOT EXISTS (SELECT FROM ledger_accounts a WHERE a.name = n.name AND a.asset = n.asset)
    ORDER BY n.asset, n.name
    ON CONFLICT DO NOTHING;

    FOR line IN
        SELECT n.place, a.account_id, a.side, a.merchant_id, a.frozen_reason, a.balance_units, a.version, a.digest, a.changed_at
        FROM unnest(p_account_names, p_account_assets) WITH ORDINALITY AS n (name, asset, place)
        JOIN ledger_accounts a USING (name, asset) ORDER BY a.account_id FOR UPDATE OF a
    LOOP
        account := line.place;
        a_id[account] := line.account_id;
        a_sign[account] := CASE line.side WHEN 'debit' THEN 1 ELSE -1 END;
        a_owner[account] := line.merchant_id;
        a_frozen[account] := line.frozen_reason IS NOT NULL;
        a_balance[account] := line.balance_units;
        a_version[account] := line.version;
        a_digest[account] := line.digest;
        now_at := greatest(now_at, line.changed_at);
    END LOOP;
    IF (SELECT count(DISTINCT id) < count(id) FROM unnest(a_id) AS id) THEN
        RAISE EXCEPTION 'malformed batch: an account twice' USING ERRCODE = 'invalid_parameter_value';
    END IF;

    -- An account's entries never go back in time over a small step of the clock (another host, a correction); a large one is not
    -- followed, or one bad hour would push the books' days ahead for good.
    IF now_at IS NULL OR now_at NOT BETWEEN clock_timestamp() AND clock_timestamp() + interval '1 minute' THEN
        now_at := clock_timestamp();
    END IF;

    -- A balance that is not what the last entry says was changed by another hand: nothing moves there until a person has looked.
    FOR line IN
        SELECT s.place FROM unnest(a_id, a_version, a_balance, a_digest) WITH ORDINALITY AS s (id, version, balance, digest, place)
        LEFT JOIN ledger_entries e ON e.account_id = s.id AND e.version = s.version
        WHERE s.id IS NOT NULL AND (s.balance <> coalesce(e.balance_after, 0) OR s.digest <> coalesce(e.digest, ''))
    LOOP
        account := line.place;
        a_frozen[account] := true;
        UPDATE ledger_accounts SET frozen_reason = coalesce(frozen_reason, 'differs from its last entry') WHERE account_id = a_id[account];
    END LOOP;

    -- Refusals that no order of items can change: no such account, another asset's, another merchant's.
    FOR line IN
        SELECT DISTINCT ON (m.item) m.item, p_account_names[side.account] AS name, CASE
            WHEN a_id[side.account] IS NULL THEN 'unknown_account'
            WHEN p_account_assets[side.account] <> p_assets[m.item] THEN 'mixed_assets'
            ELSE 'foreign_account' END AS refusal
        FROM unnest(p_move_items, p_debits, p_credits) WITH ORDINALITY AS m (item, debit, credit, place),
            LATERAL (VALUES (1, m.debit), (2, m.credit)) AS side (no, account)
        WHERE a_id[side.account] IS NULL OR p_account_assets[side.account] <> p_assets[m.item]
            OR (a_owner[side.account] IS NOT NULL AND a_owner[side.account] IS DISTINCT FROM p_merchants[m.item])
        ORDER BY m.item, m.place, side.no
    LOOP
        r_outcome[line.item] := line.refusal;
        r_detail[line.item] := line.name;
    END LOOP;

    -- Which keys stand already, which come twice.
    SELECT array_agg(k.first ORDER BY k.place) INTO k_first
    FROM (SELECT place, min(place) OVER (PARTITION BY key) AS first FROM unnest(p_keys) WITH ORDINALITY AS k (key, place)) k;
    FOR line IN
        SELECT k.place, p.posting_id, p.recorded_at, ledger_content(p.posting_id) AS content
        FROM unnest(p_keys) WITH ORDINALITY AS k (key, place) JOIN ledger_postings p USING (key)
    LOOP
        IF k_first[line.place] = line.place THEN
            k_content[line.place] := line.content;
            k_id[line.place] := line.posting_id;
            k_at[line.place] := line.recorded_at;
            contents := '{}';
        END IF;
    END LOOP;
    IF contents IS NOT NULL OR EXISTS (SELECT FROM unnest(k_first) WITH ORDINALITY AS k (first, place) WHERE first <> place) THEN
        SELECT array_agg(jsonb_build_object('event', p.event, 'asset', p.asset, 'merchant_id', p.merchant, 'debit', m.debits,
            'credit', m.credits, 'units', m.units) ORDER BY p.place)
        INTO contents
        FROM unnest(p_events, p_assets, p_merchants) WITH ORDINALITY AS p (event, asset, merchant, place)
        JOIN (
            SELECT item, jsonb_agg(p_account_names[debit] ORDER BY place) AS debits,
                jsonb_agg(p_account_names[credit] ORDER BY place) AS credits, jsonb_agg(units ORDER BY place) AS units
            FROM unnest(p_move_items, p_debits, p_credits, p_units) WITH ORDINALITY AS m (item, debit, credit, units, place)
            GROUP BY item
        ) m ON m.item = p.place;
    END IF;

    FOR item IN 1..item_count LOOP
        first_move := move;
        WHILE move <= move_count AND p_move_items[move] = item LOOP
            move := move + 1;
        END LOOP;
        IF move = first_move THEN
            RAISE EXCEPTION 'malformed batch: items out of order or without moves' USING ERRCODE = 'invalid_parameter_value';
        END IF;
        CONTINUE WHEN r_outcome[item] IS NOT NULL;

        holder := k_first[item];
        IF k_content[holder] IS NOT NULL THEN
            SELECT field INTO refusal
            FROM unnest(ARRAY['event', 'asset', 'merchant_id', 'debit', 'credit', 'units']) WITH ORDINALITY AS f (field, place)
            WHERE contents[item] -> field IS DISTINCT FROM k_content[holder] -> field ORDER BY place LIMIT 1;
            r_detail[item] := refusal;
            IF refusal IS NULL THEN
                r_outcome[item] := 'replayed';
                r_id[item] := k_id[holder];
                r_at[item] := k_at[holder];
            ELSE
                r_outcome[item] := 'exists_different';
            END IF;
            CONTINUE;
        END IF;

        kept := entry;
        refusal := NULL;
        <<moves>>
        FOR m IN first_move..move - 1 LOOP
            FOR side IN 1..2 LOOP
                account := CASE side WHEN 1 THEN p_debits[m] ELSE p_credits[m] END;
                balance := a_balance[account] + CASE side WHEN 1 THEN a_sign[account] ELSE -a_sign[account] END * p_units[m];
                IF a_frozen[account] THEN
                    refusal := 'account_frozen';
                ELSIF balance < 0 THEN
                    refusal := 'insufficient_balance';
                ELSIF balance > max_units THEN
                    refusal := 'balance_overflow';
                END IF;
                EXIT moves WHEN refusal IS NOT NULL;
                entry := entry + 1;
                e_item[entry] := item;
                e_no[entry] := 2 * (m - first_move) + side;
                e_account[entry] := account;
                e_before[entry] := a_balance[account];
                e_after[entry] := balance;
                a_balance[account] := balance;
            END LOOP;
        END LOOP;

        IF refusal IS NULL THEN
            r_outcome[item] := 'posted';
            r_id[item] := p_ids[item];
            r_at[item] := now_at;
            k_content[holder] := contents[item];
            k_id[holder] := p_ids[item];
            k_at[holder] := now_at;
        ELSE
            r_outcome[item] := refusal;
            r_detail[item] := p_account_names[account];
            WHILE entry > kept LOOP
                a_balance[e_account[entry]] := e_before[entry];
                entry := entry - 1;
            END LOOP;
        END IF;
    END LOOP;
    IF move <= move_count THEN
        RAISE EXCEPTION 'malformed batch: items out of order' USING ERRCODE = 'invalid_parameter_value';
    END IF;

    IF entry > 0 THEN
        SELECT array_agg(ledger_head(p.id, p.key, p.event, p.asset, p.merchant, p.happened, now_at) ORDER BY p.place) INTO heads
        FROM unnest(p_ids, p_keys, p_events, p_assets, p_merchants, p_happened)
            WITH ORDINALITY AS p (id, key, event, asset, merchant, happened, place);
        FOR e IN 1..entry LOOP
            account := e_account[e];
            a_version[account] := a_version[account] + 1;
            a_digest[account] := ledger_link(a_digest[account], heads[e_item[e]], a_id[account], a_version[account], e_no[e],
                abs(e_after[e] - e_before[e]), e_after[e]);
            e_version[e] := a_version[account];
            e_digest[e] := a_digest[account];
        END LOOP;

        INSERT INTO ledger_postings (posting_id, key, event, asset, merchant_id, happened_at, recorded_at)
        SELECT p.id, p.key, p.event, p.asset, p.merchant, p.happened, now_at
        FROM unnest(p_ids, p_keys, p_events, p_assets, p_merchants, p_happened, r_outcome)
            AS p (id, key, event, asset, merchant, happened, outcome)
        WHERE p.outcome = 'posted' ORDER BY p.key;

        INSERT INTO ledger_entries (account_id, version, posting_id, entry_no, side, units, balance_before, balance_after, digest)
        SELECT a_id[e.account], e.version, p_ids[e.item], e.no, CASE e.no % 2 WHEN 1 THEN 'debit' ELSE 'credit' END,
            abs(e.after - e.before), e.before, e.after, e.digest
        FROM unnest(e_item[:entry], e_no[:entry], e_account[:entry], e_version, e_before[:entry], e_after[:entry], e_digest)
            AS e (item, no, account, version, before, after, digest);

        UPDATE ledger_accounts a SET balance_units = s.balance, version = s.version, digest = s.digest, changed_at = now_at
        FROM unnest(a_id, a_balance, a_version, a_digest) AS s (id, balance, version, digest)
        WHERE a.account_id = s.id AND a.version < s.version;
    END IF;

    RETURN QUERY SELECT * FROM unnest(r_outcome, r_detail, r_id, r_at);
END
$$;

-- What a posting says, in the fields by which a replay is compared. `happened_at` is not among them: a retry may read the clock anew.
CREATE FUNCTION ledger_content(p_posting_id uuid) RETURNS jsonb LANGUAGE sql STABLE AS $$
    SELECT jsonb_build_object('event', p.event, 'asset', p.asset, 'merchant_id', p.merchant_id,
        'debit', jsonb_agg(a.name ORDER BY e.entry_no) FILTER (WHERE e.side = 'debit'),
        'credit', jsonb_agg(a.name ORDER BY e.entry_no) FILTER (WHERE e.side = 'credit'),
        'units', jsonb_agg(e.units ORDER BY e.entry_no) FILTER (WHERE e.side = 'debit'))
    FROM ledger_postings p JOIN ledger_entries e USING (posting_id) JOIN ledger_accounts a USING (account_id)
    WHERE p.posting_id = p_posting_id GROUP BY p.posting_id
$$;

-- Post a batch; one row per item, in order: posted | replayed | exists_different (detail: the field) | unknown_account | mixed_assets
-- | foreign_account | account_frozen | insufficient_balance | balance_overflow (detail: the account). A refused item leaves no trace.
-- `p_account_*` list each account once; moves name accounts by their place there, and items by theirs, ascending.
CREATE FUNCTION ledger_post(
    p_ids uuid[], p_keys text[], p_events text[], p_assets text[], p_merchants uuid[], p_happened timestamptz[],
    p_account_names text[], p_account_assets text[],
    p_move_items integer[], p_debits integer[], p_credits integer[], p_units numeric[]
) RETURNS TABLE (outcome text, detail text, posting_id uuid, recorded_at timestamptz)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    violated text;
BEGIN
    FOR attempt IN 1..3 LOOP
        BEGIN
            RETURN QUERY SELECT * FROM ledger_post_once(p_ids, p_keys, p_events, p_assets, p_merchants, p_happened,
                p_account_names, p_account_assets, p_move_items, p_debits, p_credits, p_units);
            RETURN;
        EXCEPTION WHEN unique_violation THEN
            GET STACKED DIAGNOSTICS violated = CONSTRAINT_NAME;
            IF violated <> 'ledger_postings_key' THEN
                RAISE;
            END IF;
        END;
    END LOOP;
    RAISE EXCEPTION 'the keys of this batch are being taken by others' USING ERRCODE = 'serialization_failure';
END
$$;

-- Lock accounts in the one order until the transaction ends and return those that exist.
CREATE FUNCTION ledger_lock(p_names text[], p_assets text[]) RETURNS TABLE (name text, asset text, balance_units numeric)
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
    SELECT a.name, a.asset, a.balance_units FROM unnest(p_names, p_assets) AS n (name, asset)
    JOIN ledger_accounts a USING (name, asset) ORDER BY a.account_id FOR UPDATE OF a
$$;

-- Stop accounts: postings that touch them are refused until the owner of the schema clears `frozen_reason`.
CREATE FUNCTION ledger_freeze(p_account_ids bigint[], p_reason text) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
    UPDATE ledger_accounts SET frozen_reason = p_reason WHERE account_id = ANY (p_account_ids) AND frozen_reason IS NULL
$$;
