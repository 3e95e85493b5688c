"""Our own payments on chains: queued one by one, sent together in lanes, followed until they are final."""
