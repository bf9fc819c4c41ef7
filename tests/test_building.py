"""Many entries at once: the same bytes as one by one, whatever dies."""

from __future__ import annotations

import gc
import hashlib
import json
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import time
import weakref
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from caffe2neon import building, pipeline
from caffe2neon.building import build_models, calm, shared
from caffe2neon.errors import EngineError
from caffe2neon.records import Evaluation, Event
from tests.fetch.files import UNDER_WAY, serving
from tests.publish.builds import check
from tests.zoos import Zoo, files_of

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture
def zoo(tmp_path: Path) -> Zoo:
    zoo = Zoo(tmp_path)
    for seed, name in enumerate(("aa", "bb", "cc")):
        zoo.add_small(name, seed=seed)
    return zoo


def start(zoo: Zoo, *arguments: str | Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "caffe2neon", "zoo", "build", *map(str, (*zoo.arguments(), *arguments))]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True)


def group_is_gone(process: int, seconds: float = 10) -> bool:
    """Whether no process of a session is left, at the latest after ``seconds``."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            os.killpg(process, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.02)
    return False


# ---- workers ----


def test_two_jobs_publish_the_same_bytes_as_one(zoo: Zoo) -> None:
    (zoo.folder / "bb.caffemodel").write_bytes(b"")
    assert zoo.build().exit_code == 1
    alone = files_of(zoo.output)
    zoo.output.rename(zoo.folder / "alone")
    result = zoo.build("--jobs", "2")
    assert result.exit_code == 1
    assert [(name, outcome["status"]) for name, outcome in zoo.outcomes().items()] == [
        ("aa", "published"),
        ("bb", "failed"),
        ("cc", "published"),
    ]
    assert files_of(zoo.output) == alone


def test_an_unchanged_entry_needs_neither_its_files_nor_a_worker(zoo: Zoo, monkeypatch: pytest.MonkeyPatch) -> None:
    assert zoo.build().exit_code == 0
    for path in (*zoo.folder.glob("*.prototxt"), *zoo.folder.glob("*.caffemodel")):
        path.unlink()
    monkeypatch.setattr(building, "Workers", None)
    outcomes = list(build_models(zoo.specs(), zoo.options(), jobs=2))
    assert [outcome.status for outcome in outcomes] == ["unchanged"] * 3
    assert all(outcome.parity for outcome in outcomes)


def test_another_mirror_or_group_is_no_other_build(zoo: Zoo) -> None:
    assert zoo.build().exit_code == 0
    zoo.models["aa"]["groups"] = ["small"]
    zoo.models["aa"]["caffemodel"]["mirrors"] = ["https://host.example/aa.caffemodel"]
    zoo.build()
    assert zoo.outcomes()["aa"]["status"] == "unchanged"


@pytest.mark.parametrize(("deaths", "status"), [(1, "published"), (2, "failed")])
def test_a_worker_that_is_killed(zoo: Zoo, deaths: int, status: str) -> None:
    """Both workers are, at the first word of each attempt at ``aa``."""
    del zoo.models["cc"]
    killed: list[set[int]] = []

    def kill(event: Event) -> None:
        workers = multiprocessing.active_children()
        if event.stage == "upstream" and event.state == "start" and len(killed) < deaths:
            pids = {worker.pid for worker in workers if worker.pid}
            if len(pids) == 2 and not any(pids & earlier for earlier in killed):
                killed.append(pids)
                for pid in pids:
                    os.kill(pid, signal.SIGKILL)

    outcomes = {outcome.name: outcome for outcome in build_models(zoo.specs(), zoo.options(), jobs=2, report=kill)}
    assert len(killed) == deaths
    assert {outcome.status for outcome in outcomes.values()} == {status}
    if status == "failed":
        assert "died 2 times, the last time by SIGKILL" in outcomes["aa"].reason
        assert "--jobs" in outcomes["aa"].reason
    assert multiprocessing.active_children() == []
    if zoo.output.exists():
        check(zoo.output)


def test_what_is_as_large_as_the_model_is_let_go_of_before_measuring(zoo: Zoo, monkeypatch: pytest.MonkeyPatch) -> None:
    """The process that waits for others to measure holds neither the weights nor the model."""
    made: list[weakref.ref[Any]] = []

    def watched(function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            result = function(*arguments, **options)
            made.append(weakref.ref(result))
            return result

        return call

    def measure(*_: object) -> Evaluation:
        gc.collect()
        assert [large() for large in made] == [None] * 3
        raise EngineError("nobody measures")

    for name in ("read_weights", "convert", "_with_order"):
        monkeypatch.setattr(pipeline, name, watched(getattr(pipeline, name)))
    zoo.add_npz("few", np.zeros((2, 6, 6), np.uint8), np.zeros(2, np.uint8))
    zoo.add_small("aa", dataset="few", preprocess={"channel_order": "GRAY"}, class_order="caffe")
    outcome = pipeline.build_model(zoo.specs()[0], zoo.options(), measure=measure)
    assert outcome.reason.startswith("nobody measures"), outcome.reason


def test_closing_early_stops_workers_and_leaves_nothing_half_made(zoo: Zoo) -> None:
    with closing(build_models(zoo.specs(), zoo.options(), jobs=2)) as outcomes:
        assert next(outcomes).status == "published"
    assert multiprocessing.active_children() == []
    assert not (zoo.output / ".staging").exists()


def test_events_of_a_model_come_in_order(zoo: Zoo) -> None:
    events: list[Event] = []
    list(build_models(zoo.specs(), zoo.options(), jobs=2, report=events.append))
    for name in zoo.models:
        stages = [(event.stage, event.state) for event in events if event.model == name and event.state != "progress"]
        assert stages == [(stage, state) for stage, _ in pipeline.STAGES for state in ("start", "end")]
    assert {event.model for event in events if event.state == "progress"} == set(zoo.models)


def test_jobs_divide_the_cores(zoo: Zoo, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)))
    options = zoo.options()
    assert [(shared(options, jobs).threads, shared(options, jobs).workers) for jobs in (1, 3, 16)] == [(8, 8), (2, 2), (1, 1)]


def test_a_bug_is_an_outcome_that_says_where(zoo: Zoo, monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong(job: pipeline.Job) -> pipeline.Job:
        raise TypeError(f"no {job.spec.name}")

    monkeypatch.setattr(pipeline, "STAGES", (("convert", wrong),))
    outcomes = list(build_models(zoo.specs(), zoo.options()))
    assert [outcome.status for outcome in outcomes] == ["failed"] * 3
    assert outcomes[0].reason.startswith("a bug in caffe2neon: TypeError: no aa (test_building.py:")


def test_progress_is_calm(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 1,000 blocks in a second about ten are told, the first and the last among them."""
    now = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    heard: list[Event] = []
    report = calm(heard.append)
    for done in range(1, 1001):
        now[0] += 0.001
        report(Event("aa", "fetch", "progress", "download", done, 1000))
    report(Event("aa", "fetch", "end"))
    assert (heard[0].done, heard[-2].done, heard[-1].state) == (1, 1000, "end")
    assert 10 <= len(heard) <= 13


