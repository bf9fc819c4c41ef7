"""Where a build comes from, in the words of the supply-chain tools: an in-toto Statement with SLSA provenance.

Formats: in-toto attestation framework, Statement v1; SLSA v1.0, Provenance predicate v1.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from caffe2neon.records import JSON

PROVENANCE = "provenance.json"

STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
PREDICATE_TYPE = "https://slsa.dev/provenance/v1"

#: Names the meaning of ``externalParameters``; ``docs/publishing.md`` describes it. A new meaning gets a new number.
BUILD_TYPE = "pkg:generic/caffe2neon#zoo-build/1"


@dataclass(frozen=True)
class Dependency:
    """A file that a build was made of. ``url`` is "" for one of the manifest's own folder; ``member`` is a path in an archive."""

    name: str
    sha256: str
    url: str = ""
    member: str = ""


def provenance(subject: Mapping[str, str], *, parameters: JSON, dependencies: Sequence[Dependency], version: str) -> JSON:
    """The statement on a build; the same build gives the same bytes, so it tells no times and no machine.

    Args:
        subject: the published files' names and sha256.
        parameters: the manifest's entry and the options, all that whoever asked for the build decided.
        dependencies: what was fetched for it.
        version: caffe2neon's.
    """
    return {
        "_type": STATEMENT_TYPE,
        "subject": [{"name": file, "digest": {"sha256": subject[file]}} for file in sorted(subject)],
        "predicateType": PREDICATE_TYPE,
        "predicate": {
            "buildDefinition": {
                "buildType": BUILD_TYPE,
                "externalParameters": parameters,
                "resolvedDependencies": [_descriptor(dependency) for dependency in dependencies],
            },
            "runDetails": {
                "builder": {"id": f"pkg:generic/caffe2neon@{version}", "version": {"caffe2neon": version}},
            },
        },
    }


def _descriptor(dependency: Dependency) -> JSON:
    """An in-toto ResourceDescriptor; the digest is that of the file that was read, not of the archive around it."""
    descriptor: dict[str, JSON] = {"name": dependency.name, "digest": {"sha256": dependency.sha256}}
    if dependency.url and dependency.member:
        descriptor["downloadLocation"] = dependency.url
        descriptor["annotations"] = {"member": dependency.member}
    elif dependency.url:
        descriptor["uri"] = dependency.url
    return descriptor
