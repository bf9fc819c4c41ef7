"""Stand-ins for the interpreters of real programs: they answer the protocol, and fail in it, without the programs."""

from __future__ import annotations

import sys
from pathlib import Path

#: ``probe`` is what answers a probe, ``run`` everything else.
_STAND_IN = """#!{python}
import json, os, signal, sys, time
worker, asked, answered = sys.argv[1:]
request = json.load(open(asked))
folder = os.path.dirname(answered)
def answer(**fields):
    json.dump(dict(protocol=1, **fields), open(answered, "w"))
def arrays(**values):
    import numpy
    for name, value in values.items():
        numpy.save(os.path.join(folder, name + ".npy"), value)
if request["task"] == "probe":
{probe}
else:
{run}
"""


def script(folder: Path, text: str) -> str:
    path = folder / "interpreter"
    path.write_text(text)
    path.chmod(0o755)
    return str(path)


def stand_in(folder: Path, run: str, *, probe: str) -> str:
    """An interpreter that runs these lines of Python; with ``request``, ``folder``, ``answered``, ``answer`` and ``arrays``."""
    text = _STAND_IN.format(python=sys.executable, probe=_indented(probe), run=_indented(run))
    return script(folder, text)


def _indented(lines: str) -> str:
    return "\n".join("    " + line for line in lines.strip().splitlines())
