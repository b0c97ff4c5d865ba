"""How deeply a JSON text is nested."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from functions.api.nesting import depth

VALUES = st.recursive(
    st.none() | st.integers() | st.text(st.sampled_from('[]{}"\\ax'), max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(st.sampled_from('[]{}"\\a'), max_size=4), inner, max_size=3)
    ),
    max_leaves=20,
)


def levels(value: Any) -> int:
    """The levels of a value."""
    if isinstance(value, dict):
        return 1 + max(map(levels, value.values()), default=0)
    if isinstance(value, list):
        return 1 + max(map(levels, value), default=0)
    return 0


@given(VALUES)
def test_the_depth_of_a_text_is_the_levels_of_its_value(value: Any) -> None:
    assert depth(json.dumps(value).encode()) == levels(value)


@given(st.binary(max_size=50))
def test_any_bytes_have_a_depth(text: bytes) -> None:
    assert 0 <= depth(text) <= len(text)


def test_brackets_in_a_string_without_an_end_do_not_count() -> None:
    assert depth(b'[["' + b'\\"[' * 100_000) == 2


def test_brackets_between_quotes_that_are_escaped_do_not_count() -> None:
    assert depth(b'["\\"[[\\\\", "]", "[\\\\\\"[", [""]]') == 2


@pytest.mark.parametrize("text", [b"[[\\", b'[[\\"', b"[[\\]]", b'["[", [\\"'])
def test_brackets_before_a_backslash_outside_of_a_string_count(text: bytes) -> None:
    assert depth(text) == 2
