"""``index.html``: the template filled in, with the style and the script inside, and nothing else allowed."""

from __future__ import annotations

import base64
import hashlib
from importlib import resources
from pathlib import Path

from caffe2neon.files import write_bytes
from caffe2neon.report.page.plots import accuracy_plot, parity_plot
from caffe2neon.report.page.usage import neon_code, preprocessing
from caffe2neon.report.page.zoo import Zoo, read_zoo
from caffe2neon.report.report import size_text

PAGE = "index.html"


def write_page(root: Path) -> Path:
    """(Re)write ``index.html`` of the published zoo under ``root``, in one step; the same zoo gives the same bytes.

    Raises:
        PublishError: no published zoo lies there, its records are damaged, or the page cannot be written.
    """
    path = root / PAGE
    write_bytes(path, render(read_zoo(root)))
    return path


def render(zoo: Zoo) -> bytes:
    """The page. Everything from the zoo is escaped; its content security policy allows no request but for pictures beside it."""
    from jinja2 import Environment, StrictUndefined
    from markupsafe import Markup

    style, script = _resource("page.css"), _resource("page.js")
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters.update(
        size=size_text,
        percent=lambda value: "–" if value is None else f"{value:.1f}",
        points=_points,
        error=lambda value: f"{value:.1e}" if value else "0",
        shape=lambda value: "×".join(map(str, value)),
    )
    policy = (
        "default-src 'none'; img-src 'self' file:; "
        f"style-src '{_hash(style)}'; script-src '{_hash(script)}'; base-uri 'none'; form-action 'none'"
    )
    text = environment.from_string(_resource("page.html")).render(
        zoo=zoo,
        accuracy=accuracy_plot(zoo.models),
        parity_plot=parity_plot,
        neon_code=neon_code,
        preprocessing=preprocessing,
        policy=policy,
        style=Markup(style),  # our own files, not the zoo's
        script=Markup(script),
        total=sum(model.weights.size for model in zoo.models if model.weights),
    )
    return (text.rstrip() + "\n").encode("utf-8", "replace")


def _points(value: float | None) -> str:
    """A difference with its sign, and none where it rounds to nothing."""
    text = "–" if value is None else f"{value:+.1f}".replace("-", "−")
    return "0.0" if text in ("+0.0", "−0.0") else text


def _resource(name: str) -> str:
    return resources.files(__package__).joinpath(name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    """A source expression that allows exactly this inline text."""
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
