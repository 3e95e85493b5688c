"""Deposits: what arrived on the chains, block by block, and how far each arrival is towards credit."""
