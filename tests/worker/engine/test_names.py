from tests.worker.engine.weights.test_finding import loop_model
from worker.engine.names import NameGiver, taken_names


def test_knows_every_value_name_in_use():
    assert {"x", "y", "outer", "inner", "half", "state"} <= taken_names(loop_model())


def test_names_given_are_free():
    names = NameGiver({"w.scale"})

    assert [names.name("w.scale"), names.name("w.scale")] == ["w.scale_1", "w.scale_2"]
