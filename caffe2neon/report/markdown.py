"""The report of a zoo build in Markdown: what a nightly run leaves for people."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from caffe2neon.records import ModelSpec, Outcome, Shift
from caffe2neon.report.report import HEADINGS, STATUSES, row_of


def summary_markdown(
    outcomes: Sequence[Outcome], shifts: Sequence[Shift] = (), models: Sequence[ModelSpec] = (), *, title: str = "Zoo"
) -> str:
    """A verdict, what is wrong, what moved since the last publication, and a table of all models; no clock, no host.

    GitHub's dialect: a table and lists. Text of manifests and errors is escaped, so that it can neither break a table nor become
    markup.
    """
    return "\n".join(_lines(outcomes, shifts, models, title)) + "\n"


def _lines(outcomes: Sequence[Outcome], shifts: Sequence[Shift], models: Sequence[ModelSpec], title: str) -> Iterator[str]:
    counts = Counter(outcome.status for outcome in outcomes)
    failed = [outcome for outcome in outcomes if outcome.status == "failed"]
    worse = [shift for shift in shifts if shift.worse]
    fallen = len({shift.model for shift in worse})
    yield f"# {_escaped(title)}: {'failed' if failed or worse else 'all well'}"
    yield ""
    said = [f"{counts[status]} {status}" for status in STATUSES if counts[status]]
    yield ", ".join(said + ([f"{fallen} worse than published"] if fallen else [])) or "nothing to do"
    sections = {
        "Failed": [(outcome.name, f"{outcome.stage or 'build'}: {outcome.reason}") for outcome in failed],
        "Worse than published": [(shift.model, _shift(shift)) for shift in worse],
        "Moved": [(shift.model, _shift(shift)) for shift in shifts if not shift.worse],
        "Warnings": [(outcome.name, warning) for outcome in outcomes for warning in outcome.warnings],
    }
    for heading, items in sections.items():
        if items:
            yield from ("", f"## {heading}", "")
            yield from (f"- **{_escaped(name)}** {_escaped(text)}" for name, text in items)
    yield from ("", "## Models", "")
    specs = {model.name: model for model in models}
    rows = [row_of(outcome, specs.get(outcome.name))[:-1] for outcome in outcomes]
    yield f"| {' | '.join(HEADINGS[:-1])} |"
    yield f"|{'|'.join(['---', '---', *['---:'] * (len(HEADINGS) - 3)])}|"
    yield from (f"| {' | '.join(map(_escaped, row))} |" for row in rows)


def _shift(shift: Shift) -> str:
    form = "{:.1e}" if shift.measure == "parity" else "{:.2f} %"
    before, after = ("not measured" if value is None else form.format(value) for value in (shift.before, shift.after))
    return f"{shift.measure}: {before} → {after}"


def _escaped(text: str) -> str:
    """One line in which no character means anything to Markdown or HTML."""
    line = "; ".join(" ".join(line.split()) for line in text.splitlines() if line.strip())
    marked = line.replace("&", "&amp;").replace("<", "&lt;")
    return "".join(f"\\{character}" if character in "\\`*_[]|#~" else character for character in marked)
