"""What becomes of every layer of a prototxt, and whether all of it together is a neon model; no weights are needed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from caffe2neon.caffe import deploy, deploy_rules, read_net
from caffe2neon.convert import check_types, convert, judge
from caffe2neon.errors import Finding, GraphError, UnsupportedError
from caffe2neon.graph import already_owned, build_graph, lay_out, simplify
from caffe2neon.records import CaffeLayer, CaffeNet, Graph, NeonModel, Verdict
from caffe2neon.single import NetOptions


@dataclass(frozen=True)
class Checked:
    """A prototxt, judged. ``layers`` are those of the phase and stages that were asked for, in the file's order.

    ``findings``: what stands in the way beside single layers: structures, a shape that nobody knows, what Caffe would refuse.
    ``notes``: sentences for people on the model as a whole. ``outputs``: its blobs, and ``neon_layers`` how many layers it would
    have, where it converts. ``shared``: how many weights in Caffe are another layer's, too.
    """

    path: str
    layers: tuple[Verdict, ...]
    findings: tuple[Finding, ...]
    notes: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ()
    neon_layers: int = 0
    shared: int = 0

    @property
    def converts(self) -> bool:
        return not self.findings and all(layer.verdict not in ("refused", "open") for layer in self.layers)

    @property
    def weights(self) -> tuple[int, int]:
        """Numbers in all learnable blobs, in Caffe and in neon, which shares none."""
        return sum(layer.weights[0] for layer in self.layers) - self.shared, sum(layer.weights[1] for layer in self.layers)


def check_file(prototxt: Path, options: NetOptions) -> Checked:
    """Judge a prototxt.

    Raises:
        ParseError: it cannot be read.
        UsageError: options that do not go together.
    """
    train = options.phase == "TRAIN"
    net = read_net(prototxt, phase=options.phase, stages=options.stages, level=options.level)
    findings: list[Finding] = []
    judged: Mapping[CaffeLayer, Verdict] = {}
    model = graph = deployed = None
    try:
        try:
            deployed = deploy(net, shape=options.shape, head=options.head, cut=options.cut, train=train)
        except UnsupportedError as error:
            # losses without a cost: all other layers can be judged as those of the net that computes
            findings += error.findings
            deployed = deploy(net, shape=options.shape, head=options.head, cut=options.cut)
        graph = simplify(build_graph(deployed))
        judged = judge(graph)
        if not any(verdict.verdict == "refused" for verdict in judged.values()):
            model = convert(lay_out(graph))
        else:
            lay_out(graph)
    except UnsupportedError as error:
        findings += error.findings
    except GraphError as error:
        findings.append(Finding(error.where, error.message, error.remedy))
        findings += _types(net, deployed)  # the better reason, where both are about one layer: the last counts
    return _checked(net, deployed, graph, judged, findings, model)


def _types(net: CaffeNet, deployed: CaffeNet | None) -> list[Finding]:
    """Layers whose types rule them out; of a net that is still to be deployed, those that deploying does not look at."""
    known = deploy_rules() if deployed is None else {}
    return [found for found in check_types(deployed or net) if found.where.layer_type not in known]


def _checked(
    net: CaffeNet,
    deployed: CaffeNet | None,
    graph: Graph | None,
    judged: Mapping[CaffeLayer, Verdict],
    findings: list[Finding],
    model: NeonModel | None,
) -> Checked:
    """Put together what is known of each layer; a finding on a layer of the net becomes its verdict."""
    by_layer = {(found.where.layer, found.where.line, found.where.layer_type): found for found in findings}
    verdicts = []
    for layer in net.layers:
        stand_in = None if deployed is None else _stand_in(layer, deployed)
        meant = [(each.name, each.line, each.type) for each in (layer, stand_in) if each is not None]
        found = next((by_layer.pop(key) for key in meant if key in by_layer), None)
        verdict = _verdict(layer, deployed, graph, judged)
        if found is not None:
            verdict = replace(verdict, verdict="refused", becomes="", reason=found.reason, remedy=found.remedy)
        verdicts.append(verdict)
    said = {f"{verdict.layer}: {note}" for verdict in verdicts for note in verdict.reason.split("; ")}
    notes = tuple(note for note in (model.meta["notes"] if model else ()) if note not in said)
    outputs = tuple(model.meta["outputs"]) if model else ()
    count = sum(1 for _ in model.root.walk()) if model else 0
    return Checked(net.path, tuple(verdicts), tuple(by_layer.values()), notes, outputs, count, _shared(graph, judged))


def _shared(graph: Graph | None, judged: Mapping[CaffeLayer, Verdict]) -> int:
    """Weights that a layer before owns; layers that are not in the model have none."""
    owned: set[str] = set()
    counted = [node for node in graph.nodes if judged[node.layer].weights[0]] if graph and judged else []
    return sum(already_owned(node.layer.param, node.params, owned) for node in counted)


def _verdict(
    layer: CaffeLayer, deployed: CaffeNet | None, graph: Graph | None, judged: Mapping[CaffeLayer, Verdict]
) -> Verdict:
    verdict = Verdict(layer.name, layer.type, layer.line, "open", reason="another finding keeps it from being judged")
    if layer in judged:
        return judged[layer]
    if deployed is None or (graph is None and layer in deployed.layers):
        return verdict
    if layer in deployed.layers:
        return replace(verdict, verdict="dropped", reason="no output needs it" if layer.type != "Split" else "changes no number")
    if _is_metric(layer):
        return replace(verdict, verdict="dropped", reason="a metric")
    stand_in = _stand_in(layer, deployed)
    if stand_in is not None:
        if stand_in not in judged:
            return verdict
        cost = next((loss.cost for loss in deployed.losses if loss.layer == layer.name), "")
        found = judged[stand_in]
        becomes = ", ".join(filter(None, (found.becomes, cost)))
        return replace(found, layer=layer.name, type=layer.type, line=layer.line, becomes=becomes)
    if loss := next((loss for loss in deployed.losses if loss.layer == layer.name), None):
        return replace(verdict, verdict="exact", becomes=loss.cost, reason="")
    return replace(verdict, verdict="dropped", reason=_why_dropped(layer))


def _is_metric(layer: CaffeLayer) -> bool:
    weights = layer.param.loss_weight
    return layer.type == "Accuracy" or (layer.type in deploy_rules() and len(weights) > 0 and not any(weights))


def _why_dropped(layer: CaffeLayer) -> str:
    rule = deploy_rules().get(layer.type)
    if rule and rule.becomes.startswith("nothing: "):
        return rule.becomes.removeprefix("nothing: ")
    return "leads to no output that is kept"


def _stand_in(layer: CaffeLayer, deployed: CaffeNet) -> CaffeLayer | None:
    """The layer that deploying put in place of a data layer or a loss."""
    if layer.type not in deploy_rules():
        return None
    for other in deployed.layers:
        if other.type == "Input" and other.name == layer.name and set(other.tops) <= set(layer.tops):
            return other
        if other.line == layer.line and other.type != layer.type and other.bottoms and other.bottoms == layer.bottoms[:1]:
            return other
    return None


