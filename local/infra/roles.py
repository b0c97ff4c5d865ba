"""Checks that each role id in infra/ is a built-in role that we mean to grant, and that a comment beside it names it.

Source of the ids: Microsoft Learn, "Azure built-in roles", https://learn.microsoft.com/azure/role-based-access-control/built-in-roles
"""

import re
from collections.abc import Iterator, Mapping

from local.infra.finding import Finding, did_you_mean, listed
from local.infra.parsing import Document, text_of

ROLES: Mapping[str, str] = {
    "0a9a7e1f-b9d0-4cc4-a60d-0319b160aaa3": "Storage Table Data Contributor",
    "76199698-9eea-4c19-bc75-cec21354c6b6": "Storage Table Data Reader",
    "b7e6dc6d-f1e8-4753-8033-0f276bb0955b": "Storage Blob Data Owner",
    "4633458b-17de-408a-b874-0445c86b69e6": "Key Vault Secrets User",
    "b86a8fe4-44ce-4948-aee5-eccb2c155cd7": "Key Vault Secrets Officer",
    "3913510d-42f4-4e42-8a64-420c390055eb": "Monitoring Metrics Publisher",
}
ID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
COMMENT = re.compile(r"(?<!:)//(.*)$|/\*(.*?)\*/")


def check(document: Document) -> Iterator[Finding]:
    """A finding for each id that is no role of ours, or whose comment, on its line or the one above, names another."""
    lines = text_of(document.root).splitlines()
    for place, line in enumerate(lines):
        for found in ID.findall(line):
            name = ROLES.get(found.lower())
            if name is None:
                message = f"{found} is no role that infra/ grants{did_you_mean(found, ROLES)}"
                yield Finding(document.path, place + 1, f"{message} (the table is in local/infra/roles.py)")
                continue
            named = _roles_named(lines[place]) or _roles_named(lines[place - 1] if place else "")
            if name not in named:
                said = f"the comment says {listed(named)}" if named else "no comment says so"
                yield Finding(document.path, place + 1, f"{found} is {name}; {said}")


def count(document: Document) -> int:
    """How many role ids a document has."""
    return len(ID.findall(text_of(document.root)))


def _roles_named(line: str) -> set[str]:
    """The roles that a line's comment names; of two names of which one begins with the other, the longer."""
    comment = " ".join(part for match in COMMENT.findall(line) for part in match)
    return {name for name in ROLES.values() if name in comment}
