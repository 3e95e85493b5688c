"""Tries a token's transfer on one endpoint: `contracts/trial.sol` runs in a holder's place, nothing is sent."""

from typing import Final

from bitlinkpay.chains.codec.evm import from_bytes, keccak256
from bitlinkpay.chains.evm import abi
from bitlinkpay.chains.evm.delegates import TRIAL_CODE, TRY_TRANSFER
from bitlinkpay.chains.evm.node import EvmNode
from bitlinkpay.chains.evm.rehearsal import is_failure
from bitlinkpay.chains.evm.state import pinned
from bitlinkpay.chains.evm.wire import HASH_BYTES, TEXT, unhex
from bitlinkpay.chains.rpc import Call, CallRefused
from bitlinkpay.chains.trial import Trial, read_answer

TARGET: Final = from_bytes(keccak256(b"bitlinkpay: target of transfers that are only tried")[12:])
_SEEN = 7  # words that the contract returns: balances before, whether it went through, its answer, balances after


async def try_transfer(node: EvmNode, contract: str, holder: str, units: int, block_hash: str) -> Trial:
    """Return what a transfer of `units` would do after one block.

    Raises:
        ChainError: the endpoint can't say; it must take the code override of `eth_call`.
    """
    data = TRY_TRANSFER + abi.address_word(contract) + abi.address_word(TARGET) + abi.word(units)
    call = {"from": holder, "to": holder, "data": "0x" + data.hex()}
    overrides = {holder: {"code": "0x" + TRIAL_CODE.hex()}}
    try:
        (text,) = await node.ask([Call("eth_call", (call, pinned(block_hash), overrides))], TEXT)
    except CallRefused as error:
        if not is_failure(error):
            raise
        return Trial(units, failure="the contract does not tell balances")
    answer = unhex(text, _SEEN * HASH_BYTES)
    seen = [int.from_bytes(answer[at : at + HASH_BYTES], "big") for at in range(0, len(answer), HASH_BYTES)]
    held, had, is_done, size, first, holds, has = seen
    if not is_done:
        return Trial(units, failure=f"the contract refuses one of {units} units")
    return Trial(units, answered=read_answer(size, first), left=held - holds, came=has - had)
