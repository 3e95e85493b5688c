"""A request that was let in, and the reply to it."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from bitlinkpay.core.ids import MerchantId
from bitlinkpay.merchants.api_keys.model import ApiKey
from bitlinkpay.merchants.model import Merchant


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks: a key, its merchant, and the socket's own address."""

    key: ApiKey
    merchant: Merchant
    peer: str


@dataclass(frozen=True, slots=True)
class Call:
    """A request that was let in.

    Attributes:
        target: path and query as they stand in the request line.
        ids: what stands in the path's places, in order.
        idempotency_key: "" for none.
    """

    caller: Caller
    request_id: str
    method: str
    target: str
    ids: tuple[str, ...]
    query: Mapping[str, str]
    body: bytes
    idempotency_key: str = ""

    @property
    def merchant(self) -> Merchant:
        """Return whose request it is."""
        return self.caller.merchant

    @property
    def merchant_id(self) -> MerchantId:
        """Return the id of whose request it is."""
        return self.caller.merchant.merchant_id


@dataclass(frozen=True, slots=True)
class Reply:
    """Status, JSON text and headers of an answer."""

    status: int
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)
