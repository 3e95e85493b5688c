"""When outputs of hot wallets are joined."""
