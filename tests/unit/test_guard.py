"""What may not go to Azure Table Storage is refused before it is sent, each limit at its edge."""

from typing import Any

import pytest

from functions.records.changeset import Delete, Insert, Merge, Operation, Replace
from functions.records.errors import RecordError, RefusedError, RowTooLargeError
from functions.records.guard import MAX_BODY_BYTES, check, check_keys, check_length

ETAG = "W/\"datetime'2026-01-01T00%3A00%3A00.0000000Z'\""


def row(key: str = "r", partition: str = "p", /, **properties: Any) -> dict[str, Any]:
    """A row."""
    return {"PartitionKey": partition, "RowKey": key, **properties}


def refused(*operations: Operation) -> RecordError:
    """The error with which a transaction is refused."""
    with pytest.raises(RecordError) as caught:
        check(operations)
    return caught.value


def test_a_transaction_of_all_kinds_passes() -> None:
    everything = row("a", Text="ä", Flag=True, Number=-(2**31), Most=2**31 - 1, Nothing=None)
    check([Insert(everything), Replace(row("b"), ETAG), Merge(row("c")), Delete("p", "d"), Delete("p", "e", ETAG)])


def test_a_transaction_has_from_1_to_100_operations() -> None:
    check([Insert(row(str(number))) for number in range(100)])
    assert isinstance(refused(), RefusedError)
    error = refused(*(Insert(row(str(number))) for number in range(101)))
    assert isinstance(error, RowTooLargeError)
    assert "101 operations" in str(error)
    assert "at most 100" in str(error)


@pytest.mark.parametrize("other", [Insert(row("b", "q")), Delete("q", "b"), Merge(row("b", "P"))])
def test_a_transaction_stays_in_one_partition(other: Operation) -> None:
    error = refused(Insert(row("a")), other)
    assert isinstance(error, RefusedError)
    assert "'b'" in str(error)


@pytest.mark.parametrize("again", [Insert(row("a")), Delete("p", "a"), Replace(row("a"), ETAG)])
def test_a_transaction_changes_a_row_once(again: Operation) -> None:
    error = refused(Insert(row("a")), Insert(row("b")), again)
    assert isinstance(error, RefusedError)
    assert "'a'" in str(error)


def test_a_body_has_at_most_4_mib() -> None:
    check_length(4 * 1024 * 1024)
    with pytest.raises(RowTooLargeError, match="4194305 bytes, and may have 4194304"):
        check_length(MAX_BODY_BYTES + 1)


def test_an_entity_has_at_most_1_mib_as_azure_counts_it() -> None:
    texts = {f"T{number:02}": "x" * 32_000 for number in range(16)}
    counted = 4 + 2 * (1 + 1) + 16 * (8 + 2 * 3 + 4 + 64_000) + (8 + 2 * 1 + 1) + (8 + 2 * 1 + 4)
    left = (2**20 - counted - (8 + 2 * 4 + 4)) // 2
    assert (2**20 - counted) % 2 == 1  # an odd byte, for the truth value: one unit more is over
    check([Insert(row(**texts, B=True, N=1, Last="x" * left))])
    error = refused(Insert(row(**texts, B=True, N=1, Last="x" * (left + 1))))
    assert isinstance(error, RowTooLargeError)
    assert f"'r': it has {2**20 + 1} bytes, and may have {2**20}" in str(error)


def test_an_entity_has_at_most_252_properties_besides_the_systems_own() -> None:
    properties: dict[str, Any] = {f"P{number}": number for number in range(252)}
    check([Insert(row(**properties, Timestamp="2026-01-01T00:00:00Z", LeftOut=None))])
    error = refused(Insert(row(**properties, One="more")))
    assert isinstance(error, RowTooLargeError)
    assert "253 properties" in str(error)
    assert "252" in str(error)


def test_a_propertys_name_has_at_most_255_characters() -> None:
    check([Insert(row(**{"N" * 255: 1}))])
    error = refused(Insert(row(**{"N" * 256: 1})))
    assert isinstance(error, RowTooLargeError)
    assert "256 characters, and may have 255" in str(error)


@pytest.mark.parametrize("name", ["", "1st", "a-b", "a b", "a.b", "odata.type", "a\u2028b", "a\ud800"])
def test_a_propertys_name_is_an_identifier(name: str) -> None:
    assert isinstance(refused(Insert(row(**{name: 1}))), RefusedError)


