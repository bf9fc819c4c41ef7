"""The house: who may import whom, what starting costs, and what no file may hold."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tokenize
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "caffe2neon"

#: What everything may import: the package itself (its version) and what crosses the doors.
BASE = {"", "errors", "records", "files", "wire"}
#: What a room may import beyond that and itself; a room that is not here may import nothing more.
DOORS = {
    "neon": {"pickles"},
    "labels": {"pickles"},
    "engines": {"neon", "caffe"},
    "verify": {"engines"},
    "evaluate": {"engines"},
    "report": {"publish"},  # the page reads a published zoo as publish does
}
#: Modules of the base, which import only each other.
WITHIN_BASE = {
    "": set[str](),
    "errors": set[str](),
    "records": {"errors"},
    "files": {"errors", "records"},
    "wire": {"errors", "records"},
}

#: The type of a record's field; nothing of it is there when the program runs.
FIELD_TYPES = "caffe2neon.caffe.caffe_pb2"

#: Slow to import, so nothing but what needs them waits for them, inside a function.
HEAVY = {
    "PIL", "cv2", "distributed", "fsspec", "lmdb", "matplotlib", "onnx",
    "onnxruntime", "requests", "scipy", "sklearn", "tqdm", "urllib3", "yaml",
}  # fmt: skip


@dataclass(frozen=True)
class Import:
    """``name`` is all of it: ``caffe2neon.engines.base.Engine``. ``late``: inside a function. ``typing``: for type checkers."""

    file: Path
    line: int
    name: str
    late: bool
    typing: bool

    @property
    def room(self) -> str:
        """The part of the package that is imported, or "" for the package itself."""
        part = [*self.name.split("."), ""][1]
        return part if part in PARTS else ""

    def __str__(self) -> str:
        return f"{self.file.relative_to(ROOT)}:{self.line}: {self.name}"


def _sources(folder: Path) -> list[Path]:
    return [path for path in sorted(folder.rglob("*.py")) if not path.name.endswith("_pb2.py")]


PARTS = {path.stem if path.is_file() else path.name for path in PACKAGE.iterdir() if path.suffix == ".py" or path.is_dir()}
PARTS -= {"__init__", "__main__", "__pycache__", "bundled"}
ROOMS = {part for part in PARTS if (PACKAGE / part).is_dir()} - {"cli"}
#: Modules that lead from room to room, between the command line and them.
ABOVE = PARTS - ROOMS - BASE - {"cli"}


def part_of(path: Path) -> str:
    """``engines`` of ``caffe2neon/engines/base.py``, ``files`` of ``caffe2neon/files.py``."""
    name = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
    return "" if name == "__init__" else name


@cache
def imports_of(path: Path) -> tuple[Import, ...]:
    def visit(node: ast.AST, late: bool, typing: bool) -> Iterator[Import]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.Import):
                yield from (Import(path, child.lineno, alias.name, late, typing) for alias in child.names)
            elif isinstance(child, ast.ImportFrom):
                assert child.level == 0, f"{path}:{child.lineno}: relative import"
                yield from (Import(path, child.lineno, f"{child.module}.{alias.name}", late, typing) for alias in child.names)
            guard = isinstance(child, ast.If) and isinstance(child.test, ast.Name) and child.test.id == "TYPE_CHECKING"
            yield from visit(child, late or isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda), typing or guard)

    return tuple(visit(ast.parse(path.read_text(encoding="utf-8")), False, False))


def _ours(part: str) -> list[Import]:
    """What the modules of a part import from the package, types of fields left out."""
    paths = _sources(PACKAGE / part) if (PACKAGE / part).is_dir() and part else [PACKAGE / f"{part or '__init__'}.py"]
    found = [entry for path in paths for entry in imports_of(path) if entry.name.split(".")[0] == "caffe2neon"]
    return [entry for entry in found if not (entry.typing and entry.name.startswith(FIELD_TYPES))]


def test_the_walk_sees_imports_wherever_they_are(tmp_path: Path) -> None:
    source = """
import caffe2neon.cli
if TYPE_CHECKING:
    from caffe2neon.caffe.caffe_pb2 import LayerParameter
class A:
    def f(self):
        if True:
            from caffe2neon import graph, labels as l
