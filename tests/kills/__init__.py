"""Real processes killed at random while money comes in and goes out: `python -m tests.kills N=50 SEED=0 [FAMILY...]`."""
