"""What the signer may sign: its own rules, its own limits, its own memory of what it has signed."""
