"""Value names: those in use, and new ones that collide with none."""

import onnx

from worker.engine.graphs import walk_graphs


class NameGiver:
    """Gives names that nothing in the model has yet."""

    def __init__(self, taken: set[str]) -> None:
        self._taken = taken

    def name(self, wanted: str) -> str:
        """Return the wanted name, or the first free one after it."""
        name, count = wanted, 1
        while name in self._taken:
            name, count = f"{wanted}_{count}", count + 1
        self._taken.add(name)
        return name


def taken_names(model: onnx.ModelProto) -> set[str]:
    """Return every value name in use, subgraphs included."""
    names: set[str] = set()
    for graph in walk_graphs(model):
        names.update(value.name for value in [*graph.input, *graph.output])
        names.update(tensor.name for tensor in graph.initializer)
        for node in graph.node:
            names.update([*node.input, *node.output])
    return names
