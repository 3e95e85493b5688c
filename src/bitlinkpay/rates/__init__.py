"""Market prices: asked from several exchanges, agreed by median and guards, or not quoted at all."""
