"""What the signer did: a chain of records on its own disk, written before each answer."""