"""
    path = tmp_path / "module.py"
    path.write_text(source)
    assert [(entry.name, entry.room, entry.late, entry.typing) for entry in imports_of(path)] == [
        ("caffe2neon.cli", "cli", False, False),
        ("caffe2neon.caffe.caffe_pb2.LayerParameter", "caffe", False, True),
        ("caffe2neon.graph", "graph", True, False),
        ("caffe2neon.labels", "labels", True, False),
    ]


def test_rooms_are_those_of_the_design() -> None:
    assert {"manifest", "fetch", "caffe", "graph", "convert", "neon", "labels", "engines", "verify", "evaluate"} <= ROOMS
    assert {"publish", "report"} <= ROOMS
    assert {"pipeline", "single"} <= ABOVE


@pytest.mark.parametrize("part", sorted(WITHIN_BASE))
def test_the_base_stands_alone(part: str) -> None:
    assert [str(entry) for entry in _ours(part) if entry.room not in WITHIN_BASE[part] | {"", part}] == []


@pytest.mark.parametrize("room", sorted(ROOMS))
def test_a_room_imports_the_base_itself_and_its_doors(room: str) -> None:
    allowed = BASE | {room} | DOORS.get(room, set())
    assert [str(entry) for entry in _ours(room) if entry.room not in allowed] == []


@pytest.mark.parametrize("module", sorted(ABOVE))
def test_modules_above_import_rooms_and_never_the_command_line(module: str) -> None:
    assert [str(entry) for entry in _ours(module) if entry.room not in BASE | ROOMS | ABOVE] == []


def test_no_part_reaches_itself_through_others() -> None:
    reached = {part: {entry.room for entry in _ours(part)} - {part, ""} for part in PARTS}

    def visit(part: str, way: tuple[str, ...]) -> None:
        assert part not in way, " -> ".join((*way, part))
        for following in reached[part]:
            visit(following, (*way, part))

    for part in PARTS:
        visit(part, ())


def test_nobody_imports_scripts_or_tests() -> None:
    found = [entry for path in _sources(PACKAGE) for entry in imports_of(path) if entry.name.split(".")[0] in ("scripts", "tests")]
    assert [str(entry) for entry in found] == []


@pytest.mark.parametrize(("engine", "forbidden"), [("neon_embedded", ("caffe", "caffe_embedded")), ("caffe_embedded", ("neon",))])
def test_embedded_engines_share_the_graph_helper_and_the_protocol_alone(engine: str, forbidden: tuple[str, ...]) -> None:
    shared = {"onnx_graph", "base", engine}
    for path in _sources(PACKAGE / "engines" / engine):
        for entry in imports_of(path):
            parts = entry.name.split(".")
            if parts[0] != "caffe2neon" or (entry.typing and entry.name.startswith(FIELD_TYPES)):
                continue
            assert entry.room not in {"graph", "convert", *forbidden}, str(entry)
            if entry.room == "engines":
                # neon's files are read alike by the embedded engine and by the worker's side
                assert parts[2] in shared | ({"neon_io"} if engine == "neon_embedded" else set()), str(entry)


def test_heavy_packages_are_imported_in_functions_alone() -> None:
    found = [entry for path in _sources(PACKAGE) for entry in imports_of(path) if entry.name.split(".")[0] in HEAVY]
    assert found, "the walk finds none at all"
    assert [str(entry) for entry in found if not (entry.late or entry.typing)] == []


def _loaded(code: str, *arguments: str | Path) -> set[str]:
    """The heavy packages that a fresh interpreter has loaded after ``code``."""
    program = f"import sys\n{code}\nprint(','.join(sorted({HEAVY!r} & set(sys.modules))), file=sys.stderr)"
    command = [sys.executable, "-W", "error", "-c", program, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    return set(filter(None, done.stderr.splitlines()[-1].split(",")))


_RUN = "from caffe2neon.cli import main\nmain(sys.argv[1:], standalone_mode=False)"


def test_importing_the_command_line_loads_nothing_heavy() -> None:
    assert _loaded("import caffe2neon.cli") == set()


def test_converting_loads_nothing_heavy(tmp_path: Path) -> None:
    digits = PACKAGE / "bundled" / "digits"
    output = tmp_path / "digits.prm"
    assert _loaded(_RUN, "convert", digits / "digits.prototxt", digits / "digits.caffemodel", "-o", output) == set()
    assert output.exists()


def test_listing_the_zoo_loads_yaml_alone() -> None:
    assert _loaded(_RUN, "zoo", "list", "digits", "--manifest", ROOT / "zoo.yaml") == {"yaml"}


def test_every_package_and_module_says_what_it_is_for() -> None:
    silent = [path for path in _sources(PACKAGE) if not ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))]
    assert [str(path.relative_to(ROOT)) for path in silent] == []


def test_no_comment_puts_work_off() -> None:
    marks = re.compile(r"\b(TODO|FIXME|XXX|HACK)\b")
    for folder in ("caffe2neon", "scripts", "tests"):
        for path in _sources(ROOT / folder):
            if not marks.search(path.read_text(encoding="utf-8")):
                continue
            with path.open("rb") as stream:
                comments = [token for token in tokenize.tokenize(stream.readline) if token.type == tokenize.COMMENT]
            assert [f"{path}:{token.start[0]}" for token in comments if marks.search(token.string)] == []


def _tracked() -> list[Path]:
    try:
        command = ["git", "-c", f"safe.directory={ROOT}", "ls-files", "-z"]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("needs git and a checkout")
    return [path for name in done.stdout.split("\0") if name and (path := ROOT / name).is_file()]


def test_no_tracked_file_names_a_place_of_the_machine_it_was_made_on() -> None:
    # Home folders and places where checkouts lie; /tmp/… and the like are no better in a file for everybody.
    place = re.compile(rb"(?<![\w.:/}~-])/(?:work|root|home|tmp|opt|Users|mnt)/[\w.]")
    container = {ROOT / "tests" / "test_image.py"}  # a container's folders are its own
    texts = [path for path in _tracked() if path.parent.name != "docker" and path not in container]
    found = [f"{path.relative_to(ROOT)}: {match[0]!r}" for path in texts for match in place.finditer(path.read_bytes())]
    assert found == []
