import asyncio
from collections.abc import AsyncIterator

import pytest
from tests.support.clock import ManualClock
from tests.web.checkout.shop import OPENED, Shop, order

from bitlinkpay.core.errors import Unavailable
from bitlinkpay.core.ids import PayinId
from bitlinkpay.web.checkout.figures import epoch_ms
from bitlinkpay.web.checkout.stream import Streams, TooManyStreams

NOW_MS = epoch_ms(OPENED)


def streams_of(shop: Shop, **settings: float) -> Streams:
    return Streams(shop, ManualClock(OPENED), **settings)


async def test_a_change_reaches_the_page_at_once() -> None:
    shop = Shop()
    view = shop.add(order())
    events = streams_of(shop).follow(view.payin_id)
    assert await anext(events) == f"retry: 2000\n\nevent: beat\ndata: {NOW_MS}\n\n".encode()
    waiting = asyncio.ensure_future(anext(events))
    await asyncio.sleep(0.01)
    assert not waiting.done()
    shop.change(view)
    assert await asyncio.wait_for(waiting, 60) == f"event: change\ndata: {NOW_MS}\n\n".encode()
    await events.aclose()


async def test_silence_is_filled_with_the_servers_time() -> None:
    shop = Shop()
    view = shop.add(order())
    events = streams_of(shop, beat_s=0.01, beats=3).follow(view.payin_id)
    assert [event.split(b"\n")[-4] for event in [e async for e in events]] == [b"event: beat"] * 4


async def test_changes_before_the_page_hears_of_one_count_as_one() -> None:
    shop = Shop()
    view = shop.add(order())
    events = streams_of(shop, beat_s=0.05, beats=1).follow(view.payin_id)
    await anext(events)
    await asyncio.sleep(0)
    for _ in range(50):
        shop.change(view)
    rest = [event.split(b"\n")[0] async for event in events]
    assert rest == [b"event: change", b"event: beat"]


async def test_a_closed_stream_leaves_nothing_behind() -> None:
    shop = Shop()
    view = shop.add(order())
    streams = streams_of(shop)
    events = streams.follow(view.payin_id)
    await anext(events)
    await asyncio.sleep(0)
    assert len(shop.listeners[view.payin_id]) == 1
    await events.aclose()
    await asyncio.sleep(0.01)
    assert shop.listeners[view.payin_id] == []
    assert streams._open == 0


async def test_a_cancelled_page_leaves_nothing_behind() -> None:
    shop = Shop()
    view = shop.add(order())
    streams = streams_of(shop)

    async def watch() -> None:
        async for _ in streams.follow(view.payin_id):
            pass

    page = asyncio.ensure_future(watch())
    await asyncio.sleep(0.01)
    page.cancel()
    await asyncio.gather(page, return_exceptions=True)
    await asyncio.sleep(0.01)
    assert (shop.listeners[view.payin_id], streams._open) == ([], 0)


async def test_streams_have_a_limit() -> None:
    shop = Shop()
    view = shop.add(order())
    streams = streams_of(shop, limit=1)
    first = streams.follow(view.payin_id)
    await anext(first)
    with pytest.raises(TooManyStreams):
        streams.follow(view.payin_id)
    await first.aclose()
    again = streams.follow(view.payin_id)
    await anext(again)
    await again.aclose()


class Broken(Shop):
    """A platform whose notifications end, kindly or not."""

    def __init__(self, error: Exception | None) -> None:
        super().__init__()
        self.error = error

    async def changes(self, payin_id: PayinId) -> AsyncIterator[None]:
        yield
        if self.error:
            raise self.error


@pytest.mark.parametrize("error", [None, Unavailable("no database")])
async def test_a_stream_ends_when_the_platform_stops_telling(error: Exception | None) -> None:
    shop = Broken(error)
    view = shop.add(order())
    events = [event async for event in streams_of(shop).follow(view.payin_id)]
    assert len(events) == 1
