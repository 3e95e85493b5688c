"""How each family turns an intent and a plan into signed bytes: one module a family, `sign(intent, plan, keys)`."""
