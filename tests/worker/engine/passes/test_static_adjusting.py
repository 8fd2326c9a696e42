import numpy as np
import pytest
from onnx import helper

from tests.engine_runs import first_answers, pass_context, sqnr_db
from tests.onnx_models import float_value, model_of
from worker.engine.passes.static_quantization import StaticQuantization
from worker.engine.quantization import choosing

RANDOM = np.random.default_rng(0)
FEEDS = [
    {"x": RANDOM.uniform(1 - spread, 1 + spread, (1, 4, 6, 6)).astype(np.float32)}
    for spread in np.linspace(0.01, 0.02, 16)
]


def convolution():
    """A Conv whose inputs hardly vary, so that nearly all of its weight's error is in the mean."""
    kernel = RANDOM.normal(size=(64, 4, 3, 3)).astype(np.float32)
    return model_of(
        [helper.make_node("Conv", ["x", "kernel"], ["y"], name="conv")],
        [float_value("x", [None, 4, 6, 6])],
        [float_value("y", [None] * 4)],
        {"kernel": kernel},
    )


def stored(model, tmp_path, **options):
    fixed = {"nodes_in_float": ["conv"], "weights_in_half": [], **options}
    result = StaticQuantization(**fixed).apply(model, pass_context(tmp_path, FEEDS))
    return result, sqnr_db(first_answers(model, FEEDS), first_answers(result.model, FEEDS))


@pytest.mark.parametrize(
    ("options", "is_corrected"),
    [
        ({"fallback": "auto"}, True),
        ({"fallback": "auto", "correct_biases": False}, False),
        ({"fallback": "off"}, False),
        ({"fallback": "off", "correct_biases": True}, True),
    ],
)
def test_biases_are_corrected_where_asked_for_or_where_it_is_seen_to_help(
    tmp_path, options, is_corrected
):
    result, drift = stored(convolution(), tmp_path, **options)

    assert result.resolved.correct_biases is is_corrected
    assert bool(drift > 60) is is_corrected


def test_biases_of_nodes_in_integers_are_corrected_too(tmp_path):
    in_integers = {"nodes_in_float": [], "fallback": "off", "activation_type": "uint16"}

    _, plain = stored(convolution(), tmp_path / "1", correct_biases=False, **in_integers)
    _, corrected = stored(convolution(), tmp_path / "2", correct_biases=True, **in_integers)

    assert corrected > plain + 6


def test_biases_are_left_alone_where_the_answers_move_away_by_it(tmp_path):
    model = convolution()
    calibrating = [{"x": -9 * feeds["x"]} for feeds in FEEDS[:12]]
    others = iter(FEEDS)
    feeds = [next(others) if i % 5 == 4 else calibrating[i - i // 5] for i in range(15)]

    result = StaticQuantization(nodes_in_float=["conv"]).apply(model, pass_context(tmp_path, feeds))

    assert result.resolved.correct_biases is False


def test_the_resolved_pass_corrects_the_biases_again(tmp_path):
    model = convolution()
    result, _ = stored(model, tmp_path)
    resolved = type(result.resolved).model_validate_json(result.resolved.model_dump_json())

    again, _ = stored(model, tmp_path / "again", **resolved.model_dump())

    assert again.model.SerializeToString() == result.model.SerializeToString()


def uneven_convolutions():
    """Two convolutions, with channels between them whose sizes are far apart but matter alike."""
    random = np.random.default_rng(1)
    sizes = np.float32(10) ** np.linspace(-1.5, 1.5, 16, dtype=np.float32)
    return model_of(
        [
            helper.make_node("Conv", ["x", "first"], ["a"], name="first"),
            helper.make_node("Relu", ["a"], ["b"], name="relu"),
            helper.make_node("Conv", ["b", "second"], ["y"], name="second"),
        ],
        [float_value("x", [None, 4, 6, 6])],
        [float_value("y", [None] * 4)],
        {
            "first": random.normal(size=(16, 4, 3, 3)).astype(np.float32)
            * sizes[:, None, None, None],
            "second": random.normal(size=(8, 16, 3, 3)).astype(np.float32) / sizes[:, None, None],
        },
    )


def even_runs(tmp_path, feeds, **options):
    """Static quantization of uneven channels, and how close its answers are."""
    model = uneven_convolutions()
    method = StaticQuantization(**{"correct_biases": False, **options})
    result = method.apply(model, pass_context(tmp_path, feeds))
    return result, sqnr_db(first_answers(model, feeds), first_answers(result.model, feeds))


def images(count=16):
    return [{"x": RANDOM.normal(size=(1, 4, 6, 6)).astype(np.float32)} for _ in range(count)]


def test_small_channels_keep_more_where_channels_are_equalized(tmp_path):
    feeds = images()

    _, uneven = even_runs(tmp_path / "1", feeds, fallback="off", equalize=False)
    result, even = even_runs(tmp_path / "2", feeds, fallback="off", equalize=True)

    assert even > uneven + 6
    assert result.resolved.equalize is True


@pytest.fixture
def untimed(monkeypatch):
    """Speed does not matter, so that all nodes compute in integers that may."""
    monkeypatch.setattr(StaticQuantization, "is_timed", lambda *_: False)


def test_channels_are_left_alone_where_no_node_is_faster_in_integers(tmp_path, monkeypatch):
    monkeypatch.setattr(choosing, "integer_nodes", lambda _: set())

    result, _ = even_runs(tmp_path, images())

    assert result.resolved.equalize is False


@pytest.mark.usefixtures("untimed")
def test_channels_are_equalized_where_held_back_samples_say_so(tmp_path):
    feeds = images()

    found, _ = even_runs(tmp_path / "1", feeds)
    unmeasured, _ = even_runs(tmp_path / "2", feeds, fallback="off")
    useless = [{"x": 0 * f["x"]} if i % 5 == 4 else f for i, f in enumerate(feeds)]
    unhelpful, _ = even_runs(tmp_path / "3", useless)

    assert found.resolved.equalize is True
    assert unmeasured.resolved.equalize is False
    assert unhelpful.resolved.equalize is False


@pytest.mark.usefixtures("untimed")
def test_synthetic_samples_do_not_decide_on_channels(tmp_path):
    context = pass_context(tmp_path, images())
    context.samples.origin = "synthetic"

    result = StaticQuantization().apply(uneven_convolutions(), context)

    assert result.resolved.equalize is False


@pytest.mark.usefixtures("untimed")
def test_the_resolved_pass_equalizes_the_channels_again(tmp_path):
    feeds = images()
    result, _ = even_runs(tmp_path / "1", feeds)
    resolved = type(result.resolved).model_validate_json(result.resolved.model_dump_json())

    again, _ = even_runs(tmp_path / "2", feeds, **resolved.model_dump())

    assert resolved.equalize is True
    assert again.model.SerializeToString() == result.model.SerializeToString()
