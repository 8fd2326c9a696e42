"""The prepared model at the opsets that methods need, whole and thinned, each made once."""

import onnx

from worker.engine.errors import EngineError, UnsupportedModelError
from worker.engine.graphs import default_opset
from worker.engine.passes.base import Pass
from worker.engine.preflight.thinning import Thinned, thin
from worker.engine.preparation.opsets import raise_opset
from worker.engine.preparation.prepare import prepare
from worker.engine.quantization.working_copy import name_nodes


class PreparedModels:
    """A model as passes get it, its large weights whole or in part.

    Its rewrites are not checked on a sample, as those of a job are.
    """

    def __init__(self, model: onnx.ModelProto, lowest_opset: int) -> None:
        try:
            prepared = prepare(model, lowest_opset, is_checked=False)
        except UnsupportedModelError:
            # What a method cannot take, another may; `thinned` says so again.
            prepared = prepare(model, is_checked=False)
        self.notes = prepared.notes
        self.whole = prepared.model
        """At the lowest opset; nobody may change it."""
        name_nodes(self.whole)
        self._thinned = onnx.ModelProto()
        self._thinned.CopyFrom(self.whole)
        self.left_out: list[Thinned] = thin(self._thinned)
        """What the thinned models lack."""
        self._raised: dict[int, onnx.ModelProto | EngineError] = {}

    def thinned(self, step: Pass) -> onnx.ModelProto:
        """Return a copy as a pass gets it, with a part of each large weight.

        Raises:
            UnsupportedModelError: the model cannot be raised to the opset that the pass needs.
        """
        found = self._at(step.required_opset())
        if isinstance(found, EngineError):
            raise found
        copy = onnx.ModelProto()
        copy.CopyFrom(found)
        return copy

    def _at(self, opset: int) -> onnx.ModelProto | EngineError:
        if opset <= default_opset(self._thinned):
            return self._thinned
        if opset not in self._raised:
            try:
                self._raised[opset] = raise_opset(self._thinned, opset)
            except EngineError as error:
                self._raised[opset] = error
        return self._raised[opset]
