"""Benchmarks: ratios against a baseline of the same run, never absolute promises. `make bench` prints the table."""
