"""Our own transactions as the watcher meets them: what they bring to our addresses is no deposit."""
