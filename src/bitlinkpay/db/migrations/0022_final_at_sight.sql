-- Deposits that are final when they are first seen are booked and settled in one transaction; what it costs per deposit is less.

-- Whoever dropped out of the chain is looked up by transaction; what stands is found by `deposits_one_live`.
create index deposits_gone on deposits (network, txid) where state in ('dropped', 'reversed');
drop index deposits_of_transfer;

-- Of a simulated payer only what it sent on one network is asked for.
create index sim_transfers_by_payer on sim_transfers (source, network);
drop index sim_transfers_by_source;

-- A bounded repetition of a character class costs a pattern thirty times as much as one without bound: 30 us a name. The bound is
-- `max_name` of `ledger_post_once`.
update ledger_kinds set shape = replace(shape, '{1,120}', '+') where shape like '%{1,120}%';

-- As in migration 0002, but names that stand already meet no pattern, and keys are looked up by the index whatever the planner
-- thought of the table's size when it made its plan (a plan made over a small table read all of it, for as long as it was kept).
--
-- One attempt at a batch. It fails with unique_violation when another transaction took one of the keys meanwhile, see ledger_post.
-- Items are decided in the caller's order, each against the balances that the accepted ones before it left. All accounts are locked
-- in one order before anything is decided, and everything is written by three statements at the end.
CREATE OR REPLACE FUNCTION ledger_post_once(
    p_ids uuid[], p_keys text[], p_events text[], p_assets text[], p_merchants uuid[], p_happened timestamptz[],
    p_account_names text[], p_account_assets text[],
    p_move_items integer[], p_debits integer[], p_credits integer[], p_units numeric[]
) RETURNS TABLE (outcome text, detail text, posting_id uuid, recorded_at timestamptz)
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    max_units CONSTANT numeric := 10::numeric ^ 78 - 1;
    max_name CONSTANT integer := 137; -- custody:deposits: and 120 characters
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
        WHERE length(name) <= max_name
            AND NOT EXISTS (SELECT FROM ledger_accounts a WHERE a.name = given.name AND a.asset = given.asset)
        OFFSET 0 -- known names never meet a pattern, a new one that of its own kind only
    ) n
    JOIN ledger_kinds k ON k.kind = n.kind AND n.name ~ k.shape
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
        FROM unnest(p_keys) WITH ORDINALITY AS k (key, place),
            LATERAL (SELECT * FROM ledger_postings WHERE key = k.key LIMIT 1) p -- by the index, however small the table was once
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
