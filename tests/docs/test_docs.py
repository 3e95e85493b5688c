"""The documents say what is: links lead somewhere, commands and settings exist, tables equal the code, examples compute."""

import base64
import hashlib
import re
import secrets
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from decimal import Decimal
from pathlib import Path

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key

from bitlinkpay import settings
from bitlinkpay.chains.outgoing import Purpose
from bitlinkpay.chains.registry import load_registry
from bitlinkpay.cli.main import COMMANDS, main
from bitlinkpay.core.errors import Kind
from bitlinkpay.ledger.invariants import LEDGER
from bitlinkpay.merchants.api_keys.signing import SignedText, ed25519_signer, hmac_signer, write_signature
from bitlinkpay.merchants.model import STANDARD_FEE_PPM
from bitlinkpay.payins.invariants import PAYINS
from bitlinkpay.payins.pricing import parse_symbol, price
from bitlinkpay.payouts.invariants import PAYOUTS
from bitlinkpay.rates.sources import SANDBOX_FIAT, SANDBOX_USD
from bitlinkpay.settlements.invariants import SETTLEMENTS
from bitlinkpay.signer.policy import file as policy_file
from bitlinkpay.statements.invariants import STATEMENTS
from bitlinkpay.web.errors import WM_CODE
from bitlinkpay.webhooks.schedule import OFFSETS
from bitlinkpay.wm.answers import DepositCallback, OrderCreated, OrderDetail, PreOrderCreated
from bitlinkpay.wm.envelope import EnvelopeKey, Opened, open_envelope, read_headers, seal_envelope
from bitlinkpay.wm.ids import DEPOSIT_STATUS_DESC, OuterCode, Route

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
API = (ROOT / "docs" / "api.md").read_text()
OPERATIONS = (ROOT / "docs" / "operations.md").read_text()
FILTERS = "query `+` is written `%2B`."
SOURCE = [path.read_text() for path in (ROOT / "src").rglob("*.py")]

IDS = {path: str(path.relative_to(ROOT)) for path in DOCUMENTS}
documents = pytest.mark.parametrize("document", DOCUMENTS, ids=IDS.get)


