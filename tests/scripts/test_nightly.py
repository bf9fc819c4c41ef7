"""scripts/nightly.sh: what is published, what stops a night, and what it leaves."""

from __future__ import annotations

import fcntl
import itertools
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from tests.fetch.server import body, running
from tests.publish.builds import check
from tests.zoos import Zoo

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def zoo(tmp_path: Path) -> Zoo:
    zoo = Zoo(tmp_path)
    program = tmp_path / "caffe2neon"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m caffe2neon "$@"\n')
    program.chmod(0o755)
    return zoo


SCRIPT = ROOT / "scripts" / "nightly.sh"


def environment(zoo: Zoo, **settings: str) -> dict[str, str]:
    own = {"CAFFE2NEON": str(zoo.folder / "caffe2neon"), "PYTHONPATH": str(ROOT)}
    others = dict.fromkeys(("GROUP", "ENTRIES", "PUBLISH", "GITHUB_STEP_SUMMARY"), "")
    return {**others, **os.environ, **own, **settings}


def night(zoo: Zoo, **settings: str) -> subprocess.CompletedProcess[str]:
    zoo.write()
    return subprocess.run(
        [SCRIPT], cwd=zoo.folder, env=environment(zoo, **settings), capture_output=True, text=True, check=False
    )


def logs(zoo: Zoo, end: str) -> str:
    return (zoo.folder / "nightly" / "logs" / f"latest.{end}").read_text()


def test_nights_that_are_well_and_one_that_fell_behind(zoo: Zoo) -> None:
    zoo.add_digits()
    zoo.models["digits"]["tolerance"]["top1"] = 0.2
    first = night(zoo)
    assert (first.returncode, first.stderr) == (0, "")
    assert first.stdout.splitlines()[:3] == ["# Zoo: all well", "", "1 published"]
    assert "| digits | published | 99.7 (99.7) | 100.0 |" in first.stdout
    assert first.stdout.splitlines()[-5:-3] == ["## Published to nightly/published", ""]
    assert re.match(r"digits +published +build [0-9a-f]{16}: .* sent$", first.stdout.splitlines()[-2])
    assert first.stdout == logs(zoo, "md")
    assert "digits: evaluate" in logs(zoo, "log")
    published = zoo.folder / "nightly" / "published"
    assert list(check(published)) == ["digits"]
    assert night(zoo, GITHUB_STEP_SUMMARY=str(zoo.folder / "step.md")).returncode == 0
    assert "1 unchanged" in (zoo.folder / "step.md").read_text()

    index = json.loads((published / "index.json").read_bytes())
    index["models"]["digits"]["accuracy"]["top5"] = 100.0
    index["models"]["digits"]["accuracy"]["top1"] = 100.0  # the measured one is 99.72
    (published / "index.json").write_text(json.dumps(index))
    before = (published / "index.json").read_bytes()
    third = night(zoo)
    assert third.returncode == 1
    assert "digits: top1 was 100.0, is 99.7" in third.stderr
    assert "## Worse than published\n\n- **digits** top1: 100.00 % → 99.72 %" in third.stdout
    assert third.stdout.splitlines()[-1].startswith("Nothing of this went to ")
    assert (published / "index.json").read_bytes() == before


def test_arguments_start_no_night(zoo: Zoo) -> None:
    asked = subprocess.run([SCRIPT, "--help"], cwd=zoo.folder, env=environment(zoo), capture_output=True, text=True, check=False)
    assert (asked.returncode, asked.stdout) == (2, "")
    assert "Usage: nightly.sh, without arguments." in asked.stderr
    assert not (zoo.folder / "nightly").exists()


def test_a_night_without_measuring(zoo: Zoo) -> None:
    zoo.add_digits()
    done = night(zoo, EVALUATE="no")
    assert done.returncode == 0
    assert "- **digits** not evaluated, as asked" in done.stdout


def test_what_one_night_refused_no_other_publishes_unless_it_is_good_there(zoo: Zoo) -> None:
    """Refused for its numbers, for a neighbour's fault, or for upstream: the build lies in the state, and waits."""

    def published() -> dict[str, str]:
        return check(zoo.folder / "nightly" / "published")

    zoo.add_digits()
    zoo.add_small()
    assert night(zoo).returncode == 0
    first = published()

    zoo.models["digits"]["preprocess"]["mean"] = 0
    del zoo.models["digits"]["published"]
    zoo.add_small("removed", seed=1)
    zoo.add_small("neighbour", seed=2)
    assert night(zoo).returncode == 1
    assert published() == first
    assert check(zoo.folder / "nightly" / "zoo").keys() == {*first, "removed", "neighbour"}

    del zoo.models["removed"]
    only_small = night(zoo, ENTRIES="small")
    assert (only_small.returncode, published()) == (0, first)
    others = night(zoo, ENTRIES="small neighbour")
    assert (others.returncode, set(published())) == (0, {*first, "neighbour"})
    assert published()["digits"] == first["digits"]


