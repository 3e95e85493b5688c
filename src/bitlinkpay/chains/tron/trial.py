"""Tries a TRC-20 token's transfer on one endpoint, by a constant call in a holder's name: nothing is sent or signed.

The API runs one call and shows no state after it, so what arrives is not seen; what the contract answers is.
"""

from typing import Final

from bitlinkpay.chains.codec import abi
from bitlinkpay.chains.codec.evm import keccak256
from bitlinkpay.chains.trial import Trial, read_answer
from bitlinkpay.chains.tron.node import Api, CallReverted, TronNode
from bitlinkpay.chains.tron.wire import unhex

TARGET: Final = keccak256(b"bitlinkpay: target of transfers that are only tried")[12:]


async def try_transfer(node: TronNode, contract: str, holder: str, units: int) -> Trial:
    """Return what a transfer of `units` would do in the solidified state.

    Raises:
        ChainError: the endpoint can't say.
    """
    arguments = abi.word(TARGET) + units.to_bytes(abi.WORD_BYTES, "big")
    try:
        called = await node.call(Api.SOLID, contract, "transfer(address,uint256)", arguments, owner=holder)
    except CallReverted as error:
        return Trial(units, failure=str(error))
    answer = unhex("".join(called.constant_result))
    return Trial(units, answered=read_answer(len(answer), int.from_bytes(answer[: abi.WORD_BYTES], "big")))
