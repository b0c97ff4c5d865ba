"""How deeply a JSON text is nested, found without reading it: what nests too deeply could exhaust a parser's stack."""

import re
from itertools import accumulate

# The last quote is optional, so that a text cut off inside of a string is not searched again from each quote.
_STRINGS = re.compile(rb'"(?:[^"\\]++|\\.)*+"?', re.DOTALL)
_ALL_BUT_BRACKETS = bytes(byte for byte in range(256) if byte not in b"[]{}")
_STEPS = {ord("["): 1, ord("{"): 1, ord("]"): -1, ord("}"): -1}


def depth(text: bytes) -> int:
    """The most brackets that are open at once outside of strings; time grows with the length alone."""
    brackets = _STRINGS.sub(b"", text).translate(None, _ALL_BUT_BRACKETS)
    return max(accumulate((_STEPS[one] for one in brackets), initial=0))
