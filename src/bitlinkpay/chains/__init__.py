"""Chains: stateless adapters that know no merchant and no database."""
