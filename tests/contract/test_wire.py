"""The wire does what azure-data-tables does: the same rows in a real Azurite, and the same errors, also when answers
are lost. What stands between is a proxy of the test's own, which loses them.
"""

import asyncio
import base64
import datetime as dt
import gzip
import hmac
import re
import traceback
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from enum import Enum, auto
from typing import Any, NamedTuple, Self
from urllib.parse import unquote, urlsplit

import pytest
from azure.core import MatchConditions
from azure.core.credentials import AccessToken, AzureNamedKeyCredential, AzureSasCredential
from azure.core.exceptions import (
    AzureError,
    ClientAuthenticationError,
    ResourceNotFoundError,
    ServiceRequestError,
    ServiceResponseError,
)
from azure.core.pipeline import PipelineContext, PipelineRequest
from azure.core.pipeline.transport import AioHttpTransport, HttpRequest
from azure.data.tables import (
    AccountSasPermissions,
    EdmType,
    EntityProperty,
    ResourceTypes,
    TableTransactionError,
    UpdateMode,
    generate_account_sas,
)
from azure.data.tables.aio import TableClient, TableServiceClient
from hypothesis import given, settings
from hypothesis import strategies as st

from functions.records.changeset import Delete, Insert, Merge, Operation, Replace
from functions.records.errors import RecordError, RefusedError, RowTooLargeError
from functions.records.wire import DatePolicy, SharedKeyLitePolicy, Wire, _authorizing

TABLE = "Wire"
MISSING_TABLE = "NoSuchTable"
# The SDK asks an XML element for its truth, to read an error that is not JSON; the wire does not.
sdk_reads_xml = pytest.mark.filterwarnings("ignore:Testing an element's truth value:DeprecationWarning")


class Fault(Enum):
    """What the proxy does to a request instead of passing on the whole of both."""

    LOSE_REQUEST = auto()
    LOSE_ANSWER = auto()
    CUT_ANSWER = auto()


class Proxy:
    """Stands before Azurite, and does to each request what the script says for it: a fault, or an answer of its own.

    What comes after the script is passed on. `heads` are the heads of all requests.
    """

    def __init__(self, port: int, script: Sequence[Fault | bytes]) -> None:
        self.heads: list[bytes] = []
        self._port = port
        self._script = list(script)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Take one request, answer it or not, and close the connection."""
        head = await reader.readuntil(b"\r\n\r\n")
        self.heads.append(head)
        length = next((line[15:] for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")), b"0")
        request = head[:-2] + b"Connection: close\r\n\r\n" + await reader.readexactly(int(length))
        step = self._script.pop(0) if self._script else None
        if isinstance(step, bytes):
            writer.write(step)
        elif step is not Fault.LOSE_REQUEST:
            answer = await self._pass_on(request)
            if step is Fault.CUT_ANSWER:
                writer.write(answer[: answer.index(b"\r\n\r\n") + 40])
            elif step is None:
                writer.write(answer)
        await writer.drain()
        writer.close()
        await writer.wait_closed()

    async def _pass_on(self, request: bytes) -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        writer.write(request)
        answer = await reader.read()
        writer.close()
        await writer.wait_closed()
        return answer


@asynccontextmanager
async def proxied(tables: str, *script: Fault | bytes) -> AsyncIterator[tuple[str, Proxy]]:
    """A connection string that leads to Azurite through a proxy, and the proxy."""
    port = urlsplit(tables.partition("TableEndpoint=")[2]).port
    assert port is not None
    proxy = Proxy(port, script)
    server = await asyncio.start_server(proxy.serve, "127.0.0.1", 0)
    async with server:
        yield tables.replace(f":{port}/", f":{server.sockets[0].getsockname()[1]}/"), proxy


class Clients(NamedTuple):
    """Both clients of one account."""

    sdk: TableServiceClient
    wire: Wire

    def table(self, name: str = TABLE) -> TableClient:
        """The SDK's client of one table."""
        return self.sdk.get_table_client(name)

    async def rows(self, partition: str) -> dict[str, dict[str, Any]]:
        """The rows of a partition by RowKey, as the SDK reads them."""
        found = self.table().query_entities("PartitionKey eq @p", parameters={"p": partition})
        return {row.pop("RowKey"): {k: v for k, v in row.items() if k != "PartitionKey"} async for row in found}


