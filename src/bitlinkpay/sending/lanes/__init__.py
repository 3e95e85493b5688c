"""Lanes: the order in which a paying wallet sends, and the lease on it."""
