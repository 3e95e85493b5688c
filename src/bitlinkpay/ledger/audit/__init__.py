"""Audits of what is new in the books."""
