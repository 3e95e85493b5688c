"""The document of the API (OpenAPI 3.1), made from its operations and the types of `shapes`."""

import re
from collections.abc import Sequence
from inspect import cleandoc
from typing import Final

import msgspec

from bitlinkpay import __version__
from bitlinkpay.merchants.api_keys.signing import KEY_HEADER, NONCE_HEADER, SIGNATURE_HEADER, TIME_HEADER
from bitlinkpay.web.api.operations import Operation
from bitlinkpay.web.api.refusals import ErrorBody
from bitlinkpay.web.api.shapes import Request

Json = dict[str, object]

_REF: Final = "#/components/schemas/{name}"
_SIGNATURE: Final = {
    "key": (KEY_HEADER, "The id of the API key, `key_` and 32 hex digits."),
    "time": (TIME_HEADER, "Unix time in seconds, 10 digits, at most 5 minutes off."),
    "nonce": (NONCE_HEADER, "16 to 64 of A-Z a-z 0-9 _ -, new for every request."),
    "signature": (
        SIGNATURE_HEADER,
        "Base64 of HMAC-SHA256 or Ed25519 over five lines: method, path with query, time, nonce, SHA-256 of the body.",
    ),
}
_REFUSED: Final = {
    400: "The request cannot be read.",
    401: "The request is not signed by a working key, its time is off, or it was received before.",
    403: "The key or the merchant may not do this.",
    404: "There is nothing of this id.",
    405: "The path answers to other methods.",
    408: "The body did not arrive in time.",
    409: "The state of things does not allow it.",
    413: "The body is too large.",
    415: "The body is not said to be JSON.",
    422: "A field is missing, unknown or out of its range.",
    429: "Too many requests; `Retry-After` says when to come back.",
    503: "The platform cannot answer now; the same request may be sent again.",
}
_LIMITS: Final = {
    "ratelimit-limit": "How many requests may come at once.",
    "ratelimit-remaining": "How many of them are left.",
    "ratelimit-reset": "Seconds until all of them are there again.",
}


def document_of(operations: Sequence[Operation]) -> Json:
    """Return the document of these operations."""
    kinds: list[object] = [ErrorBody]
    for operation in operations:
        kinds += [operation.answer, operation.query, operation.body]
    schemas, components = msgspec.json.schema_components(kinds, ref_template=_REF)
    named = dict(zip(map(repr, kinds), schemas, strict=True))
    paths: dict[str, Json] = {}
    for operation in operations:
        paths.setdefault(operation.path, {})[operation.method.lower()] = _operation(operation, named, components)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "BitLink Pay",
            "version": __version__,
            "description": "Orders, payouts and books of a merchant. docs/api.md tells how requests are signed.",
        },
        "paths": paths,
        "components": {
            "schemas": {name: _tidy(schema) for name, schema in components.items()},
            "responses": {
                str(status): {"description": text, "content": {"application/json": {"schema": named[repr(ErrorBody)]}}}
                for status, text in _REFUSED.items()
            },
            "securitySchemes": {
                name: {"type": "apiKey", "in": "header", "name": header, "description": text}
                for name, (header, text) in _SIGNATURE.items()
            },
        },
        "security": [{name: [] for name in _SIGNATURE}],
    }


def encode_document(document: Json) -> bytes:
    """Return the document as the API serves it: names in order, so that the same code gives the same bytes."""
    return msgspec.json.format(msgspec.json.encode(document, order="sorted"), indent=1) + b"\n"


def _operation(operation: Operation, named: dict[str, Json], components: dict[str, Json]) -> Json:
    found: Json = {
        "operationId": operation.name,
        "summary": operation.summary,
        "description": f"Needs the scope {' or '.join(sorted(operation.scopes))}.",
        "parameters": _parameters(operation, components),
        "responses": {
            str(operation.status): {
                "description": "Done.",
                "headers": {name: _header(text) for name, text in _LIMITS.items()},
                "content": {"application/json": {"schema": named[repr(operation.answer)]}},
            },
            **{str(status): {"$ref": f"#/components/responses/{status}"} for status in _REFUSED},
        },
    }
    if operation.body.__struct_fields__:
        schema = named[repr(operation.body)]
        found["requestBody"] = {"required": True, "content": {"application/json": {"schema": schema}}}
    return found


def _tidy(schema: Json) -> Json:
    """Return a schema whose description has no indentation of Python's."""
    return {name: cleandoc(str(value)) if name == "description" else value for name, value in schema.items()}


def _header(text: str) -> Json:
    return {"description": text, "schema": {"type": "integer"}}


def _parameters(operation: Operation, components: dict[str, Json]) -> list[Json]:
    found = [_path(name) for name in re.findall(r"\{(\w+)\}", operation.path)]
    found += _query(operation.query, components)
    if operation.repeats:
        found.append(
            {
                "name": "Idempotency-Key",
                "in": "header",
                "description": "The same key with the same request gets the first answer again, for 24 hours.",
                "schema": {"type": "string", "pattern": "^[!-~]+$", "minLength": 1, "maxLength": 255},
            }
        )
    return found


def _path(name: str) -> Json:
    return {
        "name": name,
        "in": "path",
        "required": True,
        "schema": {"type": "string", "pattern": "^[A-Za-z0-9_]{1,64}$"},
    }


def _query(kind: type[Request], components: dict[str, Json]) -> list[Json]:
    properties = components[kind.__name__]["properties"]
    assert isinstance(properties, dict)
    return [{"name": name, "in": "query", "schema": schema} for name, schema in properties.items()]
