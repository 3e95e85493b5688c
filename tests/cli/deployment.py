"""A deployment's folder on the test run's database, its commands called in this process, its workers stepped by hand."""

import asyncio
import json
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from decimal import Decimal
from functools import partial
from pathlib import Path
from uuid import UUID, uuid4

import asyncpg
import pytest
from tests.flows.harness import Inbox, Lists
from tests.support.authority import envelope_pem

from bitlinkpay.app.networks import chains_of
from bitlinkpay.app.platform import Platform, open_platform
from bitlinkpay.app.sightings import sightings_of
from bitlinkpay.cli.main import main
from bitlinkpay.cli.naming import find_merchant
from bitlinkpay.payins.clearing import Clearing
from bitlinkpay.payins.events import EVENT_KINDS
from bitlinkpay.payins.model import NewOrder, Payin
from bitlinkpay.payins.reconciling import Reconciling
from bitlinkpay.risk.service import Screening
from bitlinkpay.settings import load_running
from bitlinkpay.signer.files import make_private_folder, write_new
from bitlinkpay.webhooks.model import Answer
from bitlinkpay.webhooks.relay import Relay
from bitlinkpay.webhooks.subscriber import delivery_of, fan_out
from bitlinkpay.workers.watcher import Parts, Watcher

NETWORK = "tron"
ASSET = "usdt-tron"


class EveryAddress(set):
    """A list that everybody is on."""

    def __contains__(self, address: object) -> bool:
        return True


@dataclass
class Said:
    """What a command printed, and its exit code."""

    code: int
    out: str
    err: str


def say(capsys: pytest.CaptureFixture[str], *words: str) -> Said:
    """Run a command in this process, and only what is given."""
    capsys.readouterr()
    code = main(words)
    out, err = capsys.readouterr()
    return Said(code, out, err)


@dataclass
class Deployment:
    folder: Path
    owner_dsn: str
    capsys: pytest.CaptureFixture[str]
    lists: Lists = field(default_factory=Lists)
    inbox: Inbox = field(default_factory=Inbox)
    token: UUID = field(default_factory=uuid4)  # one holder of the watcher's lease from step to step

    def say(self, *words: str) -> Said:
        """Run a command as `bitlinkpay` would, in this process."""
        return say(self.capsys, *words, "--data-dir", str(self.folder))

    def json(self, *words: str) -> object:
        said = self.say(*words, "--json")
        assert (said.code, said.err) == (0, ""), said
        assert said.out.count("\n") == 1
        return json.loads(said.out)

    def refusal(self, *words: str) -> str:
        """Run a command that must fail: nothing on stdout, one line on stderr, exit code 1."""
        said = self.say(*words)
        assert (said.code, said.out) == (1, ""), said
        assert said.err.startswith("bitlinkpay: ")
        assert said.err.count("\n") == 1, said.err
        return said.err.removeprefix("bitlinkpay: ").strip()

    def partly(self, *words: str) -> tuple[object, str]:
        """Run a command that must do a part only: all results on stdout, one line on stderr, exit code 3."""
        said = self.say(*words, "--json")
        assert (said.code, said.err.count("\n")) == (3, 1), said
        return json.loads(said.out), said.err.removeprefix("bitlinkpay: ").strip()

    def merchant(self, name: str = "Corner Shop", *words: str) -> dict:
        keys = self.folder / "keys"
        make_private_folder(keys)
        if not (keys / "envelope.key").exists():  # the command would take a tenth of a second of a core for it
            write_new(keys / "envelope.key", envelope_pem())
        return self.json("merchant", "create", name, "--out", str(self.folder / name), *words)

    def act(self, work: Callable[[Platform], Coroutine[object, object, object]]) -> object:
        async def run() -> object:
            async with open_platform(load_running(self.folder)) as platform:
                return await work(platform)

        return asyncio.run(run())

    def order(
        self, source_id: str = "order-1", *, merchant: str = "Corner Shop", amount: str = "10", asset_id: str = ASSET
    ) -> Payin:
        """Open an order as the merchant API does."""

        async def work(platform: Platform) -> Payin:
            async with platform.database.reader() as tx:
                owner = await find_merchant(tx, merchant)
            asset = platform.registry.assets[asset_id]
            new = NewOrder(owner, source_id, asset, Decimal(72), f"{asset.symbol}/CNY", None, Decimal(amount), "", "")
            draft = await platform.payins.prepare(new)
            [opened] = await platform.database.unit(lambda tx: platform.payins.open_many(tx, [draft]))
            assert isinstance(opened, Payin), opened
            return opened

        return self.act(work)

    def follow(self, network: str = NETWORK) -> None:
        """Let watcher, events and callbacks come to rest."""
        self.act(partial(self._follow, network))

    async def _follow(self, network: str, platform: Platform) -> None:
        chain = chains_of(platform.settings, platform.registry, platform.database, platform.ring)[network]
        same = {"database": platform.database, "registry": platform.registry, "chain": chain, "clock": platform.clock}
        screener = Screening([self.lists], platform.clock)
        clearing, reconciling = Clearing(**same, screener=screener), Reconciling(**same)
        watcher = Watcher(
            Parts(
                **same,
                payins=platform.payins,
                clearing=clearing,
                reconciling=reconciling,
                sightings=sightings_of(platform, chain),
            )
        )
        watcher._token = self.token
        for _ in range(200):
            if not await watcher.step():
                break
        while await fan_out(platform.database, dict.fromkeys(EVENT_KINDS, delivery_of)):
            pass
        await Relay(platform.database, self.inbox, self._secrets, clock=platform.clock, jitter=lambda: 0).run_once()

    async def _secrets(self, tx: object, merchant_ids: object) -> dict:
        return {merchant_id: ["whsec_" + "QUJD" * 8] for merchant_id in merchant_ids}

    def mine(self, blocks: int = 30, network: str = NETWORK) -> None:
        """Mine what waits and as much more as makes it final, and let the platform follow."""
        self.json("sandbox", "mine", network, str(blocks))
        self.follow(network)

    def pay(self, source_id: str = "order-1", *words: str) -> dict:
        paid = self.json("sandbox", "pay", source_id, *words)
        self.mine()
        return paid

    def sql(self, words: str) -> None:
        """Change something as the owner of the tables, past every guard."""

        async def run() -> None:
            connection = await asyncpg.connect(self.owner_dsn)
            try:
                await connection.execute(words)
            finally:
                await connection.close()

        asyncio.run(run())


@dataclass
class DownInbox(Inbox):
    """A merchant's endpoint that answers 500."""

    async def post(self, url: str, headers: object, body: bytes) -> Answer:
        self.bodies.append({})
        return Answer(500, {}, b"down")