def test_a_file_that_changed_upstream_fails_its_model_though_the_cache_has_the_right_one(zoo: Zoo) -> None:
    zoo.add_small()
    weights = (zoo.folder / "small.caffemodel").read_bytes()
    with running() as server:
        zoo.models["small"]["caffemodel"]["url"] = server.serve("/w", body(weights))
        assert night(zoo).returncode == 0
        server.serve("/w", body(weights[:-1] + b"x"))
        changed = night(zoo)
        assert changed.returncode == 1
        assert "- **small** upstream: " in changed.stdout
        assert "changed upstream: checksum mismatch: another file of the right size" in changed.stdout
    gone = night(zoo)
    assert gone.returncode == 0
    assert "cannot tell whether" in gone.stdout


def test_a_night_that_cannot_publish_is_no_good_one(zoo: Zoo) -> None:
    """What lies there can be read, so that only the last step fails."""
    zoo.add_small()
    with running() as server:
        index = json.dumps({"schema": 1, "models": {}}).encode()
        place = server.serve("/zoo", body(b""))
        server.serve("/zoo/index.json", body(index))
        failed = night(zoo, PUBLISH=place)
    assert failed.returncode == 1
    assert failed.stdout.splitlines()[0] == "# Zoo: failed"
    assert "1 published" in failed.stdout
    assert failed.stdout.splitlines()[-1] == f"All is well but publishing to {place}: see the log."
    assert "nightly: failed (1)" in failed.stderr


