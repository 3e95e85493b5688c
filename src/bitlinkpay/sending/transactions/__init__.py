"""Transactions of ours, each with its attempts, as stored."""
