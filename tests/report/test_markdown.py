"""The summary of a night."""

from __future__ import annotations

from caffe2neon.records import Evaluation, Outcome, Shift, TopK
from caffe2neon.report import summary_markdown

EVALUATION = Evaluation("e", "d", 100, "", (TopK(1, 57, 57.0, 47.0, 66.0),))


def test_a_night_that_is_well() -> None:
    text = summary_markdown([Outcome("net", "published", "build 1", evaluation=EVALUATION)], title="Night")
    assert text.splitlines() == [
        "# Night: all well",
        "",
        "1 published",
        "",
        "## Models",
        "",
        "| model | status | top-1 | top-5 | parity | size |",
        "|---|---|---:|---:|---:|---:|",
        "| net | published | 57.0 | - | - | - |",
    ]


def test_all_that_is_wrong_is_said_before_the_table() -> None:
    outcomes = [
        Outcome("bad", "failed", "no such file\nput it there", "fetch"),
        Outcome("net", "unchanged", "build 1", warnings=("not evaluated",)),
    ]
    moved = [
        Shift("net", "top1", 57.0, 50.0, True),
        Shift("net", "parity", 1e-7, 2e-7, False),
        Shift("net", "top5", 1.0, None, True),
    ]
    lines = summary_markdown(outcomes, moved).splitlines()
    assert lines[:3] == ["# Zoo: failed", "", "1 unchanged, 1 failed, 1 worse than published"]
    assert [line for line in lines if line.startswith(("- ", "## "))] == [
        "## Failed",
        "- **bad** fetch: no such file; put it there",
        "## Worse than published",
        "- **net** top1: 57.00 % → 50.00 %",
        "- **net** top5: 1.00 % → not measured",
        "## Moved",
        "- **net** parity: 1.0e-07 → 2.0e-07",
        "## Warnings",
        "- **net** not evaluated",
        "## Models",
    ]


def test_text_of_others_is_no_markup() -> None:
    text = summary_markdown([Outcome("a_b", "failed", "<img src=x> | [x](javascript:1) `code` &amp; # *", "fetch")])
    line = next(line for line in text.splitlines() if line.startswith("- "))
    assert line == r"- **a\_b** fetch: &lt;img src=x> \| \[x\](javascript:1) \`code\` &amp;amp; \# \*"
    assert r"| a\_b | failed |" in text


def test_nothing_to_do() -> None:
    assert summary_markdown([]).splitlines()[2] == "nothing to do"
