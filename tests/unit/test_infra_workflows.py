"""The check of the workflows: what is named without a commit, and what the tools' reports say.

The tools themselves run in `make infra`, in an environment of their own.
"""

from pathlib import Path
from typing import Any

import pytest

from local.infra.workflows import WorkflowsError, check, from_schema, from_zizmor, unpinned

PATH = Path(".github/workflows/some.yml")
COMMIT = "08c6903cd8c0fde910a37f88322edcfb5dd907a8"


@pytest.mark.parametrize(
    "line",
    [
        "- uses: actions/checkout@v5",
        "- uses: actions/checkout@main # v5.0.0",
        f"- uses: actions/checkout@{COMMIT}",
        f"- uses: actions/checkout@{COMMIT[:12]} # v5.0.0",
        "uses: someone/else/.github/workflows/check.yml@main",
    ],
)
def test_an_action_that_is_not_named_by_commit_and_version_is_found(line: str) -> None:
    (found,) = unpinned(PATH, f"steps:\n  {line}\n")
    assert (found.path, found.line) == (PATH, 2)
    assert "allowed is OWNER/NAME@COMMIT" in found.message


@pytest.mark.parametrize("line", [f"- uses: actions/checkout@{COMMIT} # v5.0.0", "uses: ./.github/workflows/check.yml"])
def test_one_that_is_and_a_workflow_of_our_own_are_not(line: str) -> None:
    assert [*unpinned(PATH, line)] == []


def test_what_does_not_fit_the_schema_is_told_with_its_place() -> None:
    error = {"filename": str(PATH), "path": "$.jobs", "message": "is not valid"}
    deep = error | {"best_deep_match": {"path": "$.jobs.one.steps[1]", "message": "'shel' was unexpected"}}
    unread = {"filename": "other.yml", "message": "Failed to parse other.yml"}

    found = [*from_schema({"errors": [error, deep], "parse_errors": [unread]})]

    assert [(one.path, one.message) for one in found] == [
        (PATH, "$.jobs: is not valid"),
        (PATH, "$.jobs.one.steps[1]: 'shel' was unexpected"),
        (Path("other.yml"), "Failed to parse other.yml"),
    ]


@pytest.mark.parametrize(("waived", "findings"), [(False, 1), (True, 0)])
def test_a_rule_that_is_broken_and_not_waived_is_told_with_its_line(*, waived: bool, findings: int) -> None:
    def location(kind: str, row: int) -> dict[str, Any]:
        place = {"location": {"start_point": {"row": row, "column": 1}}}
        return {"symbolic": {"kind": kind, "key": {"Local": {"verbatim_path": str(PATH)}}}, "concrete": place}

    one = {"ident": "template-injection", "desc": "code injection", "ignored": waived}
    report = [one | {"locations": [location("Related", 1), location("Primary", 6)]}]

    found = [*from_zizmor(report)]

    assert len(found) == findings
    assert [(each.line, each.message) for each in found] == [(7, "template-injection: code injection")] * findings


def test_a_folder_without_workflows_and_a_tool_that_is_not_there_are_told(tmp_path: Path) -> None:
    (tmp_path / "workflows").mkdir()
    assert [one.message for one in check(tmp_path, tmp_path, Path("workflows"))] == ["there is no workflow"]
    (tmp_path / "workflows" / "one.yml").write_text("name: one\n")
    with pytest.raises(WorkflowsError, match="check-jsonschema did not run"):
        check(tmp_path, tmp_path, Path("workflows"))
