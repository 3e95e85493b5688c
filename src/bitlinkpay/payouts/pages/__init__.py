"""Payouts page by page, as a merchant lists them."""
