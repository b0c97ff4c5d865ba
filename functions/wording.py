"""How a message quotes what somebody else wrote, of whatever length and characters."""

MAX_FAULT = 200


def shortened(fault: str) -> str:
    """A fault on one line, where it is long without its middle: it begins with what is wrong, ends with the place."""
    half = MAX_FAULT // 2
    return on_one_line(fault if len(fault) <= MAX_FAULT else f"{fault[:half]} ... {fault[-half:]}")


def on_one_line(text: str) -> str:
    """A text in which what would end a line or steer a terminal is escaped."""
    return text if text.isprintable() else "".join(one if one.isprintable() else ascii(one)[1:-1] for one in text)
