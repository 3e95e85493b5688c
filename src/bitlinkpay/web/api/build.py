"""The REST API put together from the platform's services."""

from collections.abc import Sequence
from dataclasses import dataclass

from bitlinkpay.chains.registry import Registry
from bitlinkpay.core.clock import Clock
from bitlinkpay.core.mode import Mode
from bitlinkpay.db.pool import Database
from bitlinkpay.payins.service import Payins
from bitlinkpay.payouts.service import Payouts
from bitlinkpay.sandbox.actions import SandboxActions
from bitlinkpay.settlements.addresses.service import Homes
from bitlinkpay.settlements.rules.service import Rules
from bitlinkpay.settlements.service import Settlements
from bitlinkpay.web.api.addresses import Addresses
from bitlinkpay.web.api.app import ApiApp
from bitlinkpay.web.api.books import Books
from bitlinkpay.web.api.callbacks import Callbacks
from bitlinkpay.web.api.deeds import Deeds
from bitlinkpay.web.api.events import Events
from bitlinkpay.web.api.gate import Gate
from bitlinkpay.web.api.homes import HomeDesk
from bitlinkpay.web.api.openapi import document_of, encode_document
from bitlinkpay.web.api.operations import Operation
from bitlinkpay.web.api.orders import Orders
from bitlinkpay.web.api.payouts import PayoutDesk
from bitlinkpay.web.api.sandbox import SandboxDesk
from bitlinkpay.web.api.settlements import SettlementDesk
from bitlinkpay.web.api.shop import Shop
from bitlinkpay.web.api.statements import Statements
from bitlinkpay.web.api.unassigned import OddMoney
from bitlinkpay.web.wm.body import BodyLimits
from bitlinkpay.web.wm.shapes import OrderUrl
from bitlinkpay.webhooks.policy import UrlPolicy


@dataclass(frozen=True, slots=True)
class Services:
    """What the API needs of the platform.

    Attributes:
        urls: what callback URLs may name.
        order_url: the hosted page of an order.
        clock: business time.
        wall: the wall clock, which dates answers.
        sandbox: what may be done to the simulated world, None where it is real.
    """

    database: Database
    registry: Registry
    payins: Payins
    payouts: Payouts
    settlements: Settlements
    rules: Rules
    homes: Homes
    mode: Mode
    urls: UrlPolicy
    order_url: OrderUrl
    clock: Clock
    wall: Clock
    sandbox: SandboxActions | None = None


def operations_of(services: Services) -> Sequence[Operation]:
    """Return everything that may be asked."""
    database, registry, payouts, mode = services.database, services.registry, services.payouts, services.mode
    clock, wall = services.clock, services.wall
    deeds = Deeds(database, wall)
    return [
        *Shop(database, registry, services.payins, mode, wall).operations(),
        *Orders(database, registry, services.payins, deeds, mode, services.urls, services.order_url, wall).operations(),
        *OddMoney(database, registry, payouts, deeds, mode, clock).operations(),
        *PayoutDesk(database, registry, payouts, deeds, mode, services.urls, clock, wall).operations(),
        *Addresses(database, registry, payouts).operations(),
        *SettlementDesk(database, registry, services.settlements, services.rules, deeds).operations(),
        *HomeDesk(database, registry, services.homes, deeds, clock).operations(),
        *Books(database, registry).operations(),
        *Statements(database, registry).operations(),
        *Callbacks(database, deeds, clock).operations(),
        *Events(database).operations(),
        *SandboxDesk(database, services.sandbox).operations(),
    ]


def build_api(gate: Gate, services: Services, *, limits: BodyLimits | None = None) -> ApiApp:
    """Return the API behind a gate."""
    operations = operations_of(services)
    return ApiApp(gate, operations, encode_document(document_of(operations)), wall=services.wall, limits=limits)
