"""Where a simulated network takes transactions of our own: slots, replacements, refusals."""
