"""TON: one wallet with tags, read through an indexer's HTTP API (toncenter v3), paid from by a highload wallet v3."""
