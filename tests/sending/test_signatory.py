"""The signer hears which targets are ours, and where their keys stand, for payments to ourselves only."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from tests.flows.harness import REGISTRY

from bitlinkpay.chains.outgoing import Intent, KeyRole, Payment, Purpose, Signed, Wallet
from bitlinkpay.core.ids import new_uuid7
from bitlinkpay.db.pool import Database
from bitlinkpay.sending.signatory import Signatory

HOT = Wallet(KeyRole.HOT, 0, "TJRabPrwbZy45sbavfcjinPJC18kjpRTv8")
OURS, FOREIGN = "TYsbWxNnyTgsZaTFaue9hqpxkU3Fkco94a", "TUoHaVjx7n5xz8LwPRDckgFrDWhMhuSuJM"


@dataclass
class Listening:
    """A signer's door that keeps what it heard: the seam where the signer's process begins."""

    heard: list[tuple[Wallet, ...]] = field(default_factory=list)

    async def sign(self, intent: Intent, plan: object, *, ours: Sequence[Wallet] = ()) -> Signed:
        del intent, plan
        self.heard.append(tuple(ours))
        return Signed("id", b"raw")


def intent(purpose: Purpose, *targets: str) -> Intent:
    payments = tuple(Payment(HOT, "trx-tron", target, "", 1) for target in targets)
    return Intent(uuid4(), "tron", purpose, HOT, payments, 1, datetime.now(UTC) + timedelta(hours=1))


@pytest.mark.parametrize("purpose", Purpose)
async def test_addresses_that_get_gas_are_named_with_the_places_of_their_keys(
    database: Database, purpose: Purpose
) -> None:
    async with database.transaction() as tx:
        await tx.execute(
            "insert into addresses (key_family, address, key_index, merchant_id, payin_id, purpose)"
            " values ('tron', $1, 7, $2, $2, 'deposit')",
            OURS,
            new_uuid7(),
        )
        await tx.execute(
            "insert into addresses (key_family, address, key_index, purpose) values ('tron', $1, 0, 'wallet')",
            HOT.address,
        )
    desk = Listening()
    signatory = Signatory(desk, database, REGISTRY.networks["tron"])
    assert await signatory.sign(intent(purpose, OURS, FOREIGN, HOT.address), object()) == Signed("id", b"raw")
    is_inward = purpose in {Purpose.GAS, Purpose.LEND, Purpose.RECALL}
    assert desk.heard == [(Wallet(KeyRole.DEPOSIT, 7, OURS),) if is_inward else ()]
