"""The hosted page that a payer sees: what to send where, until when, and what became of it."""
