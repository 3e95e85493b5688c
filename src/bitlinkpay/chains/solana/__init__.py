"""The Solana family: SOL and tokens of the SPL Token and Token-2022 programs, read at `finalized` and nowhere else."""
