"""The program's front: the overview, wrong words, problems, and every command's own help."""

import errno
from pathlib import Path

import pytest
from tests.cli.deployment import say

from bitlinkpay import __version__
from bitlinkpay.cli.main import COMMANDS, _guarded, main
from bitlinkpay.core.errors import Conflict


@pytest.mark.parametrize(("words", "code"), [((), 2), (("--help",), 0), (("-h",), 0), (("help",), 0)])
def test_the_overview_names_every_command(capsys, words, code):
    said = say(capsys, *words)
    assert (said.code, said.err) == (code, "")
    assert all(f"  {name:12} {summary}" in said.out for name, (_, summary) in COMMANDS.items())
    assert "--data-dir" in said.out


def test_the_version(capsys):
    assert say(capsys, "--version").out == f"{__version__}\n"


@pytest.mark.parametrize("word", ["frobnicate", "Serve", "", "../etc", "--json"])
def test_an_unknown_command_is_one_line_and_exit_code_2(capsys, word):
    said = say(capsys, word)
    assert (said.code, said.out, said.err.count("\n")) == (2, "", 1)
    assert repr(word) in said.err


@pytest.mark.parametrize("name", list(COMMANDS))
def test_every_command_explains_itself(capsys, name):
    with pytest.raises(SystemExit) as caught:
        main([name, "--help"])
    said = capsys.readouterr()
    assert (caught.value.code, said.err) == (0, "")
    assert said.out.startswith(f"usage: bitlinkpay {name}")
    assert COMMANDS[name][1].split(":")[0].split(" ")[0] in said.out


@pytest.mark.parametrize("name", list(COMMANDS))
def test_every_command_refuses_an_unknown_flag_as_wrong_usage(capsys, name):
    with pytest.raises(SystemExit) as caught:
        main([name, "--frobnicate"])
    assert caught.value.code == 2
    assert capsys.readouterr().out == ""


def test_the_table_has_every_module_of_a_command_and_no_other():
    folder = Path(main.__code__.co_filename).parent
    modules = {path.stem for path in folder.glob("*.py") if "\ndef run(" in path.read_text()}
    assert {module for module, _ in COMMANDS.values()} == modules


def test_a_problem_is_one_line_and_exit_code_1(capsys):
    def run(parser, words):
        raise Conflict("the reason; what to do")

    assert _guarded(run, None, []) == 1
    assert capsys.readouterr().err == "bitlinkpay: the reason; what to do\n"


@pytest.mark.parametrize("error", [KeyboardInterrupt, BrokenPipeError])
def test_an_interrupted_command_ends_without_a_traceback(capsys, error):
    def run(parser, words):
        raise error

    assert _guarded(run, None, []) == 130
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (PermissionError(errno.EACCES, "Permission denied", "/srv/pay/keys"), "/srv/pay/keys: Permission denied"),
        (OSError(errno.ENOSPC, "No space left on device"), "No space left on device"),
        (OSError(errno.EROFS, "Read-only file system", "/srv"), "/srv: Read-only file system"),
    ],
)
def test_what_a_disk_refuses_is_one_line_with_its_name(capsys, error, told):
    def run(parser, words):
        raise error

    assert _guarded(run, None, []) == 1
    assert capsys.readouterr().err == f"bitlinkpay: {told}\n"


def test_a_failure_of_no_file_keeps_its_trace():
    def run(parser, words):
        raise ConnectionResetError(errno.ECONNRESET, "Connection reset by peer")

    with pytest.raises(ConnectionResetError):
        _guarded(run, None, [])


@pytest.mark.parametrize("words", [("serve", "--wm-port", "65536"), ("signer", "audit", "--last", "0")])
def test_a_number_out_of_its_range_is_wrong_usage_before_anything_is_made(capsys, tmp_path, words):
    with pytest.raises(SystemExit) as caught:
        main([*words, "--data-dir", str(tmp_path / "new")])
    assert caught.value.code == 2
    assert "is no whole number from" in capsys.readouterr().err
    assert not (tmp_path / "new").exists()


def test_a_place_that_is_no_address_costs_no_try_of_a_password(capsys):
    with pytest.raises(SystemExit) as caught:
        main(["settlement", "request", "Shop", "usdt-tron", "1", "--address", "T", "--code", "1", "--from", "office"])
    assert caught.value.code == 2
    assert "'office' is no IP address; write one such as 203.0.113.7" in capsys.readouterr().err


def test_a_broken_belief_is_not_hidden(capsys):
    def run(parser, words):
        raise AssertionError

    with pytest.raises(AssertionError):
        _guarded(run, None, [])
