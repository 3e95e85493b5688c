"""Unspent outputs of ours, where a network has such."""
