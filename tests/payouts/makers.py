"""Payouts to look at."""

from datetime import UTC, datetime
from decimal import Decimal

from bitlinkpay.core.ids import MerchantId, PayoutId, new_uuid7
from bitlinkpay.payouts.model import Charge, Payout, PayoutKind, PayoutState


def payout(**changed: object) -> Payout:
    fields: dict[str, object] = {
        "payout_id": PayoutId(new_uuid7()),
        "merchant_id": MerchantId(new_uuid7()),
        "kind": PayoutKind.PAYOUT,
        "source_id": "w-1",
        "state": PayoutState.APPROVED,
        "asset": "usdt-tron",
        "target": "TNPeeaaFB7K9cmo4uQpcU32zGK8G1NYqeL",
        "tag": "",
        "units": 20_000_000,
        "charge": Charge(100, 200, 300),
        "fiat_amount": Decimal(0),
        "symbol": "",
        "exchange_rate": Decimal(0),
        "callback_url": "",
        "reason": "",
        "txid": "",
        "request_hash": b"",
        "created_at": datetime(2026, 3, 1, tzinfo=UTC),
    }
    return Payout(**(fields | changed))  # type: ignore[arg-type]
