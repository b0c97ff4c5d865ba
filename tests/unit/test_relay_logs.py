"""The relay's log lines, as text and as JSON."""

import json
import logging
import re
from collections.abc import Iterator
from typing import Any

import pytest

from relay.logs import fields, log, write_logs

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
