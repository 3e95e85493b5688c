"""Where a merchant's money goes home to: one bound address a network, and saved ones by name."""
