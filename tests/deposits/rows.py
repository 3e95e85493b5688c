"""Rows that deposits hang on: a merchant, its orders, and addresses of ours."""

from datetime import UTC, datetime

from bitlinkpay.core.ids import MerchantId, PayinId, new_uuid7
from bitlinkpay.db.driver import Tx

AT = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)


async def add_merchant(tx: Tx, broker: str = "teahouse") -> MerchantId:
    merchant_id = MerchantId(new_uuid7())
    await tx.execute(
        """
        insert into merchants (merchant_id, broker, name, state, pricing_currency, callback_url, callback_statuses, fee_ppm,
            policy, order_life, return_hosts, lang, support, accent, allowed_assets, rate_per_minute, created_at)
        values ($1, $2, 'Tea', 'active', 'CNY', '', '{8}', 0, '{}', interval '1 hour', '{}', '', '', '', '{}', 60, $3)
        """,
        merchant_id,
        broker,
        AT,
    )
    return merchant_id


async def add_order(tx: Tx, merchant_id: MerchantId, payin_id: PayinId | None = None) -> PayinId:
    made = payin_id or PayinId(new_uuid7())
    await tx.execute(
        """
        insert into payins (payin_id, merchant_id, source_id, state, coin, units, fee_ppm, fee_units, fiat_amount, symbol,
            exchange_rate, policy, callback_url, lang, links, request_hash, created_at, expires_at)
        values ($1, $2, $3, 'created', 'USDT', 5, 0, 0, 5, 'USD', 1, '{}', '', 'en', '{}', '', $4, $4)
        """,
        made,
        merchant_id,
        str(made),
        AT,
    )
    return made


async def add_address(
    tx: Tx, family: str, address: str, payin_id: PayinId, *, owner: MerchantId, tag: str = ""
) -> None:
    await tx.execute(
        """
        insert into addresses (key_family, address, tag, key_index, merchant_id, payin_id, purpose)
        values ($1, $2, $3, 0, $4, $5, 'deposit')
        """,
        family,
        address,
        tag,
        owner,
        payin_id,
    )


async def add_wallet(tx: Tx, family: str, address: str) -> None:
    await tx.execute(
        "insert into addresses (key_family, address, key_index, purpose) values ($1, $2, 0, 'wallet')", family, address
    )
