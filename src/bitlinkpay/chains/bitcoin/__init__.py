"""The Bitcoin family, over the JSON-RPC that bitcoind and btcd speak."""
