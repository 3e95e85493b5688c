"""Our own accounts as the chain sees them: nonces, and which code they run."""

from collections.abc import Sequence
from dataclasses import dataclass

from bitlinkpay.chains.codec.evm import keccak256
from bitlinkpay.chains.evm.delegates import FACTORY, FACTORY_CODE, delegates_of, designator, executor_code, sweeper_code
from bitlinkpay.chains.evm.node import EvmNode
from bitlinkpay.chains.evm.state import pinned, read_state
from bitlinkpay.chains.evm.wire import quantity, unhex
from bitlinkpay.chains.quorum import Quorum
from bitlinkpay.chains.rpc import Call


@dataclass(frozen=True, slots=True)
class Account:
    """One account after one block."""

    nonce: int
    code: bytes


class AccountReader:
    """Accounts of one network, agreed by the quorum."""

    def __init__(self, quorum: Quorum[EvmNode]) -> None:
        self._quorum = quorum

    async def read(self, addresses: Sequence[str], block_hash: str) -> list[Account]:
        """Return accounts after the block with this hash: two calls an account and endpoint.

        Raises:
            GapError, NotEnoughAnswers, ChainError: the quorum does not hold or not agree on that state.
        """
        return list(await self._quorum.agree(lambda node: read_accounts(node, addresses, block_hash)))

    async def next_nonce(self, address: str) -> int:
        """Return the highest nonce, unconfirmed transactions included, that as many endpoints as the quorum know of.

        Raises:
            ChainError: fewer endpoints answered than the quorum asks for.
        """
        nonces = sorted((nonce for _, nonce in await self._quorum.survey(lambda n: _pending(n, address))), reverse=True)
        return nonces[self._quorum.size - 1]

    async def is_deployed(self, wallet: str, block_hash: str) -> bool:
        """Say whether a hot wallet's contracts stand where they belong, with the code that they must have.

        Raises:
            OtherCode: other code stands there, which CREATE2 makes impossible on an honest chain.
        """
        ours = delegates_of(wallet)
        executor, sweeper = await self.read([ours.executor, ours.sweeper], block_hash)
        if not executor.code and not sweeper.code:
            return False
        if (executor.code, sweeper.code) != (executor_code(), sweeper_code(wallet)):
            raise OtherCode(f"the code at {ours.executor} or {ours.sweeper} is not ours")
        return True

    async def has_factory(self, block_hash: str) -> bool:
        """Say whether the deterministic deployment proxy is there."""
        (factory,) = await self.read([FACTORY], block_hash)
        return keccak256(factory.code) == keccak256(FACTORY_CODE)

    async def is_ready(self, wallet: str, block_hash: str) -> bool:
        """Say whether a hot wallet can send batches: it runs its executor, and that is ours."""
        ours = delegates_of(wallet)
        account, executor, sweeper = await self.read([wallet, ours.executor, ours.sweeper], block_hash)
        expected = (designator(ours.executor), executor_code(), sweeper_code(wallet))
        return (account.code, executor.code, sweeper.code) == expected


class OtherCode(Exception):
    """Code that is not ours stands where only ours may."""


async def read_accounts(node: EvmNode, addresses: Sequence[str], block_hash: str) -> tuple[Account, ...]:
    """Return what one endpoint says of accounts after a block."""
    pin = pinned(block_hash)
    nonces = await read_state(node, [Call("eth_getTransactionCount", (address, pin)) for address in addresses])
    codes = await read_state(node, [Call("eth_getCode", (address, pin)) for address in addresses])
    return tuple(Account(quantity(nonce), unhex(code)) for nonce, code in zip(nonces, codes, strict=True))


async def _pending(node: EvmNode, address: str) -> int:
    (nonce,) = await read_state(node, [Call("eth_getTransactionCount", (address, "pending"))])
    return quantity(nonce)
