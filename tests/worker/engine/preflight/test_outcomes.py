import onnx
import pytest
from typing_extensions import override

from tests.onnx_models import small_convnet
from worker.engine.errors import PassError
from worker.engine.passes import PASS_TYPES
from worker.engine.passes.base import Outlook, PartResult, Pass, PassResult
from worker.engine.passes.static_quantization import StaticQuantization
from worker.engine.preflight.forecasting import FORESEEN
from worker.engine.preflight.outcomes import Forecaster
from worker.engine.preflight.prepared import PreparedModels


class Forgetting(Pass):
    """Leaves the last node's bias out: a method that says nothing of preflights."""

    method: str = "forgetting"

    @override
    def apply(self, model, context):
        copy = onnx.ModelProto()
        copy.CopyFrom(model)
        del copy.graph.initializer[-1]
        return PassResult(copy, ["gemm"])


class Wavering(Forgetting):
    """May find, once it measures, that nothing is to be done."""

    @override
    def foresee(self, preview):
        done = self.apply(preview.part, preview.context).model
        return Outlook([PartResult(done), PartResult(preview.part)], ["gemm"], [], first_share=0.75)


@pytest.fixture
def forecaster(tmp_path):
    return Forecaster(PreparedModels(small_convnet(), lowest_opset=13), tmp_path)


def test_every_method_of_the_union_is_foreseen():
    assert {type(step) for step in FORESEEN} == set(PASS_TYPES)


def test_a_method_is_foreseen_by_its_own_work_where_it_says_nothing_else(forecaster):
    outcome = forecaster.outcome(Forgetting())

    likeliest, only = outcome.sizes
    assert likeliest == only < small_convnet().ByteSize()
    assert outcome.touched == ["gemm"]


def test_the_likeliest_size_lies_between_the_ways_that_measuring_may_go(forecaster):
    likeliest, done, undone = forecaster.outcome(Wavering()).sizes

    assert done < likeliest < undone
    assert likeliest == pytest.approx(0.75 * done + 0.25 * undone, abs=1)


def test_what_a_pass_would_refuse_is_refused(forecaster):
    with pytest.raises(PassError, match="no node is called or matches"):
        forecaster.outcome(StaticQuantization(nodes_to_exclude=("nothing",)))
