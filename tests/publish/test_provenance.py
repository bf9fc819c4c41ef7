"""Provenance: held to the in-toto project's own definition of the format, and to what is published."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from caffe2neon.errors import PublishError
from caffe2neon.publish import PROVENANCE, Dependency, build_id, find_build, provenance, staged_build
from caffe2neon.records import JSON

DEPENDENCIES = (
    Dependency("net.prototxt", "a" * 64),
    Dependency("net.caffemodel", "b" * 64, "https://host/net.caffemodel"),
    Dependency("inner.caffemodel", "c" * 64, "https://host/all.zip", "models/inner.caffemodel"),
)


def statement(subject: Mapping[str, str]) -> JSON:
    return provenance(subject, parameters={"entry": {"name": "net"}}, dependencies=DEPENDENCIES, version="1.2.3")


def parsed(value: object) -> tuple[Any, Any]:
    """Statement and predicate as the in-toto project reads them; a field that it does not know is an error."""
    json_format = pytest.importorskip("google.protobuf.json_format")
    pytest.importorskip("in_toto_attestation")
    from in_toto_attestation.predicates.provenance.v1 import provenance_pb2
    from in_toto_attestation.v1.statement import Statement
    from in_toto_attestation.v1.statement_pb2 import Statement as Message

    message = json_format.ParseDict(value, Message())
    Statement.copy_from_pb(message).validate()
    predicate = json_format.ParseDict(json_format.MessageToDict(message.predicate), provenance_pb2.Provenance())
    return message, predicate


def test_it_is_an_in_toto_statement_with_slsa_provenance() -> None:
    message, predicate = parsed(statement({"net.prm": "d" * 64, "model.json": "e" * 64}))
    assert message.predicate_type == "https://slsa.dev/provenance/v1"
    assert [(subject.name, dict(subject.digest)) for subject in message.subject] == [
        ("model.json", {"sha256": "e" * 64}),
        ("net.prm", {"sha256": "d" * 64}),
    ]
    definition = predicate.build_definition
    assert definition.build_type
    assert definition.external_parameters["entry"]["name"] == "net"
    assert [(d.name, d.uri, d.download_location, d.digest["sha256"]) for d in definition.resolved_dependencies] == [
        ("net.prototxt", "", "", "a" * 64),
        ("net.caffemodel", "https://host/net.caffemodel", "", "b" * 64),
        ("inner.caffemodel", "", "https://host/all.zip", "c" * 64),
    ]
    assert definition.resolved_dependencies[2].annotations["member"] == "models/inner.caffemodel"
    assert predicate.run_details.builder.id == "pkg:generic/caffe2neon@1.2.3"
    assert not predicate.run_details.HasField("metadata"), "it holds times"


def _build(root: Path) -> Path:
    with staged_build(root, "net", build_id({})) as stage:
        (stage.folder / "net.prm").write_bytes(b"model")
        (stage.folder / "model.json").write_bytes(b"{}")
        return stage.commit(statement).path


def test_published_with_the_build_and_listed(tmp_path: Path) -> None:
    folder = _build(tmp_path)
    publication = find_build(tmp_path, "net", folder.name, verify=True)
    assert publication is not None
    written = json.loads((folder / PROVENANCE).read_bytes())
    message, _ = parsed(written)
    subjects = {subject.name: subject.digest["sha256"] for subject in message.subject}
    assert subjects == {file: sha256 for file, sha256 in publication.files.items() if file != PROVENANCE}
    assert PROVENANCE in publication.files


def test_the_same_build_is_the_same_bytes(tmp_path: Path) -> None:
    first, second = (_build(tmp_path / name) for name in ("a", "b"))
    assert (first / PROVENANCE).read_bytes() == (second / PROVENANCE).read_bytes()


def test_no_statement_on_a_build_that_is_not_complete(tmp_path: Path) -> None:
    asked: list[object] = []
    with pytest.raises(PublishError, match="not complete"), staged_build(tmp_path, "net", "b") as stage:
        stage.commit(lambda subject: asked.append(subject))
    assert asked == []
