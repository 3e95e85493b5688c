"""Books against chains: what stands at every place of ours, at a final height, to the unit."""
