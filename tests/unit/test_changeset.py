"""An entity group transaction as text: what is sent can be read back, and no odd answer is taken for a good one."""

import re
from typing import Any
from urllib.parse import unquote

import msgspec
import pytest
from azure.core.exceptions import ServiceResponseError
from hypothesis import given
from hypothesis import strategies as st
from yarl import URL

from functions.records.changeset import (
    Delete,
    Insert,
    Merge,
    Operation,
    Refusal,
    Replace,
    decode,
    encode,
    refusal,
    row_path,
)

ACCOUNT = "http://127.0.0.1:10002/leasehook"
ETAG = "W/\"datetime'2026-01-01T00%3A00%3A00.0000000Z'\""
OPERATIONS: list[Operation] = [Insert({"PartitionKey": "p", "RowKey": "a"}), Delete("p", "b"), Merge({"RowKey": "c"})]

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=40) | st.sampled_from(
    ["it's", "100 %", "a\r\n--changeset_x\r\n", "HTTP/1.1 204", "{}}{", "\u2028\u2029", "\x85", "", "null", "😀"]
)
keys = st.text(
    st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="/\\#?") | st.sampled_from("'%+ \"&=,()é😀"),
    max_size=40,
)


def parts(body: bytes) -> list[bytes]:
    """The operations of a $batch body, taken apart by its boundaries alone."""
    opening, inner, closing = body.partition(b"--changeset_x\r\n")
    assert opening == b"--batch_x\r\nContent-Type: multipart/mixed; boundary=changeset_x\r\n\r\n"
    changes, end, closing = (inner + closing).partition(b"--changeset_x--\r\n")
    assert (end, closing) == (b"--changeset_x--\r\n", b"--batch_x--\r\n")
    return re.split(rb"^--changeset_x\r\n", changes, flags=re.MULTILINE)[1:]


def sent(operation: Operation) -> tuple[str, dict[str, str], bytes]:
    """The request line, headers and body of the only operation of a transaction."""
    [part] = parts(encode(ACCOUNT, "Drivers", [operation], "x"))
    wrapping, request, body = part.split(b"\r\n\r\n", 2)
    assert wrapping == b"Content-Type: application/http\r\nContent-Transfer-Encoding: binary"
    line, *headers = request.decode("ascii").split("\r\n")
    return line, dict(header.split(": ", 1) for header in headers), body.removesuffix(b"\r\n")


def answered(*answers: str) -> bytes:
    """The answer to a $batch, as Azure writes it."""
    inner = "".join(
        f"--changesetresponse_y\r\nContent-Type: application/http\r\nContent-Transfer-Encoding: binary\r\n\r\n{one}\r\n"
        for one in answers
    )
    return (
        "--batchresponse_y\r\nContent-Type: multipart/mixed; boundary=changesetresponse_y\r\n\r\n"
        f"{inner}--changesetresponse_y--\r\n--batchresponse_y--\r\n"
    ).encode()


def written(etag: str) -> str:
    """The answer to an operation that left a row."""
    return f"HTTP/1.1 204 No Content\r\nCache-Control: no-cache\r\nETag: {etag}\r\nDataServiceVersion: 1.0;\r\n\r\n"


DELETED = "HTTP/1.1 204 No Content\r\nDataServiceVersion: 1.0;\r\n\r\n"
EXISTS = (
    "HTTP/1.1 409 Conflict\r\nContent-Type: application/json;odata=minimalmetadata\r\n\r\n"
    '{"odata.error":{"code":"EntityAlreadyExists","message":{"lang":"en-US","value":"1:It exists.\\nTime:now"}}}'
)


def test_each_operation_has_its_method_and_its_condition() -> None:
    entity = {"PartitionKey": "p", "RowKey": "r"}
    path = f"{ACCOUNT}/Drivers(PartitionKey='p',RowKey='r')"
    found = {}
    for operation in (Insert(entity), Replace(entity, ETAG), Merge(entity), Merge(entity, ETAG), Delete("p", "r")):
        line, headers, _ = sent(operation)
        found[line, headers.get("If-Match")] = headers.get("Prefer")
    assert found == {
        (f"POST {ACCOUNT}/Drivers HTTP/1.1", None): "return-no-content",
        (f"PUT {path} HTTP/1.1", ETAG): None,
        (f"PATCH {path} HTTP/1.1", "*"): None,
        (f"PATCH {path} HTTP/1.1", ETAG): None,
        (f"DELETE {path} HTTP/1.1", "*"): None,
    }


