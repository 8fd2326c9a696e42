"""Running a pass by itself: samples in memory, a context, and answers to compare."""

from collections.abc import Callable, Sequence

import numpy as np
import onnx

from worker.engine.passes.base import PassContext
from worker.engine.runtime import open_session, run
from worker.engine.samples import Feeds, Sample


class GivenSamples:
    """Samples of these feeds, in order."""

    origin = "dataset"

    def __init__(self, feeds: Sequence[Feeds]) -> None:
        self.feeds = feeds

    def __len__(self):
        return len(self.feeds)

    def __iter__(self):
        return (Sample(feeds) for feeds in self.feeds)


def pass_context(
    workdir, feeds: Sequence[Feeds] = (), report: Callable[[str, float], None] = lambda *_: None
) -> PassContext:
    """A context whose samples are these feeds."""
    return PassContext(workdir=workdir, samples=GivenSamples(feeds), report_progress=report)


def answers(model: onnx.ModelProto, feeds: Feeds):
    """All outputs of a model, as onnxruntime computes them."""
    return run(open_session(model), feeds)


def first_answers(model: onnx.ModelProto, feeds: Sequence[Feeds]):
    """The first output for each of the feeds, stacked."""
    session = open_session(model)
    return np.concatenate([run(session, each)[0] for each in feeds])


def sqnr_db(reference, compressed):
    """10 log10(sum(ref²) / sum((ref - out)²))."""
    return 10 * np.log10(np.square(reference).sum() / np.square(reference - compressed).sum())


def optimized_op_types(model: onnx.ModelProto, tmp_path) -> list[str]:
    """The op types of the graph that onnxruntime really runs."""
    import onnxruntime  # noqa: PLC0415 - after worker.engine has silenced its telemetry

    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "optimized.onnx")
    options.log_severity_level = 4
    onnxruntime.InferenceSession(model.SerializeToString(), options)
    return [node.op_type for node in onnx.load(tmp_path / "optimized.onnx").graph.node]
