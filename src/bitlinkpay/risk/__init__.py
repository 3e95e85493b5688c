"""Screening: where money came from, asked before it is credited; no answer is never a good answer."""
