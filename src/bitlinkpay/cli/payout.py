"""`bitlinkpay payout`: money on its way to third parties, what a person decides about it, and the kill switches."""

import argparse
import asyncio
import getpass
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from bitlinkpay.app.networks import chains_of
from bitlinkpay.app.paying import payouts_of
from bitlinkpay.app.platform import Platform, open_platform
from bitlinkpay.chains.address import show_address
from bitlinkpay.cli import payout_terms
from bitlinkpay.cli.console import add_usual, find_deployment, show
from bitlinkpay.cli.naming import find_merchant
from bitlinkpay.core.errors import Invalid, NotFound
from bitlinkpay.core.ids import PayoutId, parse_id, show_id
from bitlinkpay.core.money import format_units
from bitlinkpay.db.driver import Tx
from bitlinkpay.payouts import store
from bitlinkpay.payouts.batch_file import parse_batch
from bitlinkpay.payouts.batches import Batches, LineResult, result_file, result_rows
from bitlinkpay.payouts.model import Payout, PayoutNotFound
from bitlinkpay.payouts.pages import store as pages
from bitlinkpay.payouts.service import waits
from bitlinkpay.sending.stops import store as stops
from bitlinkpay.sending.stops.store import Scope, Stop
from bitlinkpay.settings import Settings

_LIMIT = 1000
_EXIT_PARTLY: Final = 3


def run(parser: argparse.ArgumentParser, words: Sequence[str]) -> int:
    """List, show, approve, hold or reject payouts; set terms; stop and start them.

    Exit code 3 after a batch some of whose lines have no payout: 1 stays for one that asked for none at all.
    """
    actions = parser.add_subparsers(dest="action", required=True)
    listing = actions.add_parser("list", help="what waits for a review, or everything of a merchant")
    listing.add_argument("--merchant", default=None, help="broker id, merchant id or name")
    for name, text in (
        ("show", "where a payout stands, and what it waits for"),
        ("approve", "let a payout go that waits for a person"),
        ("hold", "stop a payout that is not signed yet until a person has looked"),
        ("reject", "refuse a payout that waits for a person; everything goes back"),
    ):
        one = actions.add_parser(name, help=text)
        one.add_argument("id", help="out_…, as `payout list` shows it")
        if name in {"hold", "reject"}:
            one.add_argument("--reason", required=True, help="what the merchant is told")
    batch = actions.add_parser("batch", help="ask for every payout of a CSV file; exit code 3 if a line has none")
    batch.add_argument("merchant", help="broker id, merchant id or name")
    batch.add_argument(
        "file", type=Path, help="CSV with the columns source_id, asset, address, amount and, if wanted, tag"
    )
    batch.add_argument("--out", type=Path, default=None, help="write the results there as CSV")
    payout_terms.add_words(actions.add_parser("terms", help="show or set a merchant's fee, limits and review limits"))
    for name, text in (("stop", "pay nothing of this any more"), ("start", "let payments go on")):
        switch = actions.add_parser(name, help=text)
        switch.add_argument("scope", choices=[scope.value for scope in Scope])
        switch.add_argument("subject", nargs="?", default="", help="network, asset or merchant; nothing for all")
        if name == "stop":
            switch.add_argument("--reason", default="stopped by an operator")
    actions.add_parser("stops", help="which kill switches are thrown")
    add_usual(actions)
    given = parser.parse_args(words)
    shown, code = asyncio.run(_run(find_deployment(given.data_dir), given))
    show(shown, as_json=given.json)
    return code


async def _run(settings: Settings, given: argparse.Namespace) -> tuple[object, int]:
    async with open_platform(settings) as platform:
        if given.action == "batch":
            results = await _batch(platform, given)
            return result_rows(results), _tell_left(results)
        return await _act(platform, given), 0


async def _act(platform: Platform, given: argparse.Namespace) -> object:
    match given.action:
        case "list":
            return await _list(platform, given.merchant)
        case "show":
            return (await _rows(platform, [await _find(platform, given.id)]))[0]
        case "approve" | "hold" | "reject":
            return (await _rows(platform, [await _decide(platform, given)]))[0]
        case "terms":
            return await payout_terms.set_or_show(platform, given)
        case _:
            return await _switch(platform, given)


async def _list(platform: Platform, merchant: str | None) -> list[dict[str, object]]:
    async with platform.database.reader() as tx:
        if merchant is None:
            found = await store.list_in_review(tx, _LIMIT)
        else:
            owner = await find_merchant(tx, merchant)
            found = await pages.list_newest(tx, owner.merchant_id, before=None, limit=_LIMIT)
    return await _rows(platform, found)


