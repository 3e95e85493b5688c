"""Who the platform works for: merchants, their terms, certificates and secrets, and the authority that issues them."""
