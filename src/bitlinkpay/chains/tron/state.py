"""Reading what accounts hold after a block, agreed by a quorum.

A node answers for its newest (or newest solidified) state only, and no read says at which block it was made. So the
height is read before and after, whoever took part in a block between is read again, and the value is taken back to the
block that was asked for by what the blocks since then changed.

An account whose permissions name a foreign key holds nothing that is ours to spend: it counts as 0 (THREATS TRX-11).
"""

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass, field

from bitlinkpay.chains.base import ChainError, GapError
from bitlinkpay.chains.codec import abi
from bitlinkpay.chains.codec.tron import to_bytes
from bitlinkpay.chains.quorum import Quorum
from bitlinkpay.chains.tron.effects import Changes, changes
from bitlinkpay.chains.tron.node import Api, TronNode
from bitlinkpay.chains.tron.reader import BlockReader
from bitlinkpay.chains.tron.wire import HASH_BYTES, Account, unhex
from bitlinkpay.core.assets import Asset

_AHEAD_MAX = 64  # blocks that are taken back at most: three minutes of them
_ROUNDS_MAX = 5
_LOG = logging.getLogger(__name__)


@dataclass(slots=True)
class _Window:
    """What one endpoint said: values, the newest height at which each is known to hold, and what blocks changed."""

    values: dict[str, int | None] = field(default_factory=dict)
    as_of: dict[str, int] = field(default_factory=dict)
    changed: dict[int, Changes] = field(default_factory=dict)

    def back(self, address: str, height: int) -> int:
        """Return the value after the block at `height`.

        Raises:
            ChainError: a block since then did something whose effect is not known.
        """
        value = self.values[address]
        if value is None:
            return 0
        for later in range(height + 1, self.as_of[address] + 1):
            if address in self.changed[later].unknown:
                raise ChainError(f"block {later} changed the balance of {address} by other means than a transfer")
            value -= self.changed[later].units.get(address, 0)
        return value


class StateReader:
    """Balances of one network."""

    def __init__(self, quorum: Quorum[TronNode], reader: BlockReader) -> None:
        self._quorum = quorum
        self._reader = reader

    async def balances(self, asset: Asset, addresses: Sequence[str], height: int) -> list[int]:
        """Return base units held by each address after the block at `height`: one call an address and endpoint.

        Raises:
            GapError, NotEnoughAnswers, ChainError: the quorum has not reached that block, or does not agree.
        """
        if not addresses:
            return []
        api = self._reader.api(height)
        return list(await self._quorum.agree(lambda node: _read(node, api, asset, addresses, height)))


async def _read(node: TronNode, api: Api, asset: Asset, addresses: Sequence[str], height: int) -> tuple[int, ...]:
    window = _Window()
    pending = set(addresses)
    before = (await node.newest(api)).height
    if before < height:
        raise GapError(f"{node.label} has not reached block {height}")
    for _ in range(_ROUNDS_MAX):
        asked = sorted(pending)
        values = await asyncio.gather(*(_held(node, api, asset, address) for address in asked))
        after = (await node.newest(api)).height
        if after - height > _AHEAD_MAX:
            raise ChainError(f"{node.label} is too far ahead of block {height} to say what accounts held then")
        for later in range(height + 1, after + 1):
            if later not in window.changed:
                window.changed[later] = changes(await node.sealed(api, later), asset)
        window.values.update(zip(asked, values, strict=True))
        window.as_of.update(dict.fromkeys(asked, after))
        between = range(before + 1, after + 1)
        pending = {address for address in asked if any(window.changed[h].touches(address) for h in between)}
        if not pending:
            return tuple(window.back(address, height) for address in addresses)
        before = after
    raise ChainError(f"{len(pending)} balances changed whenever {node.label} was asked for them")


async def _held(node: TronNode, api: Api, asset: Asset, address: str) -> int | None:
    """Return what an account holds now, None where it is not ours alone."""
    if asset.is_native:
        account = await node.account(api, address)
        return account.balance if is_own(account, address) else None
    if api is Api.SOLID and not is_own(await node.account(api, address), address):
        return None
    return await token_balance(node, api, asset.contract, address)


async def token_balance(node: TronNode, api: Api, contract: str, address: str) -> int:
    """Return what a TRC-20 contract says that an account holds."""
    called = await node.call(api, contract, "balanceOf(address)", abi.word(to_bytes(address)[1:]))
    return int.from_bytes(unhex("".join(called.constant_result), HASH_BYTES), "big")


def is_own(account: Account, address: str) -> bool:
    """Say whether an account takes signatures of its own key only; one that never changed them does."""
    permissions = [account.owner_permission, *account.active_permission]
    keys = {key.address for permission in permissions if permission is not None for key in permission.keys}
    if keys <= {to_bytes(address).hex()}:
        return True
    _LOG.critical(
        "%s takes signatures of foreign keys: what it holds counts as nothing, find out who changed it", address
    )
    return False
