"""Settlements: the merchant's own money goes home, asked for by its people or by a rule, and is paid as a payout."""
