"""Write `docs/openapi.json` from the code: `PYTHONPATH=src:. python -m tests.web.api.document`."""

from datetime import UTC, datetime
from pathlib import Path

from tests.support.clock import ManualClock

from bitlinkpay.web.api.build import Services, operations_of
from bitlinkpay.web.api.openapi import document_of, encode_document

TARGET = Path(__file__).resolve().parents[3] / "docs" / "openapi.json"


def main() -> None:
    clock = ManualClock(datetime.now(UTC))
    nothing = dict.fromkeys(
        ("database", "registry", "payins", "payouts", "settlements", "rules", "homes", "mode", "urls", "order_url")
    )
    TARGET.write_bytes(encode_document(document_of(operations_of(Services(**nothing, clock=clock, wall=clock)))))


if __name__ == "__main__":
    main()