@asynccontextmanager
async def clients(tables: str) -> AsyncIterator[Clients]:
    """Both clients, configured as open_record configures its own."""
    options: dict[str, Any] = {
        "transport": AioHttpTransport(use_env_settings=False),
        "retry_total": 2,
        "retry_backoff_factor": 0.2,
    }
    async with TableServiceClient.from_connection_string(tables, **options) as sdk:
        wire = Wire(sdk.url, sdk.credential)
        try:
            yield Clients(sdk, wire)
        finally:
            await wire.close()


@pytest.fixture(scope="module", autouse=True)
def _table(tables: str) -> None:
    async def make() -> None:
        async with clients(tables) as both:
            await both.sdk.create_table_if_not_exists(TABLE)

    asyncio.run(make())


class Outcome(NamedTuple):
    """What a caller sees of an error; all None when there is none."""

    kind: type[BaseException] | None = None
    status: int | None = None
    code: str | None = None
    at: int | None = None


async def outcome(call: Awaitable[object]) -> Outcome:
    """How a call ends."""
    try:
        await call
    except (AzureError, RecordError) as error:
        seen = (getattr(error, name, None) for name in ("status_code", "error_code", "index"))
        return Outcome(type(error), *seen)
    return Outcome()


async def raised(call: Awaitable[object]) -> AzureError:
    """The error with which a call ends."""
    with pytest.raises(AzureError) as caught:
        await call
    return caught.value


def printed(error: BaseException) -> str:
    """Everything that a log could show of an error."""
    return "".join(traceback.format_exception(error)) + repr(error) + str(vars(error))


def as_sdk(operation: Operation) -> Any:
    """The same operation as the SDK takes it."""
    match operation:
        case Insert(entity):
            return ("create", entity)
        case Replace(entity, etag):
            return ("update", entity, {"mode": UpdateMode.REPLACE, **condition(etag)})
        case Merge(entity, etag):
            return ("update", entity, {"mode": UpdateMode.MERGE, **condition(etag)})
        case Delete(partition, row, etag):
            return ("delete", {"PartitionKey": partition, "RowKey": row}, condition(etag))


def condition(etag: str) -> dict[str, Any]:
    """The SDK's way to say that a row must have an ETag."""
    return {} if etag == "*" else {"etag": etag, "match_condition": MatchConditions.IfNotModified}


def new_partition() -> str:
    """A partition that no other test knows."""
    return uuid.uuid4().hex


def entity(partition: str, row: str, **properties: Any) -> dict[str, Any]:
    """A row."""
    return {"PartitionKey": partition, "RowKey": row, **properties}


Scenario = Callable[[str, Mapping[str, str]], list[Operation]]
"""Operations on a partition that holds the rows `first` and `second`, whose ETags by RowKey are given."""

STALE = "W/\"datetime'2020-01-01T00%3A00%3A00.0000000Z'\""
SCENARIOS: dict[str, Scenario] = {
    "one insert": lambda p, _: [Insert(entity(p, "new", Text="é", Flag=True, Number=-5, Empty="", Nothing=None))],
    "all kinds": lambda p, etags: [
        Replace(entity(p, "first", Other=1), etags["first"]),
        Insert(entity(p, "new", Text="x")),
        Merge(entity(p, "second", Other=1), etags["second"]),
    ],
    "unconditional kinds": lambda p, _: [Merge(entity(p, "first", Other=1)), Delete(p, "second")],
    "a delete under its ETag": lambda p, etags: [Insert(entity(p, "new")), Delete(p, "first", etags["first"])],
    "a hundred": lambda p, _: [Insert(entity(p, f"row-{number}", Number=number)) for number in range(100)],
    "an insert of what is there, last": lambda p, _: [Insert(entity(p, "a")), Insert(entity(p, "b")), taken(p)],
    "an insert of what is there, first": lambda p, _: [taken(p), Insert(entity(p, "a"))],
    "an insert of what is there, alone": lambda p, _: [taken(p)],
    "a replace under a stale ETag": lambda p, _: [Insert(entity(p, "a")), Replace(entity(p, "first"), STALE)],
    "a merge under a stale ETag": lambda p, _: [Insert(entity(p, "a")), Merge(entity(p, "first", Other=1), STALE)],
    "a delete under a stale ETag": lambda p, _: [Insert(entity(p, "a")), Delete(p, "first", STALE)],
    "a replace of nothing": lambda p, _: [Insert(entity(p, "a")), Replace(entity(p, "none"), STALE)],
    "a merge of nothing": lambda p, _: [Insert(entity(p, "a")), Merge(entity(p, "none", Other=1))],
    "a delete of nothing": lambda p, _: [Insert(entity(p, "a")), Delete(p, "none")],
}
FAILING = {name for name in SCENARIOS if "there" in name or "stale" in name or "nothing" in name}


