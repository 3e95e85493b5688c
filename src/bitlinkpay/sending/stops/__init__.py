"""Kill switches: what may not be paid just now."""
