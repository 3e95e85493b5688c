"""Odd money page by page, as its merchant lists it."""
