"""The 20 requests as the public Go and PHP SDKs sent them, and the throw-away key that opens them."""

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from bitlinkpay.wm.envelope import EnvelopeKey, Headers, read_headers

FOLDER = Path(__file__).parent / "recorded"


@dataclass(frozen=True, slots=True)
class Recorded:
    name: str
    client: str
    is_encrypted: bool
    path: str
    raw_headers: tuple[tuple[bytes, bytes], ...]
    body: bytes
    plaintext: bytes

    @property
    def headers(self) -> Headers:
        return read_headers(self.raw_headers)


@cache
def envelope_key() -> EnvelopeKey:
    return EnvelopeKey.load((FOLDER / "envelope_private.pem").read_bytes())


@cache
def recorded() -> tuple[Recorded, ...]:
    rows = json.loads((FOLDER / "requests.json").read_text())
    return tuple(
        Recorded(
            name=f"{number:02d}-{row['client']}-{row['mode']}-{row['path'].rsplit('/', 2)[-2]}-{row['path'].rsplit('/')[-1]}",
            client=row["client"],
            is_encrypted=row["mode"] == "encrypted",
            path=row["path"],
            raw_headers=tuple((name.encode(), value.encode()) for name, value in row["headers"].items()),
            body=row["body"].encode(),
            plaintext=row["plaintext"].encode(),
        )
        for number, row in enumerate(rows)
    )


def encrypted() -> list[Recorded]:
    return [row for row in recorded() if row.is_encrypted]
