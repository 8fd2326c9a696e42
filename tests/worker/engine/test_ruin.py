import pytest
from onnx import helper

from tests.onnx_models import float_value, model_of
from worker.engine.report.quality import ChannelGroup, OutputFidelity
from worker.engine.ruin import find_ruin, ruin_error, sigmoid_outputs, unjudged_warnings


def output(**figures):
    return OutputFidelity(output="y", data="dataset", samples=4, worst_sample=2, **figures)


def group(sqnr_db):
    return ChannelGroup(axis=1, channels="4-5", peak=0.9, sqnr_db=sqnr_db)


def test_answers_below_the_limit_are_ruined():
    [ruin] = find_ruin([output(sqnr_db=2.9, max_abs_error=1.0)], 3.0, ())

    assert (ruin.reason, ruin.sample) == ('"y" keeps 2.9 dB SQNR', 2)


def test_one_ruined_channel_group_ruins_the_output():
    fidelity = output(sqnr_db=28.0, max_abs_error=1.0, groups=[group(40.0), group(0.1)])

    [ruin] = find_ruin([fidelity], 3.0, ())

    assert ruin.reason == '"y" channels 4-5 keeps 0.1 dB SQNR'


def test_new_values_that_are_not_finite_are_ruin():
    [ruin] = find_ruin([output(non_finite=5, max_abs_error=0.0)], 3.0, {"y"})

    assert ruin.reason == '"y" has 5 NaN or infinite values'


@pytest.mark.parametrize(
    "fidelity",
    [
        output(sqnr_db=3.1, max_abs_error=1.0),
        output(sqnr_db=None, max_abs_error=0.0),
        output(agreement=0.0),
        output(sqnr_db=-200.0, max_abs_error=1e-9),
        output(sqnr_db=0.0, max_abs_error=1.0, shape_mismatches=1),
        output(sqnr_db=28.0, max_abs_error=1.0, groups=[group(None), group(9.0)]),
    ],
)
def test_other_answers_are_left_to_the_gates(fidelity):
    assert find_ruin([fidelity], 3.0, ()) == []


def test_a_sigmoid_that_finds_nothing_is_a_warning():
    fidelity = [output(sqnr_db=-20.0, max_abs_error=0.1, rms_error=0.005, peak=0.2)]

    assert find_ruin(fidelity, 3.0, {"y"}) == []
    assert "evaluation dataset that holds" in unjudged_warnings(fidelity, 3.0, {"y"})[0]
    assert len(find_ruin(fidelity, 3.0, ())) == 1


@pytest.mark.parametrize(("rms_error", "peak"), [(0.05, 0.2), (0.005, 0.9)])
def test_a_sigmoid_with_an_answer_to_lose_is_judged(rms_error, peak):
    fidelity = [output(sqnr_db=-20.0, max_abs_error=0.9, rms_error=rms_error, peak=peak)]

    assert len(find_ruin(fidelity, 3.0, {"y"})) == 1
    assert unjudged_warnings(fidelity, 3.0, {"y"}) == []


def test_a_good_sigmoid_brings_no_warning():
    fidelity = [output(sqnr_db=30.0, max_abs_error=1e-3, rms_error=1e-4, peak=0.2)]

    assert unjudged_warnings(fidelity, 3.0, {"y"}) == []


def test_an_output_of_zeros_is_a_warning():
    fidelity = [output(max_abs_error=0.0, rms_error=0.0, peak=0.0), output(agreement=1.0)]

    [warning] = unjudged_warnings(fidelity, 3.0, ())

    assert "is zero on every sample" in warning


def test_finds_the_outputs_of_sigmoids():
    model = model_of(
        [helper.make_node("Sigmoid", ["x"], ["y"]), helper.make_node("Relu", ["x"], ["z"])],
        [float_value("x", [1])],
        [float_value("y", [1]), float_value("z", [1])],
    )

    assert sigmoid_outputs(model) == {"y"}


def test_the_error_names_output_nodes_and_a_way_out():
    fidelity = [output(sqnr_db=2.9, max_abs_error=1.0)]
    ruins = find_ruin(fidelity, 3.0, ())

    error = ruin_error(ruins, fidelity, 3.0, 'Most is lost at "conv" (Conv, from 40 to 2 dB). ')

    assert error.code == "ruined_result"
    assert '"y" keeps 2.9 dB SQNR (limit 3 dB). Most is lost at "conv"' in str(error)
    assert "weight_quantization" in str(error)


def test_the_error_asks_for_real_samples_where_they_were_made_up():
    fidelity = [output(sqnr_db=2.9, max_abs_error=1.0).model_copy(update={"data": "synthetic"})]

    error = ruin_error(find_ruin(fidelity, 3.0, ()), fidelity, 3.0, "")

    assert "on 4 synthetic samples" in str(error)
    assert "Give real samples" in str(error)


def test_answers_of_another_shape_are_a_warning():
    [warning] = unjudged_warnings([output(sqnr_db=-0.6, shape_mismatches=2)], 3.0, ())

    assert "another shape than the original's on 2 of 4 samples" in warning