def taken(partition: str) -> Insert:
    """An insert of a row that is there."""
    return Insert(entity(partition, "first", Other=1))


async def two_rows(both: Clients) -> tuple[str, dict[str, str]]:
    """A new partition with the rows `first` and `second`, and their ETags."""
    partition = new_partition()
    etags = {}
    for row in ("first", "second"):
        etags[row] = (await both.table().create_entity(entity(partition, row, Text=row)))["etag"]
    return partition, etags


@pytest.mark.parametrize("name", SCENARIOS)
def test_both_clients_leave_the_same_rows_and_the_same_error(tables: str, name: str) -> None:
    async def play() -> None:
        async with clients(tables) as both:
            partition, etags = await two_rows(both)
            operations = SCENARIOS[name](partition, etags)
            expected = await outcome(both.table().submit_transaction([as_sdk(one) for one in operations]))
            expected_rows = await both.rows(partition)

            partition, etags = await two_rows(both)
            before = await both.rows(partition)
            found = await outcome(both.wire.submit(TABLE, SCENARIOS[name](partition, etags)))
            after = await both.rows(partition)

            assert (found, after) == (expected, expected_rows)
            assert (found.kind is TableTransactionError) == (name in FAILING)
            assert (after == before) == (name in FAILING)

    asyncio.run(play())


def test_the_new_etags_are_those_of_the_rows_and_empty_for_a_delete(tables: str) -> None:
    async def play() -> None:
        async with clients(tables) as both:
            partition, etags = await two_rows(both)
            operations: list[Operation] = [
                Insert(entity(partition, "new")),
                Delete(partition, "second"),
                Replace(entity(partition, "first"), etags["first"]),
            ]
            new, deleted, replaced = await both.wire.submit(TABLE, operations)
            assert deleted == ""
            assert (await both.table().get_entity(partition, "new")).metadata["etag"] == new
            assert (await both.wire.get(TABLE, partition, "first")) == (entity(partition, "first"), replaced)
            assert replaced != etags["first"]

    asyncio.run(play())


def test_no_row_is_none_and_no_table_is_an_error(tables: str) -> None:
    async def play() -> None:
        async with clients(tables) as both:
            assert await both.wire.get(TABLE, new_partition(), "none") is None
            with pytest.raises(ResourceNotFoundError):
                await both.table().get_entity(new_partition(), "none")

            expected = await outcome(both.table(MISSING_TABLE).get_entity("p", "r"))
            assert await outcome(both.wire.get(MISSING_TABLE, "p", "r")) == expected
            assert expected == Outcome(ResourceNotFoundError, 404, "TableNotFound")

            insert = Insert(entity("p", "r"))
            expected = await outcome(both.table(MISSING_TABLE).submit_transaction([as_sdk(insert)]))
            assert await outcome(both.wire.submit(MISSING_TABLE, [insert])) == expected
            assert expected == Outcome(TableTransactionError, 404, "TableNotFound", 0)

    asyncio.run(play())


