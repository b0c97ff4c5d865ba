"""The relay's log lines, as text and as JSON."""

import datetime as dt
import io
import json
import logging
import re
from collections.abc import Iterator
from typing import Any

import pytest

from relay.logs import LastTrouble, fields, log, short, write_logs
from tests.writing import new_keys

TIME = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"


@pytest.fixture(autouse=True)
def logger_as_it_was() -> Iterator[None]:
    """The relay's logger is the process's: put back what `write_logs` changes."""
    before = log.handlers, log.level, log.propagate
    yield
    log.handlers, log.level, log.propagate = before


class Console:
    """What the relay printed since the last look."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys

    def line(self) -> str:
        [line] = self._capsys.readouterr().out.splitlines()
        return line

    def json(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.line())
        return found


@pytest.fixture
def console(capsys: pytest.CaptureFixture[str]) -> Console:
    return Console(capsys)


def test_a_text_line_is_time_level_message_and_facts(console: Console) -> None:
    write_logs("text")
    log.info("delivered", extra=fields(events=3, first="000000000007-000001"))
    assert re.fullmatch(TIME + " INFO delivered events=3 first=000000000007-000001", console.line())


def test_a_json_line_holds_the_same(console: Console) -> None:
    write_logs("json")
    log.warning("not delivered", extra=fields(events=3, reason="no answer", retry_in_s=0.25))
    line = console.json()
    assert re.fullmatch(TIME, line.pop("time"))
    assert line == {
        "level": "WARNING",
        "message": "not delivered",
        "events": 3,
        "reason": "no answer",
        "retry_in_s": 0.25,
    }


@pytest.mark.parametrize(
    ("value", "written"),
    [
        ("plain", "plain"),
        ("", '""'),
        ("two words", '"two words"'),
        ("a=b", '"a=b"'),
        ('say "no"', r'"say \"no\""'),
        ("first\nsecond", r'"first\nsecond"'),
        ("first\r\nlevel=ERROR", r'"first\r\nlevel=ERROR"'),
        ("line\u2028separator", r'"line\u2028separator"'),
        ("café", "café"),
        (0.123456, "0.123"),
        (None, "None"),
    ],
)
def test_a_text_fact_is_quoted_where_it_could_be_misread(value: object, written: str, console: Console) -> None:
    write_logs("text")
    log.info("m", extra=fields(fact=value))
    assert console._capsys.readouterr().out.rstrip("\n").endswith(f" INFO m fact={written}")


@pytest.mark.parametrize("log_format", ["text", "json"])
@pytest.mark.parametrize("value", ["first\nsecond", "first\r\nsecond", "\x1b[2Jcleared"], ids=repr)
def test_no_fact_can_break_a_line_in_two_or_steer_a_terminal(log_format: str, value: str, console: Console) -> None:
    write_logs(log_format)
    log.info("m", extra=fields(reason=value))
    assert console.line().isprintable()


@pytest.mark.parametrize("log_format", ["text", "json"])
def test_no_argument_of_a_message_can_break_its_line_or_steer_a_terminal(log_format: str, console: Console) -> None:
    write_logs(log_format)
    log.error("another relay has taken over: %s", "relay \x1b[2J\r\n\u2028 took over")
    assert console.line().isprintable()


@pytest.mark.parametrize("log_format", ["text", "json"])
def test_a_message_without_facts_is_a_line_too(log_format: str, console: Console) -> None:
    write_logs(log_format)
    log.info("stopping")
    assert "stopping" in console.line()


def test_arguments_are_put_into_the_message(console: Console) -> None:
    write_logs("json")
    log.error("STOPPED: %s", "the checkpoint is ahead")
    assert console.json()["message"] == "STOPPED: the checkpoint is ahead"


def test_json_carries_any_value(console: Console) -> None:
    write_logs("json")
    log.info("m", extra=fields(path=re.compile("x"), car="é"))
    assert console.json()["car"] == "é"


def _fail() -> None:
    raise ValueError("what went wrong")


@pytest.mark.parametrize("log_format", ["text", "json"])
def test_an_exception_is_written_with_its_traceback(log_format: str, capsys: pytest.CaptureFixture[str]) -> None:
    write_logs(log_format)
    try:
        _fail()
    except ValueError:
        log.exception("unexpected")
    written = capsys.readouterr().out
    assert "ValueError: what went wrong" in written
    assert "in _fail" in written
    if log_format == "json":
        assert len(written.splitlines()) == 1


def test_what_is_below_info_is_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    write_logs("text")
    log.debug("detail")
    assert capsys.readouterr().out == ""


def test_choosing_a_format_twice_writes_each_line_once(console: Console) -> None:
    write_logs("text")
    write_logs("json")
    log.info("once")
    assert console.json()["message"] == "once"


def test_no_line_goes_to_the_root_logger_as_well(
    caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    write_logs("text")
    log.info("once")
    assert [record for record in caplog.records if record.name == log.name] == []
    assert logging.getLogger("leasehook.relay") is log


def test_another_stream_may_take_the_log_from_another_level_on(capsys: pytest.CaptureFixture[str]) -> None:
    stream = io.StringIO()
    write_logs("text", stream, logging.WARNING)
    log.info("left out")
    log.warning("kept")
    assert [line.partition(" ")[2] for line in stream.getvalue().splitlines()] == ["WARNING kept"]
    assert capsys.readouterr().out == ""


# ---- public keys


def test_a_public_key_is_shortened_wherever_it_stands_in_a_text() -> None:
    first, second = (new_keys().public_key for _ in range(2))
    text = short(f"owners {first}, {second}; not '{first}'.")
    assert text == f"owners {first[:8]}…, {second[:8]}…; not '{first[:8]}…'."


@pytest.mark.parametrize(
    "text", ["", "no key", "a" * 64, "0123456789abcdef" * 4, "x" * 40, "x" * 45, "é" * 43, "0" * 43, "l" * 44]
)
def test_what_is_no_public_key_is_left_as_it_is(text: str) -> None:
    assert short(text) == text


# ---- the last trouble


@pytest.fixture
def trouble() -> Iterator[LastTrouble]:
    """The last trouble of a relay that writes its log."""
    write_logs("text", io.StringIO())
    trouble = LastTrouble()
    log.addHandler(trouble)
    yield trouble
    log.removeHandler(trouble)


def test_without_trouble_there_is_none(trouble: LastTrouble) -> None:
    log.info("delivered", extra=fields(reason="none"))
    assert (trouble.text, trouble.at) == ("", None)


@pytest.mark.parametrize(
    ("named", "text"),
    [
        ({}, "not delivered"),
        ({"events": 3}, "not delivered"),
        ({"reason": "no answer", "events": 3}, "not delivered: no answer"),
        ({"what": "the ledger", "attempt": 2}, "not delivered: the ledger"),
        ({"what": "the ledger", "reason": "a 502"}, "not delivered: a 502"),
    ],
)
def test_the_last_trouble_is_a_lines_message_and_its_reason(
    trouble: LastTrouble, named: dict[str, Any], text: str
) -> None:
    log.warning("not delivered", extra=fields(**named))
    assert trouble.text == text


def test_the_last_trouble_is_that_of_the_last_warning_or_error_and_when_it_was(trouble: LastTrouble) -> None:
    before = dt.datetime.now(dt.UTC)
    log.warning("first")
    log.error("STOPPED: %s", "another ledger")
    log.info("stopping")
    assert trouble.text == "STOPPED: another ledger"
    assert trouble.at is not None
    assert before <= trouble.at <= dt.datetime.now(dt.UTC)
