"""Payments that wait for their first block: shown to the payer and proof that he was in time, never money."""