def test_properties_of_any_type_can_be_read(tables: str) -> None:
    async def play() -> None:
        async with clients(tables) as both:
            partition = new_partition()
            when = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
            odd = {"Long": EntityProperty(2**40, EdmType.INT64), "Half": 0.5, "When": when, "Bytes": b"x"}
            await both.table().create_entity(entity(partition, "r", **odd, Id=uuid.UUID(int=1), Text="t"))
            found = await both.wire.get(TABLE, partition, "r")
            assert found is not None
            assert {name: found[0][name] for name in ("Long", "Half", "Text")} == {
                "Long": str(2**40),
                "Half": 0.5,
                "Text": "t",
            }
            assert found[0].keys() == {"PartitionKey", "RowKey", "Long", "Half", "When", "Bytes", "Id", "Text"}

    asyncio.run(play())


def readable_by_azurite(row: str) -> bool:
    """Azurite takes the URL of an operation apart by a pattern that ends the PartitionKey at the last "'," of it."""
    return "'," not in f"'{row}"


# Azurite's patterns end at the two separators of lines and paragraphs.
keys = st.text(
    st.characters(exclude_categories=["Cs", "Cc", "Zl", "Zp", "Cn"], exclude_characters="/\\#?")
    | st.sampled_from("'%+ \"&=,()é😀"),
    max_size=30,
)
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=30) | st.sampled_from(
    ["it's", "100 %41", "\r\n--changeset_x\r\n", "{}}{", "POST http://x/y/z", "\u2028\u2029", "\x85", "\x00", ""]
)


@settings(max_examples=60, deadline=None)
@given(keys, keys.filter(readable_by_azurite), texts)
def test_any_key_and_text_is_the_same_row_to_both_clients(tables: str, partition: str, row: str, text: str) -> None:
    partition = f"{new_partition()}{partition}"

    async def play() -> None:
        async with clients(tables) as both:
            [etag] = await both.wire.submit(TABLE, [Insert(entity(partition, row, Text=text))])
            assert await both.table().get_entity(partition, row) == entity(partition, row, Text=text)
            assert await both.wire.get(TABLE, partition, row) == (entity(partition, row, Text=text), etag)
            if row:  # Azurite refuses an empty RowKey in the URL of an operation in a $batch
                [etag] = await both.wire.submit(TABLE, [Replace(entity(partition, row, Text=text + "!"), etag)])
                assert (await both.table().get_entity(partition, row))["Text"] == text + "!"
                await both.wire.submit(TABLE, [Merge(entity(partition, row, Other=text), etag)])
                await both.table().upsert_entity(entity(partition, row, Third=text), mode=UpdateMode.MERGE)
                found = await both.wire.get(TABLE, partition, row)
                assert found is not None
                assert found[0] == entity(partition, row, Text=text + "!", Other=text, Third=text)
                assert await both.wire.submit(TABLE, [Delete(partition, row)]) == [""]
                assert await both.wire.get(TABLE, partition, row) is None

    asyncio.run(play())


@pytest.mark.parametrize(
    ("operations", "kind"),
    [
        ([], RefusedError),
        ([Insert(entity("p", str(number))) for number in range(101)], RowTooLargeError),
        ([Insert(entity("p", "a")), Insert(entity("q", "b"))], RefusedError),
        ([Insert(entity("p", "a")), Delete("p", "a")], RefusedError),
        (
            [Insert(entity("p", str(n), **{f"T{m}": "x" * 32_000 for m in range(14)})) for n in range(10)],
            RowTooLargeError,
        ),
    ],
    ids=["none", "101", "two partitions", "one row twice", "over 4 MiB"],
)
def test_what_azure_would_refuse_is_not_sent(tables: str, operations: list[Operation], kind: type[Exception]) -> None:
    async def play() -> None:
        async with proxied(tables) as (through, proxy), clients(through) as both:
            assert await outcome(both.wire.submit(TABLE, operations)) == Outcome(kind)
            with pytest.raises(RefusedError):
                await both.wire.get(TABLE, "a/b", "r")
            assert proxy.heads == []

    asyncio.run(play())


def refusing(status: int, code: str, kind: str = "application/json") -> bytes:
    """The answer of a service that refuses a request."""
    body = f'{{"odata.error":{{"code":"{code}","message":{{"lang":"en-US","value":"Because.\\nRequestId:1"}}}}}}'
    if kind == "application/xml":
        body = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>Because.</Message></Error>"
    head = f"HTTP/1.1 {status} X\r\nx-ms-error-code: {code}\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}"
    return f"{head}\r\nConnection: close\r\n\r\n{body}".encode()


