"""The manifest of threats is complete and every test it names exists and carries the id."""

import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CASES = 362


def test_every_threat_has_a_test_a_later_work_or_a_reason():
    done = subprocess.run(
        [sys.executable, str(ROOT / "tools" / "map_threats.py")], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_no_threat_was_taken_off_the_list():
    """The list itself may not lie beside us: how many cases it has is kept here too."""
    assert len(tomllib.loads((ROOT / "tests" / "threats.toml").read_text())) == CASES


def test_named_tests_exist():
    for threat, answer in tomllib.loads((ROOT / "tests" / "threats.toml").read_text()).items():
        if "::" in answer:
            path, name = answer.split("::")
            text = (ROOT / path).read_text()
            assert f"def {name}(" in text, f"{threat}: {answer}"
            assert threat in text or threat.replace("-", "_") in text, f"{threat}: {answer}"
