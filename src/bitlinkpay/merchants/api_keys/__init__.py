"""Keys that sign a merchant's requests to the REST API."""
