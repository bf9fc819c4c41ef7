"""What is seen while a zoo is built: bars on a terminal, lines in a log, JSON for programs."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from typing import Any, Protocol

import click

from caffe2neon.cli.common import is_terminal
from caffe2neon.planning import Forecast
from caffe2neon.records import JSON, Event, Outcome


class Display(Protocol):
    """Told of all that happens, by one thread of one process."""

    def begin(self, models: int, jobs: int) -> None: ...

    def event(self, event: Event) -> None: ...

    def outcome(self, outcome: Outcome) -> None: ...

    def end(self, counts: Mapping[str, int], *, interrupted: bool) -> None:
        """Called whatever happened."""


def display_for(choice: str) -> Display:
    """``auto``: bars on a terminal, else lines."""
    if choice == "json":
        return JsonLines()
    return Bars() if choice == "auto" and is_terminal(sys.stderr) else Lines()


class Lines:
    """On standard error, a line for each stage of a model and for each long step in it."""

    def __init__(self) -> None:
        self._steps: dict[str, str] = {}

    def begin(self, models: int, jobs: int) -> None:
        pass

    def event(self, event: Event) -> None:
        if event.state == "start":
            click.echo(f"{event.model}: {event.stage}", err=True)
        elif event.state == "progress" and self._steps.get(event.model) != event.step:
            self._steps[event.model] = event.step
            click.echo(f"{event.model}: {event.stage}: {event.step}", err=True)

    def outcome(self, outcome: Outcome) -> None:
        self._steps.pop(outcome.name, None)
        click.echo(f"{outcome.name}: {_in_a_line(outcome)}", err=True)

    def end(self, counts: Mapping[str, int], *, interrupted: bool) -> None:
        pass


class Bars:
    """A total, and below it a bar for each model that is being built; failures stay above."""

    _KNOWN = "{desc}: {percentage:3.0f}% |{bar}| {n_fmt}/{total_fmt} {rate_fmt}"
    #: No clock: nobody would move it on, in a stage that tells of no steps.
    _UNKNOWN = "{desc}"

    def __init__(self) -> None:
        self._total: Any = None
        self._bars: dict[str, Any] = {}
        self._steps: dict[str, str] = {}

    def begin(self, models: int, jobs: int) -> None:  # noqa: ARG002 - the protocol's
        self._total = self._new(0, total=models, desc="models", bar_format="{desc} {n_fmt}/{total_fmt} |{bar}| {elapsed}")

    def event(self, event: Event) -> None:
        bar = self._bars.get(event.model)
        if bar is None:
            used = {bar.pos for bar in self._bars.values()}  # tqdm counts places downwards: -1 is the line below the first
            place = next(place for place in range(1, len(used) + 2) if -place not in used)
            bar = self._bars[event.model] = self._new(place, bar_format=self._UNKNOWN)
        if event.state == "end":
            return
        step = event.step or event.stage
        if self._steps.get(event.model) != step:
            self._steps[event.model] = step
            in_bytes = event.stage != "evaluate"
            bar.unit, bar.unit_scale = ("B", True) if in_bytes else (" examples", False)
            bar.bar_format = self._KNOWN if event.total else self._UNKNOWN
            bar.set_description_str(f"  {event.model}: {step}", refresh=False)
            bar.reset(event.total)
        bar.n = event.done
        bar.refresh()
        self._total.refresh()

    def outcome(self, outcome: Outcome) -> None:
        bar = self._bars.pop(outcome.name, None)
        self._steps.pop(outcome.name, None)
        if bar is not None:
            bar.close()
        if outcome.status == "failed":
            self._total.write(f"{outcome.name}: {_in_a_line(outcome)}", file=sys.stderr)
        self._total.update()

    def end(self, counts: Mapping[str, int], *, interrupted: bool) -> None:  # noqa: ARG002
        for bar in (*self._bars.values(), self._total):
            bar.close()

    def _new(self, place: int, **options: Any) -> Any:
        from tqdm import tqdm

        return tqdm(position=place, leave=False, dynamic_ncols=True, file=sys.stderr, **options)


class JsonLines:
    """On standard output, one object a line, and nothing else there: ``docs/progress.md``."""

    def begin(self, models: int, jobs: int) -> None:
        _say(event="run", state="start", models=models, jobs=jobs)

    def event(self, event: Event) -> None:
        facts: dict[str, JSON] = {"model": event.model, "stage": event.stage, "state": event.state}
        if event.state == "progress":
            facts |= {"step": event.step, "done": event.done, "total": event.total}
        elif event.state == "end":
            facts |= {"ok": event.ok}
        _say(event="stage", **facts)

    def outcome(self, outcome: Outcome) -> None:
        build = outcome.publication.build if outcome.publication else None
        _say(event="model", model=outcome.name, status=outcome.status, stage=outcome.stage, reason=outcome.reason, build=build)

    def end(self, counts: Mapping[str, int], *, interrupted: bool) -> None:
        _say(event="run", state="end", counts=dict(counts), interrupted=interrupted)


def show_forecast(seen: Forecast, *, as_json: bool) -> None:
    """What a dry run says of one entry."""
    if as_json:
        files: list[JSON] = [{"url": place.url, "from": place.action, "size": pinned.size} for pinned, place in seen.files]
        _say(event="plan", model=seen.name, action=seen.action, reason=seen.reason, files=files)
        return
    click.echo(f"{seen.name}: {seen.action:8}  {seen.reason}")
    for pinned, place in seen.files:
        size = f"  ({pinned.size / 1e6:.1f} MB)" if pinned.size and place.action == "download" else ""
        click.echo(f"{seen.name}: {place.action:8}  {place.url}{size}")


def _in_a_line(outcome: Outcome) -> str:
    stage = f"{outcome.stage}: " if outcome.status == "failed" and outcome.stage else ""
    return f"{outcome.status}: {stage}{outcome.reason.splitlines()[0]}"


def _say(**facts: JSON) -> None:
    sys.stdout.write(json.dumps(facts, ensure_ascii=True, allow_nan=False) + "\n")
    sys.stdout.flush()