@sdk_reads_xml
@pytest.mark.parametrize("kind", ["application/json", "application/xml"])
@pytest.mark.parametrize(
    ("status", "code"),
    [
        (400, "InvalidInput"),
        (403, "AuthenticationFailed"),
        (403, "AuthorizationFailure"),
        (404, "ResourceNotFound"),
        (404, "TableNotFound"),
        (404, "Unheard"),
        (409, "EntityAlreadyExists"),
        (409, "TableBeingDeleted"),
        (412, "UpdateConditionNotSatisfied"),
        (412, "ConditionNotMet"),
        (413, "RequestBodyTooLarge"),
        (501, "NotImplemented"),
    ],
)
def test_a_request_that_is_refused_raises_what_the_sdk_raises(tables: str, status: int, code: str, kind: str) -> None:
    answer = refusing(status, code, kind)
    insert = Insert(entity("p", "r"))

    async def play() -> None:
        async with proxied(tables, *[answer] * 4) as (through, proxy), clients(through) as both:
            expected = await outcome(both.table().submit_transaction([as_sdk(insert)]))
            assert await outcome(both.wire.submit(TABLE, [insert])) == expected
            assert (expected.status, expected.code) == (status, code)

            expected = await outcome(both.table().get_entity("p", "r"))
            found = await outcome(both.wire.get(TABLE, "p", "r"))
            if code == "ResourceNotFound":
                assert found == Outcome()
            elif status != 413:  # to a read the SDK has no such error, and no service has such an answer
                assert found == expected
            assert len(proxy.heads) == 4

    asyncio.run(play())


@pytest.mark.parametrize("fault", [Fault.LOSE_REQUEST, Fault.LOSE_ANSWER])
def test_a_transaction_whose_answer_is_lost_is_sent_once_and_raises(tables: str, fault: Fault) -> None:
    async def play() -> None:
        found = []
        for through_wire in (False, True):
            partition = new_partition()
            insert = Insert(entity(partition, "r"))
            async with proxied(tables, fault) as (through, proxy), clients(through) as both:
                if through_wire:
                    found.append(await outcome(both.wire.submit(TABLE, [insert])))
                else:
                    found.append(await outcome(both.table().submit_transaction([as_sdk(insert)])))
                assert len(proxy.heads) == 1
                assert (await both.rows(partition) == {"r": {}}) == (fault is Fault.LOSE_ANSWER)
        assert found[0] == found[1]
        assert found[0].kind in {ServiceRequestError, ServiceResponseError}

    asyncio.run(play())


def test_a_transaction_whose_answer_is_cut_off_is_sent_once_and_raises(tables: str) -> None:
    async def play() -> None:
        partition = new_partition()
        async with proxied(tables, Fault.CUT_ANSWER) as (through, proxy), clients(through) as both:
            found = await outcome(both.wire.submit(TABLE, [Insert(entity(partition, "r"))]))
            assert found == Outcome(ServiceResponseError)
            assert len(proxy.heads) == 1
            assert await both.rows(partition) == {"r": {}}

    asyncio.run(play())


def test_an_answer_that_is_whole_to_http_and_not_to_its_boundary_raises(tables: str) -> None:
    body = b"--batchresponse_1\r\nContent-Type: multipart/mixed; boundary=changesetresponse_1\r\n\r\n"
    answer = b"HTTP/1.1 202 Accepted\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)

    async def play() -> None:
        async with proxied(tables, answer) as (through, _), clients(through) as both:
            assert await outcome(both.wire.submit(TABLE, [Delete("p", "r")])) == Outcome(ServiceResponseError)

    asyncio.run(play())


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b'{"Text":"\xff"}', b"{}"])
def test_a_read_whose_answer_is_no_row_raises(tables: str, body: bytes) -> None:
    answer = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)

    async def play() -> None:
        async with proxied(tables, answer) as (through, _), clients(through) as both:
            assert await outcome(both.wire.get(TABLE, "p", "r")) == Outcome(ServiceResponseError)

    asyncio.run(play())


