"""The HTTP side, one blueprint a resource: requests become values, use cases are called, values become answers."""
