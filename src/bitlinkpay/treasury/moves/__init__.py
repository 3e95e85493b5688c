"""Moves between our own wallets."""