@pytest.mark.parametrize("name", ["_", "snake_case", "Überschuss", "名前", "A1"])
def test_an_identifier_may_be_of_any_script(name: str) -> None:
    check([Merge(row(**{name: 1}))])


@pytest.mark.parametrize("character", ["x", "é", "語"])
def test_a_text_has_at_most_32768_utf_16_units(character: str) -> None:
    check([Insert(row(Text=character * 32_768))])
    error = refused(Insert(row(Text=character * 32_769)))
    assert isinstance(error, RowTooLargeError)
    assert "'r': property 'Text' has 32769 UTF-16 units, and may have 32768" in str(error)


def test_a_character_beyond_the_basic_plane_counts_as_two_units() -> None:
    check([Insert(row(Text="😀" * 16_384))])
    assert isinstance(refused(Insert(row(Text="😀" * 16_384 + "x"))), RowTooLargeError)


@pytest.mark.parametrize("number", [2**31, -(2**31) - 1, 2**63])
def test_a_number_has_at_most_32_bits(number: int) -> None:
    error = refused(Insert(row(Mileage=number)))
    assert isinstance(error, RefusedError)
    assert "'r': property 'Mileage'" in str(error)
    assert "may have 32" in str(error)


@pytest.mark.parametrize("value", [1.5, b"bytes", ["list"], {"a": 1}, ("a", "Edm.Int64")])
def test_a_value_is_a_text_a_truth_value_a_number_or_none(value: Any) -> None:
    error = refused(Insert(row(Odd=value)))
    assert isinstance(error, RefusedError)
    assert f"property 'Odd' is of type {type(value).__name__}" in str(error)


@pytest.mark.parametrize("operation", [Insert(row(Text="a\ud800")), Delete("p", "a\udfff"), Delete("\ud800", "a")])
def test_half_a_surrogate_pair_is_refused_everywhere(operation: Operation) -> None:
    error = refused(operation)
    assert isinstance(error, RefusedError)
    str(error).encode()


@pytest.mark.parametrize("place", ["PartitionKey", "RowKey"])
def test_a_key_has_at_most_1024_bytes_in_utf_16(place: str) -> None:
    for longest in ("k" * 512, "é" * 512, "😀" * 256):
        check([Insert(row() | {place: longest})])
        error = refused(Insert(row() | {place: longest + "k"}))
        assert isinstance(error, RowTooLargeError)
        assert f"{place} has 1026 bytes in UTF-16, and may have 1024" in str(error)


@pytest.mark.parametrize("character", ["/", "\\", "#", "?", "\x00", "\n", "\x1f", "\x7f", "\x85", "\x9f"])
def test_some_characters_may_not_stand_in_keys(character: str) -> None:
    for keys in (("p", f"a{character}"), (f"{character}a", "r")):
        assert isinstance(refused(Delete(*keys)), RefusedError)
        with pytest.raises(RefusedError):
            check_keys(*keys)


def test_other_odd_characters_may_stand_in_keys() -> None:
    check([Delete("it's 100 %", "a+b&c=d;e:f@g,(h)!$*~|^`<>[]{}\"'\xa0é😀"), Delete("it's 100 %", "")])


@pytest.mark.parametrize("entity", [{"PartitionKey": "p"}, {"RowKey": "r"}, {"PartitionKey": "p", "RowKey": 7}])
def test_both_keys_are_texts(entity: dict[str, Any]) -> None:
    assert isinstance(refused(Insert(entity)), RefusedError)


@pytest.mark.parametrize("etag", ["", "*\r\nX: y", "é"])
def test_an_etag_is_what_a_header_can_hold(etag: str) -> None:
    assert isinstance(refused(Replace(row(), etag)), RefusedError)
    assert isinstance(refused(Delete("p", "r", etag)), RefusedError)


def test_a_message_shows_the_row_cut_and_no_value() -> None:
    private = "the driver's name"
    for value in (private * 4_000, private + "\ud800", [private]):
        message = str(refused(Insert(row("k" * 200, Name=value))))
        assert "'" + "k" * 16 + "'" in message
        assert "k" * 81 not in message
        assert "'Name'" in message
        assert private not in message
