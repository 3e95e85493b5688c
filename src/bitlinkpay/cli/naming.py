"""How an operator names a merchant: broker id, merchant id or name."""

from bitlinkpay.core.errors import Conflict, Invalid, NotFound
from bitlinkpay.core.ids import MerchantId, parse_id
from bitlinkpay.db.driver import Tx
from bitlinkpay.merchants import service as merchants
from bitlinkpay.merchants.model import Merchant


async def find_merchant(tx: Tx, text: str) -> Merchant:
    """Return the merchant that the operator means.

    Raises:
        NotFound: nobody has this broker id, id or name.
        Conflict: several have the name.
    """
    by_broker = await merchants.find_by_broker(tx, text)
    if by_broker is not None:
        return by_broker
    try:
        return await merchants.get(tx, MerchantId(parse_id("mer", text)))
    except (Invalid, NotFound):
        return await _by_name(tx, text)


async def _by_name(tx: Tx, name: str) -> Merchant:
    found: list[Merchant] = []
    page = await merchants.list_merchants(tx)
    while page:
        found += [merchant for merchant in page if merchant.name == name]
        page = await merchants.list_merchants(tx, after=page[-1].merchant_id)
    if not found:
        raise NotFound(f"no merchant {name[:80]!r}; see `bitlinkpay merchant list`")
    if len(found) > 1:
        raise Conflict(f"{len(found)} merchants are named {name[:80]!r}; use the broker id")
    return found[0]
