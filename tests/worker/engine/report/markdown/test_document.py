import pytest

from worker.engine.report.markdown.document import render_markdown


def test_the_verdict_comes_first(report):
    lines = render_markdown(report).splitlines()

    assert lines[0] == "# Not passed"
    assert lines[2].startswith("Missed 1 of 1 gates (min\\_cosine)")


INTERVAL = (
    "1.500 times the original's (96% interval 1.250 to 1.750), from 2 pairs of runs;"
    " 1 thread, batch 1, cpu."
)


@pytest.mark.parametrize(
    "line",
    [
        "| `min_cosine` | at least 0.99 | 0.5 |  | **missed** | dataset |",
        "| File, bytes | 4,000 | 1,000 | 4.00 |",
        "| Multiply-accumulates | - | - |  |",
        "| `y` | 31.25 (29.0 to 33.5) | 20.5 (#3) | 0.500000 | 0.125 |  |",
        "| `label` |  |  |  |  | 75.00% |",
        "| `y` |  | above 0.5 | 12.50% (5.00% to 20.00%) | 75.00% | 0.9000 |",
        "The worst sample of `y`, number 3:",
        "| 0, 2 | 0.75 | - |",
        (
            "| top1 | `y` | 4 | 1.0000 (1.0000 to 1.0000) | 0.7500 (0.2500 to 1.0000) |"
            " -0.2500 (-0.7500 to 0.0000) | within chance |"
        ),
        INTERVAL,
        "- Noisy machine: other programs kept 1.5 of 2 processors busy",
        "| p50, ms | 1.500 | 1.500 |",
        "| Load, ms | 100.000 | 100.000 |",
        "| First run, ms | 250.000 | 500.000 |",
        "| Peak memory, MiB | 2.0 | - |",
        "| Memory held, MiB | 1.0 | - |",
        "- Why it is not faster: Conv takes longer",
        "| `Conv\\|1` | 2 / 3 | 125.000 | 250.000 |",
        "| all |  | 250.000 | 500.000 |",
        "| preparing | 0.10 | 0.25 | - |",
        "| whole job | 0.50 | 0.75 | 128.0 |",
        "1. float16: 1 nodes changed in 0.50 s; n",
        "| `conv\\|1` | Conv | `w` | 12.5 |",
        "| `loop` | Loop | has a body |",
        "| Calibration data | - |",
    ],
)
def test_each_part_has_its_line(report, line):
    assert line in render_markdown(report).splitlines()


def test_names_and_messages_cannot_add_markup(report):
    assert "<b>" not in render_markdown(report).replace("\\<b\\>", "")


def test_parts_without_content_are_left_out(report):
    bare = report.model_copy(
        update={
            "accuracy": [],
            "blame": None,
            "latency": None,
            "kernels": None,
            "layers": [],
            "skipped": [],
            "fidelity": [],
        }
    )

    headings = [line for line in render_markdown(bare).splitlines() if line.startswith("## ")]

    assert headings == ["## Size", "## Passes", "## What the job took", "## Manifest"]
