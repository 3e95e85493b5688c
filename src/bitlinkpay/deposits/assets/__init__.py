"""What the contracts of our assets showed when they were accepted, and the hold on those that show something else."""
