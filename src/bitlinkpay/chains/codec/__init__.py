"""Addresses of each family as pure functions: strict text in, canonical text out, raw bytes for the adapters."""
