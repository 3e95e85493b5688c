"""`bitlinkpay.toml`, the environment and the note that `serve` leaves: what each says, and which refusals name the key."""

import os
from datetime import timedelta
from pathlib import Path
from uuid import UUID

import pytest

from bitlinkpay.core.errors import Invalid
from bitlinkpay.core.mode import Mode
from bitlinkpay.settings import (
    LOOPBACK,
    RUNNING_FILE,
    Address,
    CallbackSettings,
    NetworkSettings,
    RateSettings,
    load_running,
    load_settings,
    usual_api_processes,
    write_running,
)

EVERY_KEY = """
mode = "live"
hosts = ["pay.example", "10.0.0.5"]
registry_files = ["devnet.toml", "/etc/networks.toml"]
screening_lists = ["ofac.txt"]
support_contact = "help@pay.example"
api_processes = 3
log_level = "DEBUG"

[wm]
host = "0.0.0.0"
port = 9443
url = "https://api.pay.example"

[web]
host = "::"
port = 9080
url = "https://pay.example"

[database]
dsn = "postgresql://app@db/pay"
owner_dsn = "postgresql://owner@db/pay"
pool_size = 9

[networks.ethereum]
endpoints = ["https://a.example", "https://b.example"]
quorum = 2
poll = 0.5
finality = "safe"
proof = "compared"

[networks.bsc]

[callbacks]
allowed_networks = ["10.0.0.0/8"]
allowed_ports = [8443]
is_http_allowed = true

[rates]
is_static = true
fiat_reference = "https://rates.example"
refresh_s = 3

[rates.tickers]
one = "https://ticker.example/{symbol}"

[sandbox]
block_s = 0
"""


@pytest.fixture(autouse=True)
def _plain_environment(monkeypatch):
    for name in ("BITLINKPAY_DATABASE_DSN", "BITLINKPAY_DATABASE_OWNER_DSN"):
        monkeypatch.delenv(name, raising=False)


def write(folder: Path, text: str) -> Path:
    (folder / "bitlinkpay.toml").write_text(text)
    return folder


def test_a_folder_without_a_file_is_a_sandbox_on_loopback(tmp_path):
    settings = load_settings(tmp_path)
    assert (settings.mode, settings.is_sandbox) == (Mode.SANDBOX, True)
    assert (settings.wm, settings.web) == (Address("127.0.0.1", 8443), Address("127.0.0.1", 8080))
    assert settings.database.dsn == settings.database.owner_dsn == ""
    assert (settings.networks, settings.registry_files, settings.screening_lists) == ({}, (), ())
    assert (settings.api_processes, settings.log_level, settings.sandbox.block_s) == (usual_api_processes(), "INFO", 3)


def test_two_apis_are_usual_and_one_where_there_is_one_core(tmp_path):
    cores = os.sched_getaffinity(0)
    assert load_settings(tmp_path).api_processes == min(2, len(cores))
    os.sched_setaffinity(0, {min(cores)})
    try:
        assert load_settings(tmp_path).api_processes == 1
    finally:
        os.sched_setaffinity(0, cores)


