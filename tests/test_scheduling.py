"""Building on a Dask cluster of local workers: the same bytes, though one of them dies."""

from __future__ import annotations

import os
import secrets
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from caffe2neon import __version__, scheduling
from caffe2neon.errors import ClusterError, PictureError, UsageError
from caffe2neon.records import Counts, Event
from caffe2neon.scheduling import build_on_cluster
from tests.publish.builds import check
from tests.zoos import Zoo, files_of, run

pytestmark = pytest.mark.filterwarnings("default")  # Dask's own are none of ours


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    distributed = pytest.importorskip("distributed", reason="needs caffe2neon[distributed]")
    with distributed.LocalCluster(n_workers=3, threads_per_worker=1, dashboard_address=None) as cluster:
        yield cluster


@pytest.fixture
def zoo(tmp_path: Path) -> Zoo:
    zoo = Zoo(tmp_path)
    zoo.add_digits()
    for seed, name in enumerate(("aa", "bb", "cc", "dd")):
        zoo.add_small(name, seed=seed)
    return zoo


def test_the_same_bytes_as_in_this_process(cluster: Any, zoo: Zoo) -> None:
    assert zoo.build().exit_code == 0
    alone = files_of(zoo.output)
    zoo.output.rename(zoo.folder / "alone")
    result = zoo.build("--scheduler", cluster.scheduler_address)
    assert result.exit_code == 0, result.stdout
    assert "digits: evaluate: evaluate digits" in result.stderr.splitlines()
    assert files_of(zoo.output) == alone
    assert zoo.build("--scheduler", cluster.scheduler_address).stdout.splitlines()[-1] == "5 unchanged"


def test_a_large_data_set_is_measured_by_all_workers_to_the_same_numbers(cluster: Any, zoo: Zoo) -> None:
    random = np.random.default_rng(0)
    zoo.add_npz("many", random.integers(0, 256, (3500, 6, 6), np.uint8), random.integers(0, 5, 3500).astype(np.uint8))
    zoo.add_small("aa", dataset="many", preprocess={"channel_order": "GRAY"})
    assert zoo.build("aa").exit_code == 0
    alone = files_of(zoo.output / "aa")
    zoo.output.rename(zoo.folder / "alone")
    told: list[tuple[int, int | None]] = []

    def hear(event: Event) -> None:
        if event.step == "evaluate aa":
            told.append((event.done, event.total))

    specs = [spec for spec in zoo.specs() if spec.name == "aa"]
    (outcome,) = build_on_cluster(specs, zoo.options(), scheduler=cluster.scheduler_address, report=hear)
    assert outcome.status == "published", outcome.reason
    assert files_of(zoo.output / "aa") == alone
    assert told
    assert told[0][0] < 2000, "one part after the other"


def test_a_model_that_fails_stops_no_other(cluster: Any, zoo: Zoo) -> None:
    (zoo.folder / "bb.caffemodel").write_bytes(b"")
    assert zoo.build("--scheduler", cluster.scheduler_address).exit_code == 1
    assert [name for name, outcome in zoo.outcomes().items() if outcome["status"] == "failed"] == ["bb"]


def test_a_worker_that_is_killed_is_replaced(cluster: Any, zoo: Zoo) -> None:
    """The first one that begins to convert anything."""
    killed: list[int] = []

    def kill(event: Event) -> None:
        if not killed and event.stage == "convert":
            killed.append(next(iter(cluster.workers.values())).pid)
            os.kill(killed[0], signal.SIGKILL)

    outcomes = build_on_cluster(zoo.specs(), zoo.options(), scheduler=cluster.scheduler_address, report=kill)
    assert sorted((outcome.name, outcome.status) for outcome in outcomes) == [(name, "published") for name in sorted(zoo.models)]
    assert killed
    assert sorted(check(zoo.output)) == sorted(zoo.models)


