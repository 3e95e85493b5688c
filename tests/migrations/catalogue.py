"""What a schema consists of, one line per thing, so that two schemas can be compared as sorted text."""

from bitlinkpay.db.driver import Connection

_QUERIES = {
    "table": """
        SELECT c.relname || coalesce(' (' || array_to_string(c.reloptions, ', ') || ')', '')
            || coalesce(' -- ' || obj_description(c.oid, 'pg_class'), '')
        FROM pg_class c WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p', 'v', 'm', 'f')""",
    "column": """
        SELECT c.relname || '.' || a.attname || ' ' || format_type(a.atttypid, a.atttypmod)
            || CASE WHEN a.attnotnull THEN ' not null' ELSE '' END
            || CASE a.attidentity WHEN 'a' THEN ' identity always' WHEN 'd' THEN ' identity' ELSE '' END
            || coalesce(' default ' || pg_get_expr(d.adbin, d.adrelid), '')
        FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid LEFT JOIN pg_attrdef d ON (d.adrelid, d.adnum) = (a.attrelid, a.attnum)
        WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p', 'v', 'm', 'f') AND a.attnum > 0 AND NOT a.attisdropped""",
    "constraint": """
        SELECT coalesce(c.relname, t.typname, '') || '.' || k.conname || ' ' || pg_get_constraintdef(k.oid)
        FROM pg_constraint k LEFT JOIN pg_class c ON c.oid = k.conrelid LEFT JOIN pg_type t ON t.oid = k.contypid
        WHERE k.connamespace = 'public'::regnamespace AND k.contype <> 'n'""",
    "index": "SELECT tablename || '.' || indexdef FROM pg_indexes WHERE schemaname = 'public'",
    "sequence": """
        SELECT sequencename || ' ' || data_type || ' from ' || start_value || ' by ' || increment_by
        FROM pg_sequences WHERE schemaname = 'public'""",
    "type": """
        SELECT t.typname || ' ' || coalesce((SELECT string_agg(e.enumlabel, ', ' ORDER BY e.enumsortorder) FROM pg_enum e WHERE e.enumtypid = t.oid),
            (SELECT string_agg(a.attname || ' ' || format_type(a.atttypid, a.atttypmod), ', ' ORDER BY a.attnum)
             FROM pg_attribute a WHERE a.attrelid = t.typrelid), format_type(t.typbasetype, t.typtypmod), '')
        FROM pg_type t LEFT JOIN pg_class c ON c.oid = t.typrelid
        WHERE t.typnamespace = 'public'::regnamespace AND (t.typtype IN ('e', 'd') OR c.relkind = 'c')""",
    "function": """
        SELECT p.proname || '(' || pg_get_function_identity_arguments(p.oid) || ') -> ' || coalesce(pg_get_function_result(p.oid), 'procedure')
            || ' ' || l.lanname || ' ' || p.provolatile::text || CASE WHEN p.prosecdef THEN ' security definer' ELSE '' END
            || coalesce(' set ' || array_to_string(p.proconfig, ', '), '') || ' body ' || encode(sha256(convert_to(p.prosrc, 'UTF8')), 'hex')
        FROM pg_proc p JOIN pg_language l ON l.oid = p.prolang WHERE p.pronamespace = 'public'::regnamespace""",
    "trigger": """
        SELECT c.relname || '.' || pg_get_triggerdef(g.oid)
        FROM pg_trigger g JOIN pg_class c ON c.oid = g.tgrelid WHERE c.relnamespace = 'public'::regnamespace AND NOT g.tgisinternal""",
    "view": "SELECT viewname || ' ' || regexp_replace(definition, '\\s+', ' ', 'g') FROM pg_views WHERE schemaname = 'public'",
    "grant": """
        SELECT table_name || ' ' || grantee || ' ' || string_agg(privilege_type, ', ' ORDER BY privilege_type)
        FROM information_schema.role_table_grants WHERE table_schema = 'public' AND grantee <> 'bitlinkpay_owner' GROUP BY table_name, grantee""",
    "routine grant": """
        SELECT p.proname || ' ' || coalesce(array_to_string(p.proacl, ' '), 'default')
        FROM pg_proc p WHERE p.pronamespace = 'public'::regnamespace AND p.proacl IS NOT NULL""",
}


async def catalogue(connection: Connection) -> list[str]:
    """Return the schema of the database as sorted lines `kind: what`."""
    lines: list[str] = []
    for kind, query in _QUERIES.items():
        lines.extend(f"{kind}: {' '.join(str(row[0]).split())}" for row in await connection.fetch(query))
    return sorted(lines)
