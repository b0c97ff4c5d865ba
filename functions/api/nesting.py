"""How deeply a JSON text is nested, found without reading it: what nests too deeply could exhaust a parser's stack."""

import re
from itertools import accumulate

# A backslash stands in strings alone: where one stands elsewhere, a parser gets no further, whatever comes after it.
_ESCAPES = re.compile(rb"\\.", re.DOTALL)
_ALL_BUT_BRACKETS_AND_QUOTES = bytes(byte for byte in range(256) if byte not in b'[]{}"')
# One level up or down, as signed bytes.
_STEPS = bytes.maketrans(b"[{]}", b"\x01\x01\xff\xff")


def depth(text: bytes) -> int:
    """The most brackets that are open at once outside of strings; time grows with the length alone."""
    marks = _ESCAPES.sub(b"", text).translate(None, _ALL_BUT_BRACKETS_AND_QUOTES)
    # Two quotes side by side leave what is inside of a string where it is, and are most of what there is.
    outside_of_strings = marks.replace(b'""', b"").split(b'"')[::2]
    steps = b"".join(outside_of_strings).translate(_STEPS)
    return max(accumulate(memoryview(steps).cast("b"), initial=0))
