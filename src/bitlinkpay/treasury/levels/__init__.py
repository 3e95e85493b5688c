"""What belongs into the hot wallets, and how much gas may be handed out."""
