import onnxruntime

from tests.running_service import Command


def test_the_demo_compresses_a_real_model_and_shows_the_result(tmp_path):
    output = tmp_path / "small.onnx"
    demo = Command(["demo", "--output", str(output)], {})

    status = demo.wait(120)
    said = demo.output()
    demo.stop()

    assert status == 0, said
    assert "succeeded after" in said
    assert "3 of 3 gates" in said
    assert onnxruntime.InferenceSession(output, providers=["CPUExecutionProvider"])
    assert output.stat().st_size < 600_000


def test_the_demo_says_that_its_output_cannot_be_written(tmp_path):
    demo = Command(["demo", "--output", str(tmp_path / "none" / "small.onnx")], {})

    status = demo.wait(60)
    said = demo.output()
    demo.stop()

    assert status == 1
    assert said.startswith("onnxpress: the folder of --output")
