"""Mending and raising a model's opset imports."""

import onnx

from worker.engine.errors import UnsupportedModelError
from worker.engine.graphs import DEFAULT_DOMAINS, default_opset, walk_nodes
from worker.engine.model_files import put_weights_back, without_weights
from worker.engine.runtime import bounded


def merged_opset_imports(model: onnx.ModelProto) -> dict[str, int]:
    """Return each imported domain once, at its highest version; the default domain is ""."""
    versions: dict[str, int] = {}
    for opset in model.opset_import:
        domain = canonical_domain(opset.domain)
        versions[domain] = max(opset.version, versions.get(domain, 0))
    return versions


def canonical_domain(domain: str) -> str:
    """Return the one name of a domain that has two."""
    return "" if domain in DEFAULT_DOMAINS else domain


def raise_opset(model: onnx.ModelProto, minimum: int) -> onnx.ModelProto:
    """Return the model at an opset no lower than the minimum; itself where it is there already.

    Only ever raises: the converter writes invalid nodes on the way down. Functions should be
    inlined before, since the converter leaves their bodies as they are.

    Raises:
        UnsupportedModelError: a node has no equivalent at that opset.
    """
    if not 0 < default_opset(model) < minimum:
        return model
    outline, weights = without_weights(model)
    del outline.opset_import[:]
    for domain, version in merged_opset_imports(model).items():
        outline.opset_import.add(domain=domain, version=version)
    for node in walk_nodes(outline):
        node.domain = canonical_domain(node.domain)
    with bounded(f"raising the model to opset {minimum}", UnsupportedModelError):
        raised = onnx.version_converter.convert_version(outline, minimum)
    put_weights_back(raised, weights)
    # The converter rewrites what it does not understand of inputs and outputs.
    for name in ("input", "output"):
        del getattr(raised.graph, name)[:]
        getattr(raised.graph, name).extend(getattr(model.graph, name))
    return raised