def slug(heading: str) -> str:
    """The anchor that a heading gets on the usual forges."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def anchors(document: Path) -> set[str]:
    return {slug(heading) for heading in re.findall(r"^#+ (.+)$", document.read_text(), re.MULTILINE)}


def rows(text: str, *, after: str = "") -> Iterator[list[str]]:
    """The rows of the first table after a heading, without its head."""
    part = text.split(f"\n{after}\n", 1)[1] if after else text
    table = next(re.finditer(r"(?:^\|.*\n)+", part, re.MULTILINE)).group().splitlines()
    for line in table[2:]:
        yield [cell.strip() for cell in line.strip().strip("|").split("|")]


def words_of(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


@documents
def test_every_link_leads_somewhere(document: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", document.read_text()):
        assert not target.startswith("http"), f"{target}: nothing outside is needed to read the documents"
        name, _, anchor = target.partition("#")
        found = (document.parent / name).resolve() if name else document
        assert found.exists(), f"{IDS[document]} leads to {target}"
        assert not anchor or anchor in anchors(found), f"{IDS[document]} leads to {target}"


@documents
def test_every_file_that_is_named_exists(document: Path) -> None:
    for name in re.findall(r"`((?:src|docs|tests|tools|bench|requirements)/[\w./-]*)`", document.read_text()):
        assert (ROOT / name).exists(), name


def test_the_layers_are_those_of_the_contract() -> None:
    contract = re.search(r"^layers = \[\n(.*?)^\]", (ROOT / "pyproject.toml").read_text(), re.DOTALL | re.MULTILINE)[1]
    drawn = re.search(r"^ {4}cli → (?:.|\n)*?core$", (ROOT / "ARCHITECTURE.md").read_text(), re.MULTILINE).group()
    assert [layer.strip() for layer in re.sub(r"\s+", " ", drawn).split("→")] == re.findall(r'"([^"]+)"', contract)


def test_the_imports_of_every_sample_work() -> None:
    samples = re.findall(r"^ {4}(from [\w.]+ import [\w, ]+)", "".join(d.read_text() for d in DOCUMENTS), re.MULTILINE)
    assert len(samples) >= 4
    exec("\n".join(samples), {})


# --- commands


def command_lines(text: str) -> Iterator[list[str]]:
    """Every `bitlinkpay …` of a document, in a block or in a line, as words."""
    for line in re.findall(r"(?:^ {4}(?:\$ )?|`)(bitlinkpay [^`\n]*)", text, re.MULTILINE):
        words = line.split("  #")[0].split()[1:]
        if words and re.fullmatch(r"[a-z-]+|--[a-z-]+", words[0]):
            yield words


def help_of(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    capsys.readouterr()
    with pytest.raises(SystemExit) as ended:
        main([*words, "--help"])
    assert ended.value.code == 0, f"no command {' '.join(words)}"
    return capsys.readouterr().out


def actions_of(capsys: pytest.CaptureFixture[str], command: str) -> list[str]:
    usage = re.sub(r"\[[^\]]*\]", "", help_of(capsys, command).split("\n\n", 1)[0])
    found = re.search(r"\{([a-z,\s-]+)\}", usage)
    return re.sub(r"\s", "", found[1]).split(",") if found else []


@documents
def test_every_command_and_option_exists(document: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for words in command_lines(document.read_text()):
        if words[0].startswith("--"):
            assert main(words[:1]) == 0
            continue
        assert words[0] in COMMANDS, words
        path = words[:1]
        actions = actions_of(capsys, words[0])
        if actions and len(words) > 1:
            assert words[1] in actions, words
            path = words[: 3 if words[1:2] == ["api-key"] else 2]
        shown = help_of(capsys, *path)
        for option in (word for word in words if word.startswith("--")):
            assert re.search(rf"{option}\b", shown), f"{' '.join(path)} has no {option}"


def test_every_command_has_its_place_in_the_operators_page(capsys: pytest.CaptureFixture[str]) -> None:
    named = {(words[0], words[1]) for words in command_lines(OPERATIONS + API) if len(words) > 1}
    for command in set(COMMANDS) - {"demo"}:  # the demo stands in README
        assert command in {words[0] for words in command_lines(OPERATIONS + API)}, command
        for action in actions_of(capsys, command):
            hidden = (command, action) in {("signer", "ensure"), ("signer", "init")}
            assert hidden or (command, action) in named, f"{command} {action}"


def test_the_options_of_a_policy_are_explained(capsys: pytest.CaptureFixture[str]) -> None:
    offered = set(re.findall(r"(--[a-z-]+)", help_of(capsys, "merchant", "set-policy"))) - {
        "--help",
        "--data-dir",
        "--json",
    }
    explained = {option for option in offered if f"`{option}" in OPERATIONS}
    assert explained == offered


# --- settings


def keys_of(kind: object, prefix: str = "") -> Iterator[str]:
    for field in fields(kind) if is_dataclass(kind) else msgspec.structs.fields(kind):
        path = f"{prefix}{field.name}"
        if field.name == "networks":
            yield from keys_of(settings.NetworkSettings, f"{path}.<id>.")
        else:
            nested = {
                "wm": settings.Address,
                "web": settings.Address,
                "database": settings.DatabaseSettings,
                "callbacks": settings.CallbackSettings,
                "rates": settings.RateSettings,
                "sandbox": settings.SandboxSettings,
                "settlements": settings.SettlementSettings,
            }.get(path)
            yield from keys_of(nested, f"{path}.") if nested else [path]


def test_every_setting_is_explained_and_no_other() -> None:
    explained = {word for row in rows(OPERATIONS, after="## Settings") for word in words_of(row[0])}
    assert explained == set(keys_of(settings._File))


def test_every_key_of_the_signer_s_policy_is_explained() -> None:
    explained = {
        word.split(".")[0] for row in rows(OPERATIONS, after="## The signer's policy") for word in words_of(row[0])
    }
    assert explained == {field.name for field in msgspec.structs.fields(policy_file._File)}
    purposes = next(row for row in rows(OPERATIONS, after="## The signer's policy") if row[0] == "`purposes`")
    assert set(words_of(purposes[1])) == set(Purpose)


def test_every_variable_of_the_environment_is_explained() -> None:
    read = {name for text in SOURCE for name in re.findall(r'"(BITLINKPAY_[A-Z_]+)"', text)}
    assert read == {words_of(row[0])[0] for row in rows(OPERATIONS, after="## Environment")}


def test_examples_of_registry_and_settings_are_sound(tmp_path: Path) -> None:
    examples = re.findall(r"```toml\n(.*?)```", OPERATIONS, re.DOTALL)
    assert len(examples) >= 5
    path = tmp_path / "bitlinkpay.toml"
    for example in examples:
        path.write_text(example.replace('"0x…"', '"0x' + "ab" * 32 + '"'))
        if "[assets." in example:
            load_registry(path)
        else:
            settings.load_settings(tmp_path)


def test_every_invariant_has_advice() -> None:
    table = list(rows(OPERATIONS.split("`ledger check` runs every invariant", 1)[1]))
    assert sorted(word for row in table for word in words_of(row[0])) == sorted(
        invariant.name for invariant in (*LEDGER, *PAYINS, *PAYOUTS, *SETTLEMENTS, *STATEMENTS)
    )


# --- the merchant API


def test_the_routes_are_those_of_the_code() -> None:
    assert set(re.findall(r"POST (/v1/[\w/-]+)", API)) == {route.value for route in Route}


def test_the_outer_codes_are_those_of_the_code() -> None:
    table = {int(row[0]): row[1] for row in rows(API, after="### Outer codes")}
    assert table == {int(code): code.name for code in OuterCode}


def test_the_inner_codes_are_those_of_the_code() -> None:
    table = {row[1]: int(row[0]) for row in rows(API, after="### Inner codes")}
    assert table == {kind.value: code for kind, code in WM_CODE.items()}
    assert set(table) == {kind.value for kind in Kind}


def test_the_words_of_refusals_exist() -> None:
    used = {code for text in SOURCE for code in re.findall(r'code(?:: ClassVar\[str\])? = "([a-z_]+\.[a-z_]+)"', text)}
    words = [word for row in rows(API, after="### Inner codes") for word in words_of(row[2])]
    assert len(words) >= 15
    assert set(words) <= used


def test_the_statuses_are_those_of_the_code() -> None:
    table = {int(row[0]): row[1] for row in rows(API, after="## Statuses")}
    assert table == {int(status): text for status, text in DEPOSIT_STATUS_DESC.items()}


def test_networks_and_coins_are_those_of_the_registry() -> None:
    registry = load_registry()
    table = list(rows(API, after="## Networks and coins"))
    assert {(int(row[0]), row[1]) for row in table} == {(n.wm_chain_id, n.title) for n in registry.networks.values()}
    assert {(int(row[3]), row[4]) for row in table} == {(a.wm_coin_id, a.symbol) for a in registry.assets.values()}
    assert len(registry.assets) == 15
    assert "fifteen assets" in OPERATIONS


@pytest.mark.parametrize(
    ("heading", "kind"),
    [
        ("order/create", OrderCreated),
        ("pre-order/create", PreOrderCreated),
        ("order/detail", OrderDetail),
        ("Callbacks", DepositCallback),
    ],
)
def test_the_example_answers_have_every_field(heading: str, kind: type) -> None:
    part = API.split(f"\n## {heading}\n", 1)[1].split("\n## ", 1)[0]
    example = re.findall(
        r"^ {4}(\{\"source_id\":[^}]*\"(?:url|pay_url|status_desc)\":\"[^\"]*\"\})", part, re.MULTILINE
    )
    shown = msgspec.json.decode(example[-1])
    assert set(shown) == {field.name for field in fields(kind)}
    if "status" in shown:
        assert DEPOSIT_STATUS_DESC[shown["status"]] == shown["status_desc"]


async def test_the_table_of_amounts_computes() -> None:
    registry = load_registry()
    usd = {**SANDBOX_USD, **{code: 1 / value for code, value in SANDBOX_FIAT.items()}}

    async def market(base: str, quote: str) -> Decimal:
        rate = usd[base] / usd[quote]
        return Decimal(f"{rate:.12g}")

    tried = 0
    for sent, _, shown in rows(API.split("**The amount** is", 1)[1]):
        given = words_of(sent)
        coin = "ETH" if "ETH" in sent else "USDT"
        named = dict(re.findall(r"`(exchange_rate|amount)` ([\d.]+)", sent))
        if not (answer := re.fullmatch(r"`([\d.]+)`", shown)):
            continue
        asset = registry.by_symbol(coin)[0]
        asked = await price(
            asset,
            symbol=parse_symbol(given[1], coin),
            fiat_amount=Decimal(given[0]),
            exchange_rate=Decimal(named["exchange_rate"]) if "exchange_rate" in named else None,
            amount=Decimal(named["amount"]) if "amount" in named else None,
            fee_ppm=STANDARD_FEE_PPM,
            market=market,
        )
        assert Decimal(asked.units).scaleb(-asset.decimals) == Decimal(answer[1]), sent
        tried += 1
    assert tried == 6


def test_the_envelope_of_the_worked_example_computes() -> None:
    part = API.split("A worked example.", 1)[1].split("\n## ", 1)[0]
    secret, broker, ts_ms, nonce = words_of(part.split("this JSON text", 1)[0])
    plaintext = re.search(r"^ {4}(\{.*\})$", part, re.MULTILINE)[1].encode()
    aes_key, body, digest, sign = (words_of(row[1])[0] for row in rows(part))
    key = generate_private_key(public_exponent=65537, key_size=2048)
    sealed = seal_envelope(key.public_key(), broker, plaintext, ts_ms=int(ts_ms), nonce=nonce, secret=secret.encode())
    assert aes_key == hashlib.sha256(secret.encode()).hexdigest()
    assert body == sealed.body.decode()
    assert digest == hashlib.sha256(plaintext + f"{broker}{ts_ms}{nonce}".encode()).hexdigest()
    assert sign == digest[16:48] == sealed.headers["w-sign"]
    headers = read_headers([(name.encode(), value.encode()) for name, value in sealed.headers.items()])
    opened = open_envelope(EnvelopeKey(key), headers, body.encode())
    assert isinstance(opened, Opened)
    assert opened.plaintext == plaintext


def test_the_rest_operations_are_those_of_the_document() -> None:
    document = msgspec.json.decode((ROOT / "docs" / "openapi.json").read_bytes())
    made = {
        (method.upper(), path): set(re.findall("payin|payout|read", operation["description"]))
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    }
    table = {
        (words_of(row[0])[0], words_of(row[1])[0]): set(row[2].split(", "))
        for row in rows(API, after="### REST operations")
    }
    assert table == made


def test_the_filters_are_those_of_the_document() -> None:
    """All but where a page begins, how long it is, and the two ends of a time, which stand in a column of their own."""
    document = msgspec.json.decode((ROOT / "docs" / "openapi.json").read_bytes())
    table = {row[0]: (set(words_of(row[1])) - {"available", "debt"}, bool(row[2])) for row in rows(API, after=FILTERS)}
    for name, (filters, is_timed) in table.items():
        asked = {one["name"] for one in document["paths"][f"/v1/{name}"]["get"]["parameters"] if one["in"] == "query"}
        assert asked - {"limit", "cursor"} == filters | ({"since", "until"} if is_timed else set()), name
    paged = {
        path.removeprefix("/v1/")
        for path, methods in document["paths"].items()
        if {"limit", "cursor"} <= {one["name"] for one in methods.get("get", {}).get("parameters", [])}
    }
    assert paged == table.keys() | {"events"}


def test_the_signatures_of_the_worked_example_compute() -> None:
    part = API.split("### Signing requests", 1)[1].split("\n### ", 1)[0]
    body = re.search(r"For the body `(.*?)`:", part)[1].encode()
    method, target, sent, nonce, digest = re.findall(r"^ {4}(\S+)$", part, re.MULTILINE)
    assert digest == hashlib.sha256(body).hexdigest()
    text = SignedText(method, target, sent, nonce, body).encode()
    shared, own = rows(part.split(digest, 1)[1])
    assert words_of(shared[1])[0] == write_signature(hmac_signer(words_of(shared[0])[0])(text))
    key = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
    assert words_of(own[1])[0] == write_signature(ed25519_signer(key)(text))


def test_the_sample_that_verifies_callbacks_works() -> None:
    sample: dict[str, object] = {}
    exec(re.search(r"```python\n(.*?)```", API, re.DOTALL)[1], sample)  # the documents' own code is what is tested
    verify = sample["verify"]
    secret, message_id, moment, body, signature = words_of(API.split("A vector: secret", 1)[1].split("\n\n", 1)[0])
    headers = {"webhook-id": message_id, "webhook-timestamp": moment, "webhook-signature": f"v1,xx {signature}"}
    assert verify(secret, headers, body.encode(), now=int(moment) + 299)
    assert not verify(secret, headers, body.encode(), now=int(moment) + 301)
    assert not verify(secret, headers, body.encode() + b" ", now=int(moment))
    assert not verify(
        "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode(), headers, body.encode(), now=int(moment)
    )


def test_the_schedule_of_callbacks_is_that_of_the_code() -> None:
    text = re.search(r"\*\*Tries\*\* follow (.*?) hours after", API, re.DOTALL)[1]
    unit = {"s": 1, "min": 60, "": 3600}
    told = [int(count) * unit[name] for count, name in re.findall(r"(\d+)(?: (s|min))?\b", text)]
    assert told == [int(offset.total_seconds()) for offset in OFFSETS[1:]]


# --- decisions


def test_decisions_are_numbered_and_say_what_they_cost() -> None:
    folder = sorted((ROOT / "docs" / "decisions").glob("*.md"))
    assert [int(path.name[:4]) for path in folder] == list(range(1, len(folder) + 1))
    for path in folder:
        text = path.read_text()
        assert text.startswith(f"# {int(path.name[:4])}. "), path.name
        assert re.findall(r"^\*\*(.+?)\.\*\*", text, re.MULTILINE) == ["Context", "Decision", "Why", "What it costs"]
        assert len(text) < 3500, f"{path.name} is longer than half a page"


def test_every_dependency_has_its_reason() -> None:
    lines = (ROOT / "requirements" / "runtime.in").read_text().splitlines()
    needed = {re.split(r"[<>=~;\s]", line)[0] for line in lines if line and not line.startswith("#")}
    text = (ROOT / "docs" / "decisions" / "0008-dependencies.md").read_text()
    assert {words_of(row[0])[0] for row in rows(text)} == needed
