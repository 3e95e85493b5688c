"""Trying a transaction on the newest block before it is sent: would it do all that it shall, and for how much gas.

Deposit addresses that are yet to delegate are tried as if they had (the code override of `eth_call` and
`eth_estimateGas`), with as many authorizations as the transaction will carry. Their signatures are void, so that they
are charged and nothing is refunded for them: what EIP-7702 gives back for an account that exists is no part of the
limit, and anvil gives it back for accounts that do not exist, too.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from bitlinkpay.chains.base import BlockRef
from bitlinkpay.chains.evm.build import Action
from bitlinkpay.chains.evm.delegates import designator
from bitlinkpay.chains.evm.node import EvmNode
from bitlinkpay.chains.evm.plan import Authorization
from bitlinkpay.chains.evm.state import pinned
from bitlinkpay.chains.evm.wire import TEXT, quantity, unhex
from bitlinkpay.chains.outgoing import CannotPlan
from bitlinkpay.chains.quorum import Quorum
from bitlinkpay.chains.rpc import Call, CallRefused

_REVERTED = 3  # error code of a reverted call in the execution API
# As geth and its kin, Nethermind and anvil put it where they do not use that code.
_FAILED = re.compile(
    r"revert|invalid.?opcode|out.?of.?gas|gas required exceeds|stack.?(under|over)flow|VM (execution )?error",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Script:
    """What to try.

    Attributes:
        payer: canonical address that sends it.
        action: what it does.
        chain_id: EIP-155 id.
        authorizations: that it carries; only other accounts than the payer are tried as if they had delegated.
        block: on which block.
    """

    payer: str
    action: Action
    chain_id: int
    authorizations: tuple[Authorization, ...]
    block: BlockRef

    def call(self) -> dict[str, object]:
        """Return the call object."""
        action = self.action
        return {"from": self.payer, "to": action.to, "value": hex(action.value), "data": "0x" + action.data.hex()}

    def overrides(self) -> Mapping[str, object]:
        """Return the code of the accounts that are yet to delegate."""
        code = "0x" + designator(self.action.delegate).hex() if self.authorizations else ""
        return {item.account: {"code": code} for item in self.authorizations if item.account != self.payer}

    def params(self, call: Mapping[str, object], at: object) -> tuple[object, ...]:
        """Return the parameters of `eth_call` and `eth_estimateGas`; some nodes refuse an empty third one."""
        overrides = self.overrides()
        return (call, at, overrides) if overrides else (call, at)


class Rehearsal:
    """Tries transactions on one network."""

    def __init__(self, quorum: Quorum[EvmNode]) -> None:
        self._quorum = quorum

    async def run(self, script: Script) -> bytes:
        """Return what the call answers.

        Raises:
            CannotPlan: it fails.
            ChainError: the quorum can't say.
        """
        call = Call("eth_call", script.params(script.call(), pinned(script.block.hash)))
        reasons: list[str] = []
        answer = await self._quorum.agree(lambda node: _try(node, call, reasons))
        if answer is None:
            raise CannotPlan(f"it would fail: {reasons[0]}")
        return answer

    async def gas(self, script: Script) -> int:
        """Return the least gas limit with which it goes through, the upper median of independent endpoints.

        Raises:
            CannotPlan: it fails with any.
            ChainError: the quorum can't say.
        """
        call = script.call()
        if script.authorizations:
            call["authorizationList"] = [_void(script, item) for item in script.authorizations]
        question = Call("eth_estimateGas", script.params(call, hex(script.block.height)))  # not all take a hash here
        try:
            estimates = sorted(gas for _, gas in await self._quorum.survey(lambda node: _estimate(node, question)))
        except CallRefused as error:
            if is_failure(error):
                raise CannotPlan(f"it would fail: {error}") from error
            raise
        return estimates[len(estimates) // 2]


async def _try(node: EvmNode, call: Call, reasons: list[str]) -> bytes | None:
    """Return the answer of one endpoint, None if the call fails: that is an answer, too, in words of its own."""
    try:
        (text,) = await node.ask([call], TEXT)
    except CallRefused as error:
        if is_failure(error):
            reasons.append(str(error))
            return None
        raise
    return unhex(text)


async def _estimate(node: EvmNode, call: Call) -> int:
    (text,) = await node.ask([call], TEXT)
    return quantity(text)


def is_failure(error: CallRefused) -> bool:
    """Tell a call that fails from a node that can't say."""
    return error.code == _REVERTED or bool(_FAILED.search(str(error)))


def _void(script: Script, item: Authorization) -> dict[str, str]:
    return {
        "chainId": hex(script.chain_id),
        "address": script.action.delegate,
        "nonce": hex(item.nonce),
        "yParity": "0x0",
        "r": "0x0",
        "s": "0x0",
    }
