"""The key that seals secrets in tests."""

from bitlinkpay.core.sealing import Sealer

SEALER = Sealer(bytes(range(32)))
