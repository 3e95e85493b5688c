"""The EVM family: Ethereum, BNB Smart Chain, Polygon, Arbitrum and any other chain that speaks the execution API."""
