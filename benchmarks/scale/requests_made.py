"""What a request to Table Storage is, told from its method, path and body, and how many of each kind there were. Pure.

Azure bills a request as one transaction, whatever is in it; an entity group transaction is one request with many
operations, and each operation touches one entity.
"""

import re
from collections.abc import Iterable

import msgspec

READ, QUERY, CHANGES, SINGLE_CHANGE, TABLES = "read", "query", "entity group transaction", "single change", "tables"
_ONE_ROW = re.compile(r"\(PartitionKey='.*',\s*RowKey='.*'\)$")
_OPERATION = re.compile(rb"^(?:POST|PUT|MERGE|PATCH|DELETE|GET) https?://", re.MULTILINE)


class Made(msgspec.Struct, frozen=True):
    """One request: its kind, the entities that it reads or changes, and the bytes of its body and of its answer's.

    A query's entities are not known from the request; they count as 0.
    """

    kind: str
    entities: int
    sent: int
    received: int


class Counted(msgspec.Struct, frozen=True):
    """Sums over requests."""

    reads: int = 0
    queries: int = 0
    changes: int = 0
    single_changes: int = 0
    entities: int = 0
    changed: int = 0
    sent: int = 0
    received: int = 0

    @property
    def requests(self) -> int:
        """All of them: what Azure bills as transactions."""
        return self.reads + self.queries + self.changes + self.single_changes


def made(method: str, path: str, body: bytes, received: int) -> Made:
    """The request of this method and decoded path (without its query), answered with so many bytes.

    Raises ValueError for a request that no part of this project makes.
    """
    last = path.rpartition("/")[2]
    if method == "POST" and last == "$batch":
        return Made(CHANGES, len(_OPERATION.findall(body)), len(body), received)
    if last.startswith("Tables"):
        return Made(TABLES, 0, len(body), received)
    if method == "GET":
        return Made(READ, 1, len(body), received) if _ONE_ROW.search(path) else Made(QUERY, 0, len(body), received)
    if method in {"POST", "PUT", "PATCH", "MERGE", "DELETE"}:
        return Made(SINGLE_CHANGE, 1, len(body), received)
    raise ValueError(f"{method} {path} is no request that is known here")


def counted(requests: Iterable[Made]) -> Counted:
    """Their sums; requests that make or list tables are left out, since they are made once."""
    own = [one for one in requests if one.kind != TABLES]
    changing = [one for one in own if one.kind in {CHANGES, SINGLE_CHANGE}]
    return Counted(
        reads=sum(one.kind == READ for one in own),
        queries=sum(one.kind == QUERY for one in own),
        changes=sum(one.kind == CHANGES for one in own),
        single_changes=sum(one.kind == SINGLE_CHANGE for one in own),
        entities=sum(one.entities for one in own),
        changed=sum(one.entities for one in changing),
        sent=sum(one.sent for one in own),
        received=sum(one.received for one in own),
    )
