"""The lines of a merchant's own books, page by page."""
