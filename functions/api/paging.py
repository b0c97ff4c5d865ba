"""Lists a page at a time: the parameters of every list, and the token that says where the next page begins."""

import base64
import binascii
from http import HTTPStatus
from typing import Annotated, Literal

import msgspec
from msgspec import UNSET, UnsetType

from functions.api.answers import RequestError
from functions.records.record import Token

MAX_PAGE = 200

Flag = Literal["true", "false"]
Limit = Annotated[int, msgspec.Meta(ge=1, le=MAX_PAGE, description="how many at most; a page may hold fewer")]
After = Annotated[
    str,
    msgspec.Meta(
        max_length=2000,
        description="`next` of the page before",
        extra_json_schema={"format": "continuation-token"},
    ),
]


def page_start(after: str) -> Token | None:
    """Where a page begins. Raises RequestError 400 for what no page gave as its `next`."""
    if not after:
        return None
    try:
        token = msgspec.json.decode(base64.b64decode(after, altchars=b"-_", validate=True), type=dict[str, str])
    except (binascii.Error, ValueError):
        token = {}
    if token.keys() != {"PartitionKey", "RowKey"}:
        raise RequestError(HTTPStatus.BAD_REQUEST, "after must be the value of `next` in an earlier page")
    return token


def page_end(following: Token | None) -> str:
    """The token of the next page; empty where there is none."""
    return base64.urlsafe_b64encode(msgspec.json.encode(following)).decode() if following else ""


def truth(flag: Flag | UnsetType) -> bool | UnsetType:
    """What a flag says, where it was given."""
    return flag if flag is UNSET else flag == "true"


def filters(**wanted: str | int | bool | UnsetType) -> dict[str, str | int | bool]:
    """The conditions that were asked for, by property of the record."""
    return {name: value for name, value in wanted.items() if value is not UNSET}
