"""HTTP only: pages, APIs and the mapping of problems to answers."""