# ---- the command ----


@pytest.fixture
def slow(zoo: Zoo) -> Zoo:
    """Two of the four entries take a while to measure."""
    zoo.add_npz("many", np.zeros((900_000, 6, 6), np.uint8), np.zeros(900_000, np.uint8))
    for name in ("cc", "dd"):
        zoo.add_small(name, seed=ord(name[0]), dataset="many", preprocess={"channel_order": "GRAY"})
    zoo.write()
    return zoo


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_build_that_is_stopped(slow: Zoo, number: signal.Signals, code: int) -> None:
    """Ctrl-C reaches all processes of the terminal, a service manager's signal the first one alone."""
    with start(slow, "--jobs", "2") as process:
        assert process.stdout is not None
        said = ""
        while "evaluate cc" not in said or "evaluate dd" not in said:
            line = process.stdout.readline()
            assert line, said
            said += line
        (os.killpg if number == signal.SIGINT else os.kill)(process.pid, number)
        said += process.stdout.read()
    assert process.returncode == code
    assert "Traceback" not in said
    assert "2 of 4 models are done" in said
    assert group_is_gone(process.pid)
    assert not (slow.output / ".staging").exists()
    assert [(name, outcome["status"]) for name, outcome in slow.outcomes().items()] == [("aa", "published"), ("bb", "published")]
    check(slow.output)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_processes_that_measure_parts_end_with_their_parents(slow: Zoo, number: signal.Signals) -> None:
    """Two workers, each with two of its own; kill -9 is of the first process alone."""
    with start(slow, "cc", "dd", "--jobs", "4", "--progress", "json") as process:
        assert process.stdout is not None
        measuring: set[str] = set()
        while len(measuring) < 2:
            line = process.stdout.readline()
            assert line
            fact = json.loads(line)
            if fact.get("step", "").startswith("evaluate"):
                measuring.add(fact["model"])
        (os.killpg if number == signal.SIGINT else os.kill)(process.pid, number)
        said = process.stdout.read()
    assert process.returncode == (130 if number == signal.SIGINT else -number)
    assert "Traceback" not in said
    assert group_is_gone(process.pid)
    if number == signal.SIGINT:
        assert not (slow.output / ".staging").exists()


