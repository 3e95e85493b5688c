"""The SDK protocol's HTTP face: a plain ASGI app of six routes, and the mutual TLS port under it."""
