"""What the commands share: finding the deployment, tables for people, JSON for programs."""

import argparse
import logging
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

import msgspec

from bitlinkpay.core.errors import Invalid
from bitlinkpay.settings import CONFIG_FILE, Settings, load_running

DATA_DIR_VARIABLE: Final = "BITLINKPAY_DATA_DIR"
_DIGITS_MAX: Final = 9


def add_data_dir(parser: argparse.ArgumentParser) -> None:
    """Add `--data-dir`."""
    parser.add_argument("--data-dir", type=Path, default=None, help="the deployment's folder")


def add_json(parser: argparse.ArgumentParser) -> None:
    """Add `--json`."""
    parser.add_argument("--json", action="store_true", help="print JSON (amounts are strings in major units)")


def whole(least: int, most: int) -> Callable[[str], int]:
    """Return a reader of whole numbers for an option; a wrong one is wrong usage."""

    def read(text: str) -> int:
        if is_whole(text, least, most):
            return int(text)
        raise argparse.ArgumentTypeError(f"{text[:40]!r} is no whole number from {least} to {most}")

    return read


def is_whole(text: str, least: int, most: int) -> bool:
    """Say whether a text is a whole number within bounds, in plain digits."""
    return len(text) <= _DIGITS_MAX and text.isascii() and text.isdigit() and least <= int(text) <= most


def add_usual(actions: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `--data-dir` and `--json` to every action of a command."""
    for action in actions.choices.values():
        add_data_dir(action)
        add_json(action)


def find_data_dir(given: Path | None) -> Path:
    """Return the deployment's folder from the flag, the environment or the current folder.

    Raises:
        Invalid: none of them names one.
    """
    if given is not None:
        return given
    if named := os.environ.get(DATA_DIR_VARIABLE):
        return Path(named)
    if Path(CONFIG_FILE).exists():
        return Path.cwd()
    raise Invalid(f"name the deployment: --data-dir DIR or {DATA_DIR_VARIABLE}, or be in a folder with {CONFIG_FILE}")


def find_deployment(given: Path | None) -> Settings:
    """Return the settings of an existing deployment.

    Raises:
        Invalid: there is none in that folder.
    """
    folder = find_data_dir(given)
    if not folder.is_dir():
        raise Invalid(f"no deployment in {folder}; `bitlinkpay serve --data-dir {folder}` makes one")
    return load_running(folder)


def start_log(level: str) -> None:
    """Log to stderr, one line a record."""
    logging.basicConfig(stream=sys.stderr, level=level, format="%(asctime)s %(levelname)s %(name)s: %(message)s")


def show(value: object, *, as_json: bool) -> None:
    """Print one object or a list of objects, as JSON or as a table."""
    if as_json:
        print(msgspec.json.encode(value).decode())
        return
    plain = msgspec.to_builtins(value)
    if isinstance(plain, list):
        _print_table(plain)
    else:
        _print_record(plain)


def _print_record(record: Mapping[str, object]) -> None:
    width = max((len(key) for key in record), default=0)
    for key, value in record.items():
        if isinstance(value, list) and value and isinstance(value[0], dict):
            print(f"{key}:")
            _print_table(value)
        else:
            print(f"{key:{width}}  {_cell(value)}")


def _print_table(rows: Sequence[Mapping[str, object]]) -> None:
    if not rows:
        print("(none)")
        return
    heads = list(rows[0])
    cells = [[_cell(row.get(head)) for head in heads] for row in rows]
    widths = [max(len(head), *(len(line[at]) for line in cells)) for at, head in enumerate(heads)]
    for line in (heads, *cells):
        print("  ".join(f"{cell:{width}}" for cell, width in zip(line, widths, strict=True)).rstrip())


def _cell(value: object) -> str:
    match value:
        case None:
            return "-"
        case bool():
            return "yes" if value else "no"
        case list() | tuple():
            return ", ".join(_cell(item) for item in value) or "-"
        case dict():
            return ", ".join(f"{key}={_cell(item)}" for key, item in value.items()) or "-"
        case _:
            return str(value)
