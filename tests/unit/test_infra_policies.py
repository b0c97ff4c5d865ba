"""The check of infra/ finds roles that are not what is said, and does not take checkov's silence for a pass."""

from pathlib import Path
from typing import Any

import pytest

from local.infra import policies, roles
from local.infra.parsing import parse
from local.infra.policies import Judgement, Run
from local.infra.roles import ROLES
from tests.unit.infra_writing import MAIN, documents

SECRETS_USER = "4633458b-17de-408a-b874-0445c86b69e6"
TEMPLATE = "resource a 'A.B/c@1' = { name: 'a' }\nresource b 'A.B/c@1' = { name: 'b' }\n"
CHECK = {
    "check_id": "CKV_AZURE_35",
    "check_name": "Ensure that nobody may",
    "file_path": "/main.bicep",
    "file_line_range": [2, 2],
    "resource": "A.B/c.b",
    "check_result": {"result": "PASSED"},
}


@pytest.mark.parametrize(
    ("text", "finding"),
    [
        (f"var r = '{SECRETS_USER}' // Key Vault Secrets User", ""),
        (f"// Key Vault Secrets User, on this vault alone\nvar r = '{SECRETS_USER}'", ""),
        (f"var r = '{SECRETS_USER.upper()}' /* Key Vault Secrets User */", ""),
        (
            f"var r = '{SECRETS_USER}' // Key Vault Secrets Officer",
            "is Key Vault Secrets User; the comment says Key Vault",
        ),
        (f"var r = '{SECRETS_USER}'", "is Key Vault Secrets User; no comment says so"),
        (
            f"var r = '{SECRETS_USER[:-1]}7' // Key Vault Secrets User",
            f"is no role that infra/ grants; did you mean {SECRETS_USER}?",
        ),
    ],
)
def test_a_role_id_is_a_known_role_and_its_comment_names_it(text: str, finding: str) -> None:
    found = [str(one) for one in roles.check(parse(Path(MAIN), text.encode()))]
    assert bool(found) == bool(finding), found
    assert finding in "".join(found)


def test_no_two_roles_have_one_name() -> None:
    assert len(set(ROLES.values())) == len(ROLES)
    assert all(roles.ID.fullmatch(one) for one in ROLES)


def test_a_report_without_failures_that_saw_all_is_right() -> None:
    assert judged() == Judgement(passed=1, waived=1, broken=0, resources=2, findings=())


def test_a_failed_check_is_found_with_its_file_and_line() -> None:
    assert findings(failed_checks=[CHECK]) == [f"{MAIN}:2: CKV_AZURE_35 A.B/c.b: Ensure that nobody may"]


def test_a_file_that_checkov_passes_over_is_found() -> None:
    assert "checkov cannot read this file" in "".join(findings(parsing_errors=[f"/somewhere/{MAIN}"]))
    assert findings(resources={}) == [f"{MAIN}: checkov cannot read this file, and would pass over it"]
    assert findings(resources={MAIN: None}) == [f"{MAIN}: checkov cannot read this file, and would pass over it"]


def test_a_resource_that_checkov_does_not_see_is_found() -> None:
    assert findings(resources={MAIN: ["a"]}) == [f"{MAIN}:2: checkov does not see the resource b"]


def test_a_report_on_nothing_is_found() -> None:
    assert findings(passed_checks=[]) == ["infra: checkov has checked nothing"]


def test_a_waiver_without_a_sentence_is_found() -> None:
    waived = {**CHECK, "check_result": {"result": "SKIPPED", "suppress_comment": "not needed"}}
    assert "waived with the reason 'not needed'" in "".join(findings(skipped_checks=[waived]))


def test_a_check_that_breaks_is_found_unless_it_is_known_to() -> None:
    line = "2026-01-01 [ERROR]  Failed to run check {} on infra/main.bicep:A.B/c.a\nTraceback ..."
    assert findings(log=line.format("CKV_AZURE_9")) == [
        f"{MAIN}: CKV_AZURE_9 breaks on A.B/c.a: it was not run, see checkov's log"
    ]
    known = judged(log=line.format("CKV_AZURE_189"))
    assert (known.broken, known.findings) == (1, ())


def judged(log: str = "", resources: Any = None, **results: Any) -> Judgement:
    """The judgement on a report that is right but for what is given."""
    waived = {**CHECK, "check_result": {"result": "SKIPPED", "suppress_comment": "one relay owns the checkpoint"}}
    right = {"passed_checks": [CHECK], "failed_checks": [], "skipped_checks": [waived], "parsing_errors": []}
    read = {MAIN: ["a", "b"]} if resources is None else resources
    said = Run({"results": {**right, **results}}, log, read)
    return policies.judge(said, Path("infra"), list(documents(TEMPLATE).values()))


def findings(log: str = "", resources: Any = None, **results: Any) -> list[str]:
    """What is found in that report."""
    return [str(one) for one in judged(log, resources, **results).findings]