def test_every_key_is_read(tmp_path):
    settings = load_settings(write(tmp_path, EVERY_KEY))
    assert settings.mode is Mode.LIVE
    assert settings.hosts == ("pay.example", "10.0.0.5")
    assert settings.wm == Address("0.0.0.0", 9443, "https://api.pay.example")
    assert settings.web == Address("::", 9080, "https://pay.example")
    assert settings.database.dsn == "postgresql://app@db/pay"
    assert settings.database.owner_dsn == "postgresql://owner@db/pay"
    assert settings.database.pool_size == 9
    two = ("https://a.example", "https://b.example")
    assert settings.networks["ethereum"] == NetworkSettings(two, 2, 0.5, "safe", "compared")
    assert settings.networks["bsc"] == NetworkSettings()
    assert settings.callbacks == CallbackSettings(("10.0.0.0/8",), (8443,), True)
    tickers = {"one": "https://ticker.example/{symbol}"}
    assert settings.rates == RateSettings(True, tickers, "https://rates.example", 3)
    assert settings.screening_lists == ("ofac.txt",)
    assert settings.support_contact == "help@pay.example"
    assert (settings.api_processes, settings.log_level, settings.sandbox.block_s) == (3, "DEBUG", 0)


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("colour = 1", "colour"),
        ("mode = 'test'", "mode"),
        ("mode = 1", "mode"),
        ("api_processes = 'two'", "api_processes"),
        ("hosts = 'pay.example'", "hosts"),
        ("[wm]\nport = '8443'", "wm.port"),
        ("[wm]\nport = true", "wm.port"),
        ("web = 8080", "web"),
        ("[networks.ethereum]\nfinality = 'latest'", "finality"),
        ("[networks.ethereum]\nproof = 'believed'", "proof"),
        ("[networks.ethereum]\nquorum = 1.5", "quorum"),
        ("[callbacks]\nallowed_ports = ['443']", "allowed_ports"),
        ("[rates]\nis_static = 'yes'", "is_static"),
        ("[sandbox]\nblock_s = '3'", "block_s"),
        ("mode = ", "Invalid value"),
        ("mode = 'live'\nmode = 'live'", "overwrite"),
        ("[wm", "Expected"),
    ],
)
def test_a_wrong_file_is_refused_by_name_and_key(tmp_path, text, named):
    with pytest.raises(Invalid) as caught:
        load_settings(write(tmp_path, text))
    assert str(tmp_path / "bitlinkpay.toml") in caught.value.message
    assert named in caught.value.message
    assert "\n" not in caught.value.message


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("[wm]\nprot = 9443", "prot"),
        ("[database]\npassword = 'x'", "password"),
        ("[networks.ethereum]\nendpoint = ['https://a.example']", "endpoint"),
        ("[callbacks]\nis_http_alowed = true", "is_http_alowed"),
        ("[rates]\nstatic = true", "static"),
        ("[sandbox]\nblocks = 1", "blocks"),
    ],
)
def test_a_misspelt_key_within_a_section_is_refused(tmp_path, text, named):
    with pytest.raises(Invalid, match=named):
        load_settings(write(tmp_path, text))


@pytest.mark.parametrize(
    "text",
    [
        "api_processes = 0",
        "[wm]\nport = 70000",
        "log_level = 'LOUD'",
        "[database]\npool_size = 0",
        "[database]\npool_size = 101",
        "[networks.tron]\nquorum = 0",
        "[networks.tron]\nquorum = 21",
        "[networks.tron]\npoll = -1",
        "[networks.tron]\npoll = nan",
        "[networks.tron]\npoll = 3601",
        "[callbacks]\nallowed_ports = [0]",
        "[callbacks]\nallowed_ports = [443, 65536]",
        "[rates]\nrefresh_s = 0",
        "[rates]\nrefresh_s = 3601",
        "[sandbox]\nblock_s = -0.1",
        "[sandbox]\nblock_s = inf",
    ],
)
def test_a_value_out_of_its_range_is_refused(tmp_path, text):
    with pytest.raises(Invalid, match=r"bitlinkpay\.toml"):
        load_settings(write(tmp_path, text))


def test_a_section_that_names_a_host_only_keeps_the_default_port(tmp_path):
    settings = load_settings(write(tmp_path, "[wm]\nhost = '0.0.0.0'\n[web]\nurl = 'https://pay.example'"))
    assert (settings.wm.port, settings.web.port) == (8443, 8080)


def test_a_damaged_note_is_refused_by_name(tmp_path):
    (tmp_path / RUNNING_FILE).write_text("{")
    with pytest.raises(Invalid, match=RUNNING_FILE):
        load_running(tmp_path)


def test_a_file_that_is_not_text_is_refused(tmp_path):
    (tmp_path / "bitlinkpay.toml").write_bytes(b"mode = '\xff\xfe'")
    with pytest.raises(Invalid, match=r"bitlinkpay\.toml"):
        load_settings(tmp_path)


def test_a_folder_in_place_of_the_file_is_refused(tmp_path):
    (tmp_path / "bitlinkpay.toml").mkdir()
    with pytest.raises(Invalid, match=r"bitlinkpay\.toml"):
        load_settings(tmp_path)


@pytest.mark.parametrize("mode", list(Mode))
def test_the_command_line_may_repeat_the_files_mode_or_name_one_where_it_does_not(tmp_path, mode):
    assert load_settings(tmp_path, mode=mode).mode is mode
    write(tmp_path, f"mode = '{mode}'")
    assert load_settings(tmp_path, mode=mode).mode is mode
    assert load_settings(tmp_path).mode is mode


