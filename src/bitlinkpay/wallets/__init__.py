"""Which address belongs to whom: indexes and tags handed out once, derived from public keys only."""
