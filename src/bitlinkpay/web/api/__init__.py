"""The REST API, version 1: JSON under `/v1`, signed requests, one shape for every error."""
