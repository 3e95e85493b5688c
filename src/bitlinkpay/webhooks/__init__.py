"""Callbacks to merchants: what is owed to which URL, signed, sent until acknowledged, every attempt kept."""
