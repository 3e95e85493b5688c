"""The only holder of private keys: a sealed seed, the public key ring made from it, and a small server process."""
