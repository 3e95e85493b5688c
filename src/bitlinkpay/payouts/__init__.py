"""Payouts: the merchant's balance goes to third parties, or home; reserved first, sent once, settled by proof."""