def test_a_second_run_at_once_ends_at_once(zoo: Zoo) -> None:
    zoo.add_small()
    (zoo.folder / "nightly").mkdir()
    with (zoo.folder / "nightly" / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = night(zoo)
    assert (done.returncode, done.stdout) == (75, "")
    assert "another run" in done.stderr


#: Says that it has begun; told to end, it takes a while, looks whether the night's lock still holds, and says so.
_STAND_IN = """#!/bin/sh
tidy() {
    sleep 0.3
    flock --nonblock nightly/lock true && echo unlocked >end || echo "locked, $2" >end
    exit 143
}
trap 'tidy "$@"' TERM
echo "$2" >>begun
while [ "$2" = STEP ]; do sleep 0.02; done
while [ $# -gt 0 ]; do
    [ "$1" != --summary ] || echo "# Zoo: all well" >"$2"
    shift
done
"""


@pytest.mark.parametrize("first", [False, True], ids=["script", "first process"])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP], ids=lambda number: number.name)
@pytest.mark.parametrize("step", ["build", "publish"])
def test_a_night_that_is_stopped_hands_it_on_and_waits(zoo: Zoo, step: str, number: signal.Signals, first: bool) -> None:
    """Alone, and as the first process of a container, which the kernel spares the signals that it does not catch."""
    namespace = ["unshare", "--user", "--map-root-user", "--pid", "--fork"]
    if first and subprocess.run([*namespace, "true"], capture_output=True, check=False).returncode:
        pytest.skip("needs unshare, and the right to use it")
    (zoo.folder / "caffe2neon").write_text(_STAND_IN.replace("STEP", step))
    command = [*(namespace if first else []), str(SCRIPT)]
    popen = subprocess.Popen(
        command, cwd=zoo.folder, env=environment(zoo), stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    with popen as process:
        try:
            until = time.monotonic() + 60
            while not ((begun := zoo.folder / "begun").exists() and step in begun.read_text()):
                assert time.monotonic() < until
                time.sleep(0.01)
            children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
            os.kill(int(children.read_text()) if first else process.pid, number)
            _, said = process.communicate(timeout=60)
        except BaseException:
            os.killpg(process.pid, signal.SIGKILL)  # or its pipe would be waited for
            raise
    assert (process.returncode, (zoo.folder / "end").read_text()) == (143, f"locked, {step}\n")
    assert "nightly: failed (143)" in said
    assert begun.read_text().split() == ["build", "publish"][: 1 + (step == "publish")]


def test_settings_become_options(zoo: Zoo) -> None:
    """``printf`` stands for the command."""
    program = zoo.folder / "caffe2neon"
    program.write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
    engines = {"ENGINE": "neon", "REFERENCE": "caffe"}
    night(zoo, GROUP="g h", ENTRIES="a* b", DATASET="d=x e=y", JOBS="3", MIRROR="m n", PUBLISH="memory://zoo", **engines)
    said = logs(zoo, "log").splitlines()
    build, publish = said[: said.index("publish") - 1], said[said.index("publish") - 1 :]
    several = [("--group", "g"), ("--group", "h"), ("--mirror", "m"), ("--mirror", "n"), ("--dataset", "d=x"), ("--dataset", "e=y")]
    for pair in (*several, ("--jobs", "3"), ("--engine", "neon"), ("--reference", "caffe")):
        assert pair in itertools.pairwise(build)
    assert build[-2:] == ["a*", "b"]
    (report,) = (after for option, after in itertools.pairwise(build) if option == "--report")
    assert publish == ["zoo", "publish", "nightly/zoo", "memory://zoo", "--report", report]


def test_compose_runs_this_script() -> None:
    service = yaml.safe_load((ROOT / "docker" / "compose.yaml").read_text())["services"]["nightly"]
    (program,) = map(Path, service["entrypoint"])
    assert program.name == "nightly.sh"
    assert f"COPY scripts/nightly.sh {program.parent}/\n" in (ROOT / "docker" / "Dockerfile").read_text()
    read = set(re.findall(r"\$\{([A-Z0-9_]+):-", (ROOT / "scripts" / "nightly.sh").read_text()))
    assert set(service["environment"]) <= read
    assert service["environment"]["STATE"] in [volume.rpartition(":")[2] for volume in service["volumes"]]


def test_compose_makes_no_folder_that_nobody_named() -> None:
    """Without settings all is in volumes that the file declares, and every one of those is used."""
    compose = yaml.safe_load((ROOT / "docker" / "compose.yaml").read_text())
    mounts = [mount for service in compose["services"].values() for mount in service["volumes"]]
    sources = {re.sub(r"\$\{[A-Z]+:-([^}]*)\}", r"\1", mount).split(":")[0] for mount in mounts}
    assert sources == compose["volumes"].keys()


def test_compose_lets_a_service_end_tidily() -> None:
    for service in yaml.safe_load((ROOT / "docker" / "compose.yaml").read_text())["services"].values():
        assert service["init"] is True
        assert service["stop_grace_period"] == "1m"


def _planned(*arguments: str) -> str:
    """What make would do; as by hand, though ``make test`` may be running this."""
    inherited = {name: value for name, value in os.environ.items() if name not in ("MAKEFLAGS", "MAKELEVEL", "MFLAGS")}
    command = ["make", "--dry-run", "--no-print-directory", *arguments]
    return subprocess.run(command, cwd=ROOT, env=inherited, capture_output=True, text=True, check=True).stdout


@pytest.mark.parametrize(
    ("settings", "extras"),
    [
        ({"PUBLISH": "/srv/zoo"}, []),
        ({"PUBLISH": "s3://bucket/zoo"}, [".[remote,s3]"]),
        ({"PUBLISH": "", "SCHEDULER": "tcp://host:8786"}, [".[distributed]"]),
    ],
    ids=["folder", "s3", "cluster"],
)
def test_make_installs_what_a_night_needs_and_then_runs_it(tmp_path: Path, settings: dict[str, str], extras: list[str]) -> None:
    settings = {"PUBLISH": "", "SCHEDULER": "", **settings, "VENV": str(tmp_path)}
    variables = [f"{name}={value}" for name, value in settings.items()]
    said = _planned("nightly", *variables)
    assert re.findall(r'--editable (?:"(.*)"|\.)$', said, re.MULTILINE) == ["", *extras]
    assert said.splitlines()[-1] == f"CAFFE2NEON={tmp_path}/bin/caffe2neon scripts/nightly.sh"
    for line in said.splitlines():
        assert subprocess.run(["sh", "-n", "-c", line], check=False).returncode == 0, line


@pytest.mark.parametrize("target", ["zoo", "convert"])
def test_make_passes_an_option_for_each_of_several(tmp_path: Path, target: str) -> None:
    """``printf`` stands for the command, and is run by sh as make would."""
    settings = {"MODEL": "digits", "ENTRIES": "", "GROUP": "", "DATASET": "a=x b=y", "MIRROR": "m n", "JOBS": "2"}
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "caffe2neon").write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
    (tmp_path / "bin" / "caffe2neon").chmod(0o755)
    variables = [f"{name}={value}" for name, value in {**settings, "VENV": str(tmp_path)}.items()]
    said = _planned(target, *variables)
    (line,) = (line for line in said.splitlines() if "zoo build" in line)
    passed = subprocess.run(["sh", "-c", line], capture_output=True, text=True, check=True).stdout.splitlines()
    chosen = ["digits"] if target == "convert" else ["--group", "bundled"]
    options = ["--mirror", "m", "--mirror", "n", "--dataset", "a=x", "--dataset", "b=y", "--jobs", "2"]
    assert passed == ["zoo", "build", *chosen, "--output", "zoo", *options]


def test_ci_calls_make_and_nothing_else() -> None:
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / "nightly.yml").read_text())
    steps = [step for job in workflow["jobs"].values() for step in job["steps"]]
    assert [step["run"] for step in steps if "run" in step] == ["make nightly"]