def test_no_scheduler_answers(zoo: Zoo, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("distributed", reason="needs caffe2neon[distributed]")
    monkeypatch.setattr(scheduling, "_TIMEOUT", 0.2)
    with pytest.raises(ClusterError, match="no Dask scheduler answers at tcp://127") as caught:
        list(build_on_cluster(zoo.specs(), zoo.options(), scheduler="tcp://127.0.0.1:1"))
    assert "dask scheduler" in caught.value.remedy


@pytest.mark.parametrize("address", ["nonsense", "foo://host:1", "tcp://127.0.0.1:1"])
def test_nothing_is_left_trying_where_no_scheduler_answers(address: str, zoo: Zoo) -> None:
    """Dask's client would: for a minute at the end of the program, and then with a traceback."""
    pytest.importorskip("distributed", reason="needs caffe2neon[distributed]")
    code = "from caffe2neon import scheduling; scheduling._TIMEOUT = 0.2; from caffe2neon.cli import main; main()"
    zoo.write()
    arguments = ["zoo", "build", *map(str, zoo.arguments()), "--scheduler", address]
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, timeout=50, check=False)
    assert done.returncode == 1
    assert f"error: no Dask scheduler answers at {address}" in done.stderr
    assert "Traceback" not in done.stderr


def test_dask_is_not_installed(zoo: Zoo, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(UsageError) as caught:
        list(build_on_cluster(zoo.specs(), zoo.options(), scheduler="tcp://127.0.0.1:1"))
    assert "pip install 'caffe2neon[distributed]'" in caught.value.remedy


def test_a_build_that_did_not_begin_is_not_told_to_go_on(zoo: Zoo, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    zoo.write()
    result = run("zoo", "build", *zoo.arguments(), "--scheduler", "tcp://127.0.0.1:1")
    assert result.exit_code == 2
    assert result.stderr.startswith("error: ")


def test_jobs_are_for_this_machine(zoo: Zoo) -> None:
    zoo.write()
    result = run("zoo", "build", *zoo.arguments(), "--scheduler", "tcp://127.0.0.1:1", "--jobs", "2")
    assert result.exit_code == 2
    assert "--jobs is for this machine" in result.stderr


class Answers:
    """A client whose workers answer as they are told."""

    def __init__(self, answers: dict[str, tuple[str, bool]] | Exception) -> None:
        self._answers = answers

    def run(self, *_: Any) -> dict[str, tuple[str, bool]]:
        if isinstance(self._answers, Exception):
            raise self._answers
        return self._answers


@pytest.mark.parametrize(
    ("answers", "message"),
    [
        ({}, "has no workers"),
        ({"tcp://a:1": ("0.0.1", True)}, "worker tcp://a:1 has caffe2neon 0.0.1"),
        ({"tcp://a:1": (__version__, False)}, "worker tcp://a:1 does not see the output folder"),
        (ModuleNotFoundError("No module named 'caffe2neon'"), "cannot run caffe2neon: ModuleNotFoundError"),
    ],
)
def test_workers_that_cannot_do_this_work(tmp_path: Path, answers: Any, message: str) -> None:
    with pytest.raises(ClusterError, match=message):
        scheduling._check_workers(Answers(answers), tmp_path / "zoo")
    assert list((tmp_path / "zoo").iterdir()) == []


def _broken(part: range) -> Counts:
    """Notes that it was called, for which part."""
    (Path(os.environ["CALLS"]) / f"{part.start}-{secrets.token_hex(4)}").touch()
    if part.start:
        raise PictureError("the picture is broken", path="b.jpg")
    return Counts("e", "d", "", 1000, part.start, part.stop, {1: 0})


def test_an_error_of_ours_in_a_part_is_not_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    distributed = pytest.importorskip("distributed", reason="needs caffe2neon[distributed]")
    monkeypatch.setenv("CALLS", str(tmp_path))
    with (
        distributed.LocalCluster(n_workers=1, threads_per_worker=1, processes=False, dashboard_address=":0") as cluster,
        distributed.Client(cluster) as client,
        pytest.raises(PictureError, match=r"b\.jpg: the picture is broken"),
    ):
        list(scheduling._count_all(client, _broken, [range(500), range(500, 1000)], lambda *_: None))
    assert sorted(path.name.partition("-")[0] for path in tmp_path.iterdir()) == ["0", "500"]
