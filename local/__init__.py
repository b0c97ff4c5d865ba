"""The embedded stack for the demo and the tests. Nothing that is deployed imports it."""