def test_what_is_none_is_left_out() -> None:
    body = sent(Insert({"PartitionKey": "p", "RowKey": "r", "Class": None, "Zero": 0, "No": False, "Empty": ""}))[2]
    assert msgspec.json.decode(body) == {"PartitionKey": "p", "RowKey": "r", "Zero": 0, "No": False, "Empty": ""}


@given(
    st.dictionaries(st.from_regex(r"\A[A-Za-z_]\w{0,10}\Z"), texts | st.booleans() | st.integers(-(2**31), 2**31 - 1))
)
def test_any_entity_can_be_read_back_from_one_line(properties: dict[str, Any]) -> None:
    entity = properties | {"PartitionKey": "p", "RowKey": "r"}
    body = sent(Insert(entity))[2]
    assert msgspec.json.decode(body) == entity
    # Azurite reads the body by a pattern which these would end.
    assert not {"\n", "\r", "\u2028", "\u2029"} & set(body.decode())


@given(st.lists(st.tuples(keys, texts), min_size=1, max_size=5))
def test_what_is_in_a_row_never_looks_like_the_end_of_it(rows: list[tuple[str, str]]) -> None:
    operations = [Merge({"PartitionKey": "p", "RowKey": key, "Text": text}) for key, text in rows]
    found = [msgspec.json.decode(part.split(b"\r\n\r\n", 2)[2]) for part in parts(encode("", "T", operations, "x"))]
    assert found == [operation.entity for operation in operations]


@given(keys, keys)
def test_the_path_of_a_row_is_sent_as_it_is_signed_and_holds_both_keys(partition: str, row: str) -> None:
    path = row_path("Drivers", partition, row)
    assert URL("http://host" + path).raw_path == path
    assert path.isascii()
    assert not set(path) & set(' "/?#<>\\^`{|}%\x7f') - {"/", "%"}
    doubled = [key.replace("'", "''") for key in (partition, row)]
    assert unquote(path) == f"/Drivers(PartitionKey='{doubled[0]}',RowKey='{doubled[1]}')"


def test_the_new_etags_come_in_the_order_of_the_operations() -> None:
    assert decode(answered(written(ETAG), DELETED, written("other")), OPERATIONS) == [ETAG, "", "other"]


def test_headers_of_an_answer_may_be_in_any_case() -> None:
    assert decode(answered(written(ETAG).replace("ETag", "etag")), OPERATIONS[:1]) == [ETAG]


def test_one_refused_operation_stands_for_all() -> None:
    assert decode(answered(EXISTS), OPERATIONS) == Refusal(409, "EntityAlreadyExists", "1:It exists.\nTime:now")


def test_a_refusal_counts_whatever_stands_before_it() -> None:
    found = decode(answered(written(ETAG), EXISTS), OPERATIONS)
    assert isinstance(found, Refusal)
    assert found.code == "EntityAlreadyExists"


def test_an_answer_cut_off_anywhere_is_no_answer() -> None:
    whole = answered(written(ETAG), DELETED, written("other"))
    for length in range(len(whole.rstrip())):
        with pytest.raises(ServiceResponseError):
            decode(whole[:length], OPERATIONS)


@pytest.mark.parametrize(
    "answer",
    [
        answered(),
        answered(written(ETAG), DELETED),
        answered(written(ETAG), DELETED, written("other"), written("one more")),
        answered(DELETED, written(ETAG), written("other")),
        answered(DELETED, DELETED, DELETED),
        b"<html>busy</html>",
        b"--\r\n--",
        answered(written(ETAG), DELETED, written("other")).replace(b"HTTP/1.1", b"HTTX/1.1"),
    ],
    ids=["none", "fewer", "more", "in another order", "no ETags", "a page", "only dashes", "no status lines"],
)
def test_an_answer_that_is_not_one_for_these_operations_is_no_answer(answer: bytes) -> None:
    with pytest.raises(ServiceResponseError):
        decode(answer, OPERATIONS)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"busy",
        b"<Error><Code>X</Code></Error>",
        b"{}",
        b"[]",
        b'{"odata.error":7}',
        b'{"odata.error":{}}',
        b'{"odata.error":{"code":"\xff"}}',
    ],
)
def test_a_refusal_without_a_readable_reason_keeps_its_status_and_the_headers_code(body: bytes) -> None:
    found = refusal(503, body, "ServerBusy")
    assert (found.status, found.code) == (503, "ServerBusy")
    assert "503" in found.message


def test_the_text_of_a_refusal_is_cut() -> None:
    body = msgspec.json.encode({"odata.error": {"code": "X", "message": {"value": "long " * 10_000}}})
    assert len(refusal(400, body).message) == 1000
