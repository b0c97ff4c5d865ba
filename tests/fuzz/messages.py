"""The form of an input that is an HTTP message: lines of its head, an empty line, and its body as it is."""

from collections.abc import Sequence


def parts(data: bytes) -> tuple[list[str], bytes]:
    """The lines of the head, and the body. Bytes of the head that are no UTF-8 become U+FFFD, as in the host."""
    head, _, body = data.partition(b"\n\n")
    return head.decode(errors="replace").split("\n"), body


def headers(lines: Sequence[str]) -> dict[str, str]:
    """The headers in lines `name: value`, by name in lower case; without those that no server would let pass."""
    named = (line.partition(":") for line in lines)
    return {
        name.lower(): value.strip()
        for name, colon, value in named
        if colon and name.isascii() and name.replace("-", "").isalnum() and value.isprintable()
    }
