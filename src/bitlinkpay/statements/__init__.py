"""What a merchant had and what moved, day by day, provable from the books."""
