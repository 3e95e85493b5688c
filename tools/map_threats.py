"""Keep `tests/threats.toml`, the manifest that maps every numbered threat to its test, to later work, or to a reason.

Usage: map_threats.py [--write]   without --write it only checks, and exits 1 when the manifest is not in step.

A test answers a threat by carrying its id in its name (`test_LED_04_...`) or in a parameter id ("LED-04 ...").
What has no test must say `later: <the work it waits for>` or `cannot: <why it can't apply here>` in the manifest.
"""

import re
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TESTS = ROOT / "tests"
MANIFEST = TESTS / "threats.toml"
THREATS = ROOT.parent / "shared" / "THREATS.md"
GROUPS = "API|LED|DEP|BTC|EVM|TRX|SOL|TON|XRP|EOS|XMR|NODE|PAY|SWP|EXC|SET|WHK|WEB|AML|OPS"
NUMBER = re.compile(rf"\b({GROUPS})[-_](\d\d)\b")
DEFINITION = re.compile(r"^\s*(?:async )?def (test_\w+)", re.MULTILINE)
IN_NAME = re.compile(rf"_({GROUPS})_(\d\d)(?=_|$)")
IN_PARAMETER = re.compile(rf"[\"']({GROUPS})[-_](\d\d)\b[^\"']*[\"']")


def wanted() -> list[str]:
    """Every id of the list: from the specification where it lies beside us, else as the manifest has them."""
    if not THREATS.exists():
        return list(tomllib.loads(MANIFEST.read_text()))
    cases = THREATS.read_text().split("## 2 Cases", 1)[1].split("## 3 Fault menu", 1)[0]
    defined = re.compile(rf"(?:^[-|] ?|[.] |^- )({GROUPS})-(\d\d)\b", re.MULTILINE)
    return list(dict.fromkeys(f"{group}-{number}" for group, number in defined.findall(cases)))


def found() -> dict[str, str]:
    """The first test of each id, as `path::name`."""
    tests: dict[str, str] = {}
    for path in sorted(TESTS.rglob("test_*.py")):
        text = path.read_text()
        where = path.relative_to(ROOT).as_posix()
        starts = [(match.start(), match.group(1)) for match in DEFINITION.finditer(text)]
        for _, name in starts:
            for group, number in IN_NAME.findall(name):
                tests.setdefault(f"{group}-{number}", f"{where}::{name}")
        for match in IN_PARAMETER.finditer(text):
            after = [name for start, name in starts if start > match.start()]
            if after:
                tests.setdefault(f"{match.group(1)}-{match.group(2)}", f"{where}::{after[0]}")
    return tests


def renewed(present: dict[str, str]) -> dict[str, str]:
    tests = found()
    return {threat: tests.get(threat) or _unanswered(present.get(threat, "")) for threat in wanted()}


def _unanswered(said: str) -> str:
    return said if said.startswith(("later: ", "cannot: ")) else "MISSING"


def main() -> None:
    present = tomllib.loads(MANIFEST.read_text()) if MANIFEST.exists() else {}
    fresh = renewed(present)
    if "--write" in sys.argv:
        head = (
            "# Every case of THREATS.md: the test that carries its id, the work it waits for, or why it cannot apply.\n"
        )
        MANIFEST.write_text(head + "".join(f'{threat} = "{answer}"\n' for threat, answer in fresh.items()))
    missing = [threat for threat, answer in fresh.items() if answer == "MISSING"]
    tested = sum("::" in answer for answer in fresh.values())
    later = sum(answer.startswith("later: ") for answer in fresh.values())
    cannot = len(fresh) - tested - later - len(missing)
    print(f"{len(fresh)} threats: {tested} tested, {later} later, {cannot} cannot apply")
    if missing:
        sys.exit("without an answer: " + " ".join(missing))
    if "--write" not in sys.argv and fresh != present:
        sys.exit("tests/threats.toml is not in step with the tests: run tools/map_threats.py --write")


if __name__ == "__main__":
    main()
