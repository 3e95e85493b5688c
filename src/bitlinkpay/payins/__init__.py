"""Payins: what a merchant asks a payer for, and the deposits that answer it."""
