"""The books: every money move of the platform, double entry per asset."""
