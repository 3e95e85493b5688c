"""The SDK protocol as a pure codec: envelope, strict JSON, request and answer bodies, ids. No I/O in here."""
