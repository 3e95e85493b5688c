"""One row a measurement: what it reached, against what, and what it has to reach."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Row:
    """`value` against `target`; `at_least` tells the direction."""

    name: str
    value: float
    target: float | None
    detail: str
    at_least: bool = True

    @property
    def verdict(self) -> str:
        if self.target is None:
            return ""
        good = self.value >= self.target if self.at_least else self.value <= self.target
        return "reached" if good else "MISSED"


def show(rows: list[Row]) -> None:
    width = max(len(row.name) for row in rows)
    print(f"{'':{width}}  {'value':>9}  {'target':>9}")
    for row in rows:
        sign = ("≥" if row.at_least else "≤") if row.target is not None else ""
        target = f"{sign} {row.target:g}" if row.target is not None else ""
        print(f"{row.name:{width}}  {row.value:9.3g}  {target:>9}  {row.verdict:8} {row.detail}")
