"""One entry measured by several processes: the numbers of one, whatever dies."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from caffe2neon import building, evaluate, parts
from caffe2neon.building import build_models
from caffe2neon.errors import EngineError
from caffe2neon.records import DatasetSpec, Event
from caffe2neon.single import MeasureOptions
from tests.zoos import Zoo, files_of


@pytest.fixture
def large(tmp_path: Path) -> Zoo:
    """One entry that is worth several processes, and one more that is, too."""
    random = np.random.default_rng(0)
    zoo = Zoo(tmp_path)
    zoo.add_npz("many", random.integers(0, 256, (2000, 6, 6), np.uint8), random.integers(0, 5, 2000).astype(np.uint8))
    for seed, name in enumerate(("aa", "bb")):
        zoo.add_small(name, seed=seed, dataset="many", preprocess={"channel_order": "GRAY"})
    return zoo


@pytest.mark.parametrize(("names", "jobs"), [(("aa",), 3), (("aa", "bb"), 4)], ids=["one-entry", "more-jobs-than-entries"])
def test_fewer_entries_than_jobs_are_measured_in_parts_to_the_same_bytes(large: Zoo, names: tuple[str, ...], jobs: int) -> None:
    assert large.build(*names).exit_code == 0
    alone = {name: files_of(large.output / name) for name in names}
    large.output.rename(large.folder / "alone")
    told: list[Event] = []
    specs = [spec for spec in large.specs() if spec.name in names]
    outcomes = list(build_models(specs, large.options(), jobs=jobs, report=told.append))
    assert [outcome.status for outcome in outcomes] == ["published"] * len(names), outcomes
    assert {name: files_of(large.output / name) for name in names} == alone
    for name in names:
        done = [event.done for event in told if event.step == f"evaluate {name}"]
        assert done == sorted(done)
        assert done[-1] == 2000
    assert multiprocessing.active_children() == []


@pytest.mark.parametrize(("deaths", "status"), [(1, "published"), (2, "failed")])
def test_a_process_that_measures_a_part_is_killed(
    large: Zoo, deaths: int, status: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When both are halfway, or at the first word of each attempt. What is done is told once, though it was done twice."""
    monkeypatch.setattr(building, "_PACE", 0.0)
    large.add_npz("many", np.zeros((8000, 6, 6), np.uint8), np.zeros(8000, np.uint8))
    killed = [0]  # workers' numbers, which count up: the next one is that which began the part again
    told: list[int] = []

    def kill(event: Event) -> None:
        if event.step != "evaluate aa":
            return
        told.append(event.done)
        if len(killed) <= deaths and (deaths > 1 or event.done > 4000):
            number, worker = max((int(process.name.rpartition("-")[2]), process) for process in multiprocessing.active_children())
            if number > killed[-1]:
                killed.append(number)
                worker.kill()

    specs = [spec for spec in large.specs() if spec.name == "aa"]
    (outcome,) = build_models(specs, large.options(), jobs=2, report=kill)
    assert (outcome.status, len(killed)) == (status, 1 + deaths)
    assert told == sorted(told)
    assert max(told) <= 8000
    if status == "failed":
        assert "the process that measured examples " in outcome.reason
        assert "died 2 times, the last time by SIGKILL\nif memory was short" in outcome.reason
    else:
        assert outcome.evaluation is not None
        assert outcome.evaluation.count == told[-1] == 8000
    assert multiprocessing.active_children() == []
    assert not (large.output / ".staging").exists()


def test_what_is_wrong_in_a_part_is_said_of_the_entry(large: Zoo) -> None:
    """The second part's first label is beyond the classes."""
    with np.load(large.folder / "many.npz") as archive:
        labels = archive["labels"]
        labels[1500] = 9
        large.add_npz("many", archive["images"], labels)
    specs = [spec for spec in large.specs() if spec.name == "aa"]
    reasons = []
    for jobs in (1, 2):
        (outcome,) = build_models(specs, large.options(), jobs=jobs)
        assert (outcome.status, outcome.stage) == ("failed", "evaluate")
        reasons.append(outcome.reason)
    assert reasons[0] == reasons[1]


def test_a_data_set_that_one_process_measures_is_opened_once(large: Zoo, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[DatasetSpec] = []
    real = evaluate.open_dataset

    def counted(spec: DatasetSpec) -> evaluate.Dataset:
        opened.append(spec)
        return real(spec)

    for module in (evaluate, parts):
        monkeypatch.setattr(module, "open_dataset", counted)
    specs = [spec for spec in large.specs() if spec.name == "aa"]
    assert [outcome.status for outcome in build_models(specs, large.options())] == ["published"]
    assert len(opened) == 1


class Unmanned:
    """Workers that do nothing."""

    asked: ClassVar[list[tuple[MeasureOptions, int, int]]] = []

    def __init__(self, work: Any, tasks: Sequence[range], jobs: int, _: object) -> None:
        count = work.args[0]
        self.asked.append((count.args[3], len(tasks), jobs))

    def results(self) -> Iterator[Any]:
        raise EngineError("nobody works")

    def close(self) -> None:
        pass


def test_parts_divide_the_cores_among_as_many_as_there_are(large: Zoo, monkeypatch: pytest.MonkeyPatch) -> None:
    """8 cores, 64 jobs: 8 processes would be the most, but 2,000 examples are worth 4."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)))
    monkeypatch.setattr(building, "Workers", Unmanned)
    monkeypatch.setattr(Unmanned, "asked", [])
    for threads, jobs in ((0, 64), (4, 64), (0, 2)):
        specs = [spec for spec in large.specs() if spec.name == "aa"]
        (outcome,) = build_models(specs, replace(large.options(), threads=threads), jobs=jobs)
        assert outcome.reason.startswith("nobody works")
    seen = [(how.threads, how.workers, parts, processes) for how, parts, processes in Unmanned.asked]
    assert seen == [(2, 2, 4, 4), (1, 2, 4, 4), (4, 4, 2, 2)]


def test_there_are_at_most_as_many_parts_as_cores(large: Zoo, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(3)))
    monkeypatch.setattr(building, "Workers", Unmanned)
    monkeypatch.setattr(Unmanned, "asked", [])
    list(build_models([spec for spec in large.specs() if spec.name == "aa"], large.options(), jobs=64))
    assert [(parts, processes) for _, parts, processes in Unmanned.asked] == [(3, 3)]