def test_a_compressed_answer_is_read(tables: str) -> None:
    body = gzip.compress(b'{"Text":"t"}')
    head = b"HTTP/1.1 200 OK\r\nConnection: close\r\nETag: e\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n"

    async def play() -> None:
        async with proxied(tables, head % len(body) + body) as (through, _), clients(through) as both:
            assert await both.wire.get(TABLE, "p", "r") == ({"Text": "t"}, "e")

    asyncio.run(play())


@pytest.mark.parametrize("fault", [*Fault, refusing(503, "ServerBusy")], ids=str)
def test_a_read_is_tried_again(tables: str, fault: Fault | bytes) -> None:
    async def play() -> None:
        partition = new_partition()
        async with proxied(tables, fault) as (through, proxy), clients(tables) as direct, clients(through) as both:
            await direct.table().create_entity(entity(partition, "r", Text="t"))
            found = await both.wire.get(TABLE, partition, "r")
            assert found is not None
            assert found[0]["Text"] == "t"
            assert len(proxy.heads) == 2

    asyncio.run(play())


def test_a_transaction_is_tried_again_when_the_service_is_busy(tables: str) -> None:
    async def play() -> None:
        partition = new_partition()
        async with proxied(tables, refusing(503, "ServerBusy")) as (through, proxy), clients(through) as both:
            await both.wire.submit(TABLE, [Insert(entity(partition, "r"))])
            assert len(proxy.heads) == 2
            assert await both.rows(partition) == {"r": {}}

    asyncio.run(play())


def test_both_clients_give_up_on_a_service_that_stays_busy_after_three_attempts(tables: str) -> None:
    async def play() -> None:
        insert = Insert(entity("p", "r"))
        async with proxied(tables, *[refusing(503, "ServerBusy")] * 6) as (through, proxy), clients(through) as both:
            expected = await outcome(both.table().submit_transaction([as_sdk(insert)]))
            assert len(proxy.heads) == 3
            assert await outcome(both.wire.submit(TABLE, [insert])) == expected
            assert len(proxy.heads) == 6
            assert expected.status == 503

    asyncio.run(play())


def test_a_service_that_cannot_be_reached_raises_what_the_sdk_raises(tables: str) -> None:
    async def play() -> None:
        async with proxied(tables) as (through, _):
            pass
        insert = Insert(entity("p", "r"))
        async with clients(through) as both:
            expected = await outcome(both.table().submit_transaction([as_sdk(insert)]))
            assert await outcome(both.wire.submit(TABLE, [insert])) == expected
            assert await outcome(both.wire.get(TABLE, "p", "r")) == expected
            assert expected == Outcome(ServiceRequestError)

    asyncio.run(play())


@sdk_reads_xml
def test_a_wrong_key_is_refused_and_shown_to_nobody(tables: str) -> None:
    key = base64.b64encode(b"wrong" * 12).decode()
    fields = dict(field.split("=", 1) for field in tables.rstrip(";").split(";"))
    wrong = tables.replace(fields["AccountKey"], key)

    async def play() -> None:
        async with proxied(wrong) as (through, proxy), clients(through) as both:
            insert = Insert(entity("p", "r"))
            expected = await outcome(both.table().submit_transaction([as_sdk(insert)]))
            assert await outcome(both.wire.submit(TABLE, [insert])) == expected
            assert expected.status == 403
            errors = [await raised(both.wire.submit(TABLE, [insert])), await raised(both.wire.get(TABLE, "p", "r"))]
            signatures = [head.partition(b"SharedKeyLite leasehook:")[2][:44].decode() for head in proxy.heads[1:]]
            assert all(len(signature) == 44 for signature in signatures)
            for error in errors:
                assert "AuthorizationFailure" in str(error)
                assert not [one for one in (key, *signatures) if one in printed(error)]

    asyncio.run(play())


@pytest.mark.parametrize("key", ["not-base64!", "né"])
def test_a_key_that_is_not_base64_is_refused_and_shown_to_nobody(key: str) -> None:
    async def play() -> None:
        wire = Wire("http://127.0.0.1:1/x", AzureNamedKeyCredential("x", key))
        error = await raised(wire.get(TABLE, "p", "r"))
        await wire.close()
        assert isinstance(error, ClientAuthenticationError)
        assert key not in printed(error)

    asyncio.run(play())