async def _find(platform: Platform, text: str) -> Payout:
    async with platform.database.reader() as tx:
        found = await store.find(tx, parse_id("out", text))
    if found is None:
        raise PayoutNotFound("id")
    return found


async def _decide(platform: Platform, given: argparse.Namespace) -> Payout:
    payout_id = PayoutId(parse_id("out", given.id))
    chains = chains_of(platform.settings, platform.registry, platform.database, platform.ring)
    payouts = payouts_of(platform, chains)
    operator = getpass.getuser()

    async def work(tx: Tx) -> Payout:
        if given.action == "approve":
            return await payouts.approve(tx, payout_id, by=operator)
        if given.action == "hold":
            return await payouts.hold(tx, payout_id, reason=given.reason, by=operator)
        return await payouts.reject(tx, payout_id, reason=given.reason, by=operator)

    try:
        return await platform.database.unit(work)
    finally:
        await asyncio.gather(*(chain.aclose() for chain in chains.values()))


async def _batch(platform: Platform, given: argparse.Namespace) -> Sequence[LineResult]:
    lines = parse_batch(_content(given.file))
    _check_out(given.out)
    async with platform.database.reader() as tx:
        merchant = await find_merchant(tx, given.merchant)
    chains = chains_of(platform.settings, platform.registry, platform.database, platform.ring)
    batches = Batches(platform.database, payouts_of(platform, chains), platform.registry)
    try:
        results = await batches.run(merchant, lines, maker=getpass.getuser())
    finally:
        await asyncio.gather(*(chain.aclose() for chain in chains.values()))
    if given.out:
        given.out.write_bytes(result_file(results))
    return results


def _tell_left(results: Sequence[LineResult]) -> int:
    """Say on stderr how many lines have no payout that we know of; return the exit code."""
    left = sum(result.payout is None for result in results)
    if not left:
        return 0
    told = f"{left} of {len(results)} lines have no payout: their results say why"
    print(f"bitlinkpay: {told}", file=sys.stderr)
    return _EXIT_PARTLY


def _content(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise Invalid(f"{file} can't be read: {error.strerror}", param="file") from None


def _check_out(out: Path | None) -> None:
    """Refuse a file that can't be written before anything is paid."""
    try:
        if out is not None:
            out.open("ab").close()
    except OSError as error:
        raise Invalid(f"{out} can't be written: {error.strerror}", param="out") from None


async def _switch(platform: Platform, given: argparse.Namespace) -> list[dict[str, object]]:
    async def work(tx: Tx) -> list[Stop]:
        if given.action != "stops":
            scope = Scope(given.scope)
            subject = await _subject(tx, platform, scope, given.subject)
            if given.action == "stop":
                await stops.add(tx, Stop(scope, subject, given.reason, platform.clock.now()))
            elif not await stops.remove(tx, scope, subject):
                raise NotFound("this is not stopped; see `bitlinkpay payout stops`")
        return await stops.list_all(tx)

    found = await platform.database.unit(work)
    return [
        {"scope": stop.scope, "subject": stop.subject, "reason": stop.reason, "since": stop.since.isoformat()}
        for stop in found
    ]


async def _subject(tx: Tx, platform: Platform, scope: Scope, text: str) -> str:
    match scope:
        case Scope.ALL if text:
            raise Invalid(f"`all` takes nothing after it; name what {text[:80]!r} is: network, asset or merchant")
        case Scope.ALL:
            return ""
        case Scope.NETWORK:
            return platform.registry.network(text).id
        case Scope.ASSET:
            return platform.registry.asset(text).id
        case Scope.MERCHANT:
            return str((await find_merchant(tx, text)).merchant_id)


async def _rows(platform: Platform, found: Sequence[Payout]) -> list[dict[str, object]]:
    async with platform.database.reader() as tx:
        waiting = await waits(tx, found)
    return [payout_row(platform, payout, waiting.get(payout.payout_id, "")) for payout in found]


def payout_row(platform: Platform, payout: Payout, waits_for: str = "") -> dict[str, object]:
    """Return what is shown of a payout."""
    asset = platform.registry.asset(payout.asset)
    network = platform.registry.networks[asset.network]
    return {
        "id": show_id("out", payout.payout_id),
        "kind": payout.kind,
        "source_id": payout.source_id,
        "state": payout.state,
        "asset": payout.asset,
        "amount": format_units(payout.units, asset.decimals),
        "fees": format_units(payout.charge.units, asset.decimals),
        "address": show_address(network, payout.target),
        "tag": payout.tag,
        "txid": payout.txid,
        "reason": payout.reason,
        "waits_for": waits_for,
        "created_at": payout.created_at.isoformat(),
    }
