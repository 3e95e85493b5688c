"""TRON: blocks, accounts and contracts over java-tron's HTTP API (`/wallet`, `/walletsolidity`)."""
