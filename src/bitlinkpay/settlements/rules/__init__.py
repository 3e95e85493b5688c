"""Rules that settle by themselves: by schedule, or when a balance reaches a threshold."""
