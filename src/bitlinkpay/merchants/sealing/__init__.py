"""The key that seals merchants' secrets in the database: its file, and which one counts."""
