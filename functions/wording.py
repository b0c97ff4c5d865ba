"""How a message quotes what somebody else wrote, of whatever length."""

MAX_FAULT = 200


def shortened(fault: str) -> str:
    """A fault without its middle where it is long: it begins with what is wrong and ends with the place."""
    half = MAX_FAULT // 2
    return fault if len(fault) <= MAX_FAULT else f"{fault[:half]} ... {fault[-half:]}"
