"""Stake on simulated networks."""
