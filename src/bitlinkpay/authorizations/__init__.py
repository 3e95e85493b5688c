"""Authorizations: leave to do exactly one thing with a merchant's own money, given to who passes all four checks."""