def sas(tables: str) -> tuple[str, str]:
    """The account's URL, and a SAS for everything in it."""
    fields = dict(field.split("=", 1) for field in tables.rstrip(";").split(";"))
    token = generate_account_sas(
        AzureNamedKeyCredential(fields["AccountName"], fields["AccountKey"]),
        ResourceTypes(service=True, object=True),
        AccountSasPermissions(read=True, write=True, delete=True, add=True, update=True),
        dt.datetime.now(dt.UTC) + dt.timedelta(hours=1),
    )
    return fields["TableEndpoint"].rstrip("/"), token


@pytest.mark.parametrize("in_url", [True, False], ids=["in the URL", "as a credential"])
def test_a_sas_opens_the_account_and_is_shown_to_nobody(tables: str, *, in_url: bool) -> None:
    async def play() -> None:
        # What is no HTTP makes aiohttp raise an error that shows the URL.
        async with proxied(tables, b"what is this\r\n\r\n") as (through, proxy):
            url, token = sas(through)
            wire = Wire(f"{url}?{token}", None) if in_url else Wire(url, AzureSasCredential(token))
            partition = new_partition()
            error = await raised(wire.submit(TABLE, [Insert(entity(partition, "r"))]))
            [etag] = await wire.submit(TABLE, [Insert(entity(partition, "r"))])
            assert await wire.get(TABLE, partition, "r") == (entity(partition, "r"), etag)
            await wire.close()
            assert all(b"sig=" in head for head in proxy.heads)
            signature = unquote(token.partition("sig=")[2].partition("&")[0])
            longest = max(re.split("[^A-Za-z0-9]", signature), key=len)  # the rest is written in several ways
            assert not [one for one in ("sig=", longest) if one in printed(error)]

    asyncio.run(play())


class Identity:
    """A managed identity that remembers what it was asked for."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, ...]] = []

    async def get_token(self, *scopes: str, **_: Any) -> AccessToken:
        """A token for an hour."""
        self.asked.append(scopes)
        return AccessToken("a-token", int(dt.datetime.now(dt.UTC).timestamp()) + 3600)

    async def close(self) -> None:
        """There is nothing to close."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        """There is nothing to close."""


def test_a_managed_identity_is_asked_for_a_token_for_storage() -> None:
    async def play() -> None:
        identity = Identity()
        request = HttpRequest("GET", "https://leasehook.table.core.windows.net/Drivers()")
        [policy] = _authorizing(identity)
        await policy.on_request(PipelineRequest(request, PipelineContext(None)))
        assert request.headers["Authorization"] == "Bearer a-token"
        assert identity.asked == [("https://storage.azure.com/.default",)]

    asyncio.run(play())


def test_a_token_is_not_sent_in_the_clear(tables: str) -> None:
    async def play() -> None:
        async with proxied(tables) as (through, proxy):
            identity = Identity()
            wire = Wire(sas(through)[0], identity)
            with pytest.raises(ServiceRequestError):
                await wire.get(TABLE, "p", "r")
            await wire.close()
            assert (proxy.heads, identity.asked) == ([], [])

    asyncio.run(play())


def test_in_azure_the_accounts_name_is_signed_once_though_the_host_has_it() -> None:
    url = "https://leasehook.table.core.windows.net/Drivers(PartitionKey='a%20b',RowKey='c')"
    request = PipelineRequest(HttpRequest("GET", url), PipelineContext(None))
    key = base64.b64encode(b"key").decode()
    DatePolicy().on_request(request)
    SharedKeyLitePolicy(AzureNamedKeyCredential("leasehook", key)).on_request(request)
    headers = request.http_request.headers
    signed = f"{headers['x-ms-date']}\n/leasehook/Drivers(PartitionKey='a%20b',RowKey='c')"
    signature = base64.b64encode(hmac.digest(b"key", signed.encode(), "sha256")).decode()
    assert headers["Authorization"] == f"SharedKeyLite leasehook:{signature}"
    assert headers["x-ms-date"].endswith(" GMT")
