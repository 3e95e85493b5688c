"""Loops only: each drives services and holds no rule of its own."""