@pytest.mark.parametrize(("said", "written"), [(Mode.LIVE, "sandbox"), (Mode.SANDBOX, "live")])
def test_the_command_line_cannot_overrule_the_files_mode(tmp_path, said, written):
    with pytest.raises(Invalid, match=f"--mode {written}"):
        load_settings(write(tmp_path, f"mode = '{written}'"), mode=said)


def test_callbacks_to_loopback_and_fixed_prices_are_a_sandboxes_defaults_only(tmp_path):
    sandbox, live = load_settings(tmp_path), load_settings(tmp_path, mode=Mode.LIVE)
    assert (sandbox.callbacks.allowed_networks, sandbox.rates.is_static) == (LOOPBACK, True)
    assert (live.callbacks, live.rates.is_static) == (CallbackSettings(), False)
    assert (live.callbacks.allowed_networks, live.callbacks.is_http_allowed) == ((), False)


def test_a_written_callbacks_section_replaces_the_sandboxes_defaults(tmp_path):
    assert load_settings(write(tmp_path, "[callbacks]\n")).callbacks == CallbackSettings()


def test_the_environment_overrules_the_file_for_the_database(tmp_path, monkeypatch):
    write(tmp_path, "[database]\ndsn = 'file'\nowner_dsn = 'file owner'\npool_size = 7")
    monkeypatch.setenv("BITLINKPAY_DATABASE_DSN", "variable")
    assert load_settings(tmp_path).database.dsn == "variable"
    assert load_settings(tmp_path).database.owner_dsn == "file owner"
    monkeypatch.setenv("BITLINKPAY_DATABASE_OWNER_DSN", "variable owner")
    found = load_settings(tmp_path).database
    assert (found.dsn, found.owner_dsn, found.pool_size) == ("variable", "variable owner", 7)


def test_urls_are_the_listening_addresses_unless_the_outside_has_others(tmp_path):
    settings = load_settings(tmp_path)
    assert (settings.wm_url, settings.web_url) == ("https://127.0.0.1:8443", "http://127.0.0.1:8080")
    order = UUID(int=5)
    assert settings.order_url(order) == f"http://127.0.0.1:8080/pay/{order.hex}"
    settings = load_settings(write(tmp_path, EVERY_KEY))
    assert (settings.wm_url, settings.web_url) == ("https://api.pay.example", "https://pay.example")
    assert settings.order_url(order) == f"https://pay.example/pay/{order.hex}"


def test_paths_lie_in_the_data_folder_unless_they_are_absolute(tmp_path, monkeypatch):
    write(tmp_path, EVERY_KEY)
    monkeypatch.chdir(tmp_path)
    settings = load_settings(Path())
    assert settings.data_dir == tmp_path
    assert settings.registry_paths == (tmp_path / "devnet.toml", Path("/etc/networks.toml"))
    assert settings.keys_dir == tmp_path / "keys"
    assert settings.signer_dir == tmp_path / "signer"
    assert settings.signer_key_file == tmp_path / "signer.key"


def test_only_networks_with_a_pause_have_one(tmp_path):
    assert load_settings(write(tmp_path, EVERY_KEY)).poll_of == {"ethereum": timedelta(milliseconds=500)}


def test_without_a_note_a_deployment_runs_as_its_file_says(tmp_path):
    assert load_running(write(tmp_path, EVERY_KEY)) == load_settings(tmp_path)


def test_the_note_carries_what_serve_was_told_and_nothing_else(tmp_path, monkeypatch):
    write(tmp_path, "[wm]\nport = 1\n[database]\ndsn = 'one'")
    monkeypatch.setenv("BITLINKPAY_DATABASE_DSN", "secret of the environment")
    told = load_settings(tmp_path, mode=Mode.LIVE)
    write_running(told)
    assert b"secret" not in (tmp_path / RUNNING_FILE).read_bytes()
    monkeypatch.delenv("BITLINKPAY_DATABASE_DSN")
    write(tmp_path, "[wm]\nport = 2\n[database]\ndsn = 'two'")
    found = load_running(tmp_path)
    assert (found.mode, found.wm.port, found.database.dsn) == (Mode.LIVE, 1, "two")
    assert [path.name for path in tmp_path.iterdir() if path.suffix == ".new"] == []


def test_a_note_of_another_mode_than_the_file_is_refused(tmp_path):
    write_running(load_settings(tmp_path, mode=Mode.LIVE))
    write(tmp_path, "mode = 'sandbox'")
    with pytest.raises(Invalid, match="--mode sandbox"):
        load_running(tmp_path)
