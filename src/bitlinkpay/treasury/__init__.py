"""The platform's own wallets: what the company puts in, what moves between them, what stands where."""
