"""Stake that is lent to orders' addresses for the length of their sweeps: what is out, and how it comes back."""
