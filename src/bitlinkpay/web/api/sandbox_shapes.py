"""What travels about the simulated world of a sandbox."""

from typing import Annotated, Final

from msgspec import Meta

from bitlinkpay.web.api.shapes import Answer, AnyAssetId, DecimalText, Moment, NetworkId, Request

MOST_BLOCKS: Final = 100
LONGEST_STEP_S: Final = 30 * 24 * 3600


class PayOrder(Request, frozen=True, kw_only=True):
    """A transfer to an order's address: of the asked asset and amount, where neither is named."""

    order_id: Annotated[str, Meta(pattern="^pay_[0-9a-f]{32}$")]
    amount: DecimalText | None = None
    asset: AnyAssetId = ""


class PaymentBody(Answer, frozen=True, kw_only=True):
    """A transfer that was broadcast; it counts once a block holds it and that block is final."""

    txid: str


class MineBlocks(Request, frozen=True, kw_only=True):
    """Blocks to be added at once; without that one comes every few seconds."""

    network: NetworkId
    blocks: Annotated[int, Meta(ge=1, le=MOST_BLOCKS)] = 1


class BlocksBody(Answer, frozen=True, kw_only=True):
    """How high a network is now."""

    network: str
    height: int


class AdvanceClock(Request, frozen=True, kw_only=True):
    """By how much business time moves on; it never goes back."""

    seconds: Annotated[int, Meta(ge=1, le=LONGEST_STEP_S)]


class ClockBody(Answer, frozen=True, kw_only=True):
    """What business time is now."""

    business_now: Moment
