"""PostgreSQL and nothing else: the embedded server, the pool, migrations, the outbox, micro-batches, seals."""