def test_two_runs_at_once_do_no_harm(zoo: Zoo) -> None:
    zoo.write()
    first, second = start(zoo, "--jobs", "2"), start(zoo)
    for process in (first, second):
        said, _ = process.communicate(timeout=60)
        assert process.returncode == 0, said
    assert sorted(check(zoo.output)) == ["aa", "bb", "cc"]
    assert [len(zoo.builds(name)) for name in zoo.models] == [1, 1, 1]
    assert not (zoo.output / ".staging").exists()


def test_killed_in_every_stage_the_zoo_completes(zoo: Zoo) -> None:
    """kill -9, of the parent alone or of all: the next run goes on, nothing is lost, and in the end all is as undisturbed."""
    zoo.add_digits()
    files = {}
    name_of_zeros = b"\x0a\x80\x80\x0c" + bytes(3 << 16)  # protobuf: field 1, so many bytes; makes a download last
    for entry in zoo.models.values():
        for key in ("prototxt", "caffemodel"):
            path = zoo.folder / entry[key]["url"]
            files[f"/{path.name}"] = path.read_bytes() + (name_of_zeros if key == "caffemodel" else b"")
            entry[key] = {"url": f"/{path.name}", "sha256": hashlib.sha256(files[f"/{path.name}"]).hexdigest()}
            path.unlink()
    with serving(files, pause=0.002) as server:
        for entry in zoo.models.values():
            for key in ("prototxt", "caffemodel"):
                entry[key]["url"] = server.address + entry[key]["url"]
        zoo.models = {name: zoo.models[name] for name in ("digits", "aa")}
        zoo.write()
        wanted = [server.files[f"/{name}.{end}"] for name in zoo.models for end in ("prototxt", "caffemodel")]
        assert zoo.build().exit_code == 0
        assert server.sent == sum(map(len, wanted))
        assert zoo.build().exit_code == 0
        calm = files_of(zoo.output)
        for folder in (zoo.output, zoo.folder / "cache"):
            folder.rename(folder.with_name(f"calm-{folder.name}"))
        server.sent = 0

        kills = 0
        for number, said in enumerate(("fetch: download", "convert", "remap", "verify", "evaluate", "publish")):
            with start(zoo, "--jobs", str(1 + number % 2)) as process:
                assert process.stdout is not None
                while f"digits: {said}" not in (line := process.stdout.readline()):
                    assert line, said
                kill = os.killpg if number % 3 else os.kill
                kill(process.pid, signal.SIGKILL)
                kills += 1
            assert group_is_gone(process.pid)
            if zoo.output.exists():
                check(zoo.output)
            if zoo.builds("digits"):  # it was quicker than the kill: what is left is to be done again
                shutil.rmtree(zoo.output)
        assert zoo.build("--jobs", "2").exit_code == 0
        assert server.sent <= sum(map(len, wanted)) + kills * UNDER_WAY
    assert zoo.build().exit_code == 0
    assert files_of(zoo.output) == calm
    assert not [path for path in (zoo.folder / "cache").rglob("*") if path.suffix]


def test_a_dry_run_says_why(zoo: Zoo) -> None:
    assert zoo.build("aa", "bb").exit_code == 0
    zoo.models["bb"]["preprocess"] = {"channel_order": "GRAY", "scale": 0.5}
    (folder,) = zoo.builds("bb")
    before = files_of(zoo.output)
    lines = zoo.build("--dry-run", "--progress", "json").stdout.splitlines()
    seen = {fact["model"]: fact for fact in map(json.loads, lines)}
    assert {name: fact["action"] for name, fact in seen.items()} == {"aa": "unchanged", "bb": "build", "cc": "build"}
    assert seen["aa"]["files"] == []
    assert seen["bb"]["reason"] == f"the entry, an option or the converter differs from build {folder.name}"
    assert seen["cc"]["reason"] == "not published yet"
    assert [file["from"] for file in seen["cc"]["files"]] == ["local", "local"]
    (zoo.builds("aa")[0] / "aa.prm").unlink()
    assert "files of build" in zoo.build("--dry-run", "aa").stdout
    zoo.models["cc"]["caffemodel"]["url"] = "https://host.example/cc.caffemodel"
    assert "cc: fail " in zoo.build("--dry-run", "--offline").stdout
    assert files_of(zoo.output).keys() == before.keys() - {f"aa/{zoo.builds('aa')[0].name}/aa.prm"}
