"""`bitlinkpay statement`: a merchant's day for people, as JSON and as CSV."""

import csv
import json
from datetime import UTC, datetime, timedelta
from io import StringIO

import pytest
from tests.cli.deployment import ASSET, Deployment


@pytest.fixture
def shop(sandbox: Deployment) -> Deployment:
    """A merchant who was paid 10 USDT today."""
    sandbox.merchant("Corner Shop")
    sandbox.order()
    sandbox.pay()
    return sandbox


def today() -> str:
    return datetime.now(UTC).date().isoformat()


def test_a_day_is_shown_with_its_movements(shop: Deployment) -> None:
    [found] = shop.json("statement", "show", "Corner Shop")
    assert (found["asset"], found["day"], found["closed"], found["fees"]) == (ASSET, today(), False, "0.03")
    assert found["closing"]["available"] == "9.97"
    assert sum(float(one["change"]["available"]) for one in found["movements"]) == pytest.approx(9.97)
    assert shop.json("statement", "show", "Corner Shop", "--asset", ASSET, "--day", today()) == [found]
    assert shop.json("statement", "show", "Corner Shop", "--asset", "btc-bitcoin") == []
    assert shop.json("statement", "show", "Corner Shop", "--day", "2020-01-01") == []
    said = shop.say("statement", "show", "Corner Shop").out
    assert "opening" in said
    assert "closing" in said


def test_a_range_of_days_is_exported(shop: Deployment) -> None:
    words = ("statement", "export", "Corner Shop", "--day", today())
    [found] = json.loads(shop.say(*words, "--format", "json").out)
    assert found == shop.json("statement", "show", "Corner Shop")[0]
    rows = list(csv.DictReader(StringIO(shop.say(*words).out)))
    assert [rows[0]["row"], rows[-1]["row"], rows[-1]["available"]] == ["opening", "closing", "9.97"]
    yesterday = (datetime.now(UTC).date() - timedelta(days=1)).isoformat()
    ranged = shop.say("statement", "export", "Corner Shop", "--day", yesterday, "--to", today()).out
    assert list(csv.DictReader(StringIO(ranged))) == rows


def test_the_postings_behind_a_day_are_exported(shop: Deployment) -> None:
    words = ("statement", "export", "Corner Shop", "--postings")
    rows = list(csv.DictReader(StringIO(shop.say(*words).out)))
    [found] = json.loads(shop.say(*words, "--format", "json").out)
    assert [row["posting"] for row in rows] == [one["posting"] for one in found["postings"]]
    assert len(rows) == sum(one["postings"] for one in found["movements"])


def test_a_file_is_written_once(shop: Deployment) -> None:
    target = shop.folder / "day.csv"
    words = ("statement", "export", "Corner Shop", "--out", str(target))
    assert shop.say(*words).out == ""
    assert target.read_text().startswith("merchant_id,")
    assert "exists already" in shop.refusal(*words)


def test_what_cannot_be_shown_is_one_line(shop: Deployment) -> None:
    assert "up to today" in shop.refusal("statement", "show", "Corner Shop", "--day", "2999-01-01")
    assert "1 to 366 days" in shop.refusal(
        "statement", "export", "Corner Shop", "--day", "2020-01-02", "--to", "2020-01-01"
    )
    shop.refusal("statement", "show", "Nobody")
    shop.refusal("statement", "show", "Corner Shop", "--asset", "x")
    with pytest.raises(SystemExit):
        shop.say("statement", "show", "Corner Shop", "--day", "01/02/2026")
