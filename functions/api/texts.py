"""What texts, days and amounts of an entry may be. The API's document is made of the same bounds."""

import datetime as dt
from typing import Annotated

import msgspec

MAX_TEXT = 200
FIRST_DAY, LAST_DAY = dt.date(1900, 1, 1), dt.date(2099, 12, 31)

Text = Annotated[
    str,
    msgspec.Meta(
        max_length=MAX_TEXT,
        pattern=r"\A[^\x00-\x1f\x7f-\x9f]*\Z",
        description="no control characters",
    ),
]
Day = Annotated[
    dt.date,
    msgspec.Meta(
        extra_json_schema={"pattern": "^(19|20)[0-9]{2}-"},
        description="from 1900 to 2099",
    ),
]
"""What the document says of a day; `check_days` holds an entry to it, because msgspec knows no bounds of dates."""
ClaimId = Annotated[
    str,
    msgspec.Meta(
        pattern=r"\A[A-Za-z0-9][A-Za-z0-9._-]{0,63}\Z",
        description="the insurer's own, 1 to 64 characters of A-Z, a-z, 0-9, . _ -",
    ),
]
Amount = Annotated[
    str,
    msgspec.Meta(
        pattern=r"\A(0|[1-9][0-9]{0,8})(\.[0-9]{1,2})?\Z",
        description="in the tariff's currency, as text, never a JSON number",
    ),
]


def check_days(entered: msgspec.Struct) -> None:
    """Raise ValueError, which names the place, for a day in an entry that lies before FIRST_DAY or after LAST_DAY."""
    for field in msgspec.structs.fields(entered):
        day = getattr(entered, field.name)
        if isinstance(day, dt.date) and not FIRST_DAY <= day <= LAST_DAY:
            raise ValueError(f"Expected a date from {FIRST_DAY} to {LAST_DAY} - at `$.{field.encode_name}`")
