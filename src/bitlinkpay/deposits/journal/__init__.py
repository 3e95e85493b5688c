"""The journal of blocks as we have verified them, and the cursor and lease under which it grows."""
