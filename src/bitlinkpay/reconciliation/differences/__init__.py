"""Differences between books and chains."""
