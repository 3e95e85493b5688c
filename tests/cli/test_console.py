"""Finding the deployment, and printing for people and for programs."""

import argparse
import json
from dataclasses import dataclass
from pathlib import Path

import pytest

from bitlinkpay.cli.console import add_data_dir, add_json, find_data_dir, find_deployment, show, whole
from bitlinkpay.core.errors import Invalid


def test_the_flag_comes_before_the_environment_and_that_before_the_current_folder(tmp_path, monkeypatch):
    with pytest.raises(Invalid, match="--data-dir"):
        find_data_dir(None)
    (tmp_path / "bitlinkpay.toml").write_text("")
    assert find_data_dir(None) == tmp_path
    monkeypatch.setenv("BITLINKPAY_DATA_DIR", "/elsewhere")
    assert find_data_dir(None) == Path("/elsewhere")
    assert find_data_dir(Path("given")) == Path("given")


def test_an_empty_variable_names_nothing(tmp_path, monkeypatch):
    monkeypatch.setenv("BITLINKPAY_DATA_DIR", "")
    with pytest.raises(Invalid, match="BITLINKPAY_DATA_DIR"):
        find_data_dir(None)


def test_a_folder_that_is_none_is_refused_with_what_to_do(tmp_path):
    (tmp_path / "file").write_text("")
    for missing in (tmp_path / "none", tmp_path / "file"):
        with pytest.raises(Invalid, match=f"bitlinkpay serve --data-dir {missing}"):
            find_deployment(missing)


@pytest.mark.parametrize("text", ["", "x", "-1", "0", "11", "1.0", "1_0", "٣", " 1", "9" * 5000])
def test_what_is_no_whole_number_of_its_range_is_wrong_usage(text):
    with pytest.raises(argparse.ArgumentTypeError, match="is no whole number from 1 to 10"):
        whole(1, 10)(text)


def test_both_ends_of_a_range_belong_to_it():
    assert [whole(1, 10)(text) for text in ("1", "10", "007")] == [1, 10, 7]


def test_the_flags_have_defaults():
    parser = argparse.ArgumentParser()
    add_data_dir(parser)
    add_json(parser)
    assert vars(parser.parse_args([])) == {"data_dir": None, "json": False}
    given = parser.parse_args(["--data-dir", "x", "--json"])
    assert (given.data_dir, given.json) == (Path("x"), True)


@dataclass(frozen=True)
class Row:
    name: str
    ok: bool
    detail: str | None


def test_a_table_lines_up_and_says_yes_no_and_nothing(capsys):
    show([Row("a", True, None), Row("longer", False, "why")], as_json=False)
    assert capsys.readouterr().out == "name    ok   detail\na       yes  -\nlonger  no   why\n"


def test_an_empty_table_says_so(capsys):
    show([], as_json=False)
    assert capsys.readouterr().out == "(none)\n"


def test_a_record_puts_lists_of_rows_below_and_plain_lists_in_line(capsys):
    show({"id": "x", "labels": ["a", "b"], "none": [], "rows": [{"n": 1}]}, as_json=False)
    assert capsys.readouterr().out == "id      x\nlabels  a, b\nnone    -\nrows:\nn\n1\n"


@pytest.mark.parametrize("value", [Row("纸", True, None), [Row("a", False, 'b"\n')], {}, [], {"amount": "12.50"}])
def test_json_is_one_line_whatever_it_holds(capsys, value):
    show(value, as_json=True)
    out = capsys.readouterr().out
    assert out.count("\n") == 1
    assert json.loads(out) == json.loads(json.dumps(value, default=lambda row: row.__dict__))
