import pytest

from worker.engine.report.contents import ModelMeasures
from worker.engine.report.paths import PARTS, check_path, parse, read_figures
from worker.engine.report.quality import ChannelGroup, OutputFidelity
from worker.engine.report.report import Report


def output(name, **figures):
    return OutputFidelity(output=name, data="dataset", samples=4, worst_sample=0, **figures)


GROUPS = [ChannelGroup(axis=1, channels="0-3, 5", peak=1, sqnr_db=12.0)]
FIDELITY = [output("a.b", sqnr_db=30.0, groups=GROUPS), output("c]", sqnr_db=20.0)]
SIZES = ModelMeasures(
    size_bytes=8,
    deflated_bytes=1,
    zstd_bytes=1,
    parameter_count=1,
    zero_fraction=0,
    op_counts={"Conv": 3},
    macs=None,
)
FOUND = {"fidelity": FIDELITY, "after": SIZES, "durations_seconds": {"preparing": 0.5}}


@pytest.mark.parametrize(
    ("path", "figures"),
    [
        ("fidelity[a.b].sqnr_db", [30]),
        ("fidelity[c]].sqnr_db", [20]),
        ("fidelity[*].sqnr_db", [30, 20]),
        ("fidelity[a.b].groups[0-3, 5].sqnr_db", [12]),
        ("fidelity[a.b].cosine", []),
        ("fidelity[d].sqnr_db", []),
        ("after.size_bytes", [8]),
        ("after.op_counts[Conv]", [3]),
        ("after.op_counts[Gemm]", [0]),
        ("durations_seconds[preparing]", [0.5]),
        ("latency.ratio", []),
    ],
)
def test_reads_what_a_path_names(path, figures):
    check_path(path)

    assert read_figures(FOUND, path) == figures


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("sqnr_db", '"sqnr_db" is none of accuracy, after,'),
        ("after.size", '"size" is none of deflated_bytes'),
        ("fidelity.sqnr_db", r"needs a name in brackets, as in fidelity\[name\]"),
        ("after[x].size_bytes", "takes no name in brackets"),
        ("after", "is no number"),
        ("after.size_bytes.real", "is no number"),
        ("fidelity[a].output", "is no number"),
        ("latency.noisy", "is no number"),
        ("after.__class__", "__class__"),
        ("", "names no figure"),
        (".", "names no figure"),
        ("after..size_bytes", "names no figure"),
        ("after.size_bytes.", "names no figure"),
        ("after.size_bytes()", "names no figure"),
        ("fidelity[].sqnr_db", "names no figure"),
        ("fidelity[a", "names no figure"),
    ],
)
def test_refuses_what_names_no_figure(path, reason):
    with pytest.raises(ValueError, match=reason):
        check_path(path)


def test_a_name_is_never_split():
    assert [(step.field, step.name) for step in parse("fidelity[a.b[0]].x")] == [
        ("fidelity", "a.b[0]"),
        ("x", None),
    ]


@pytest.mark.parametrize("part", PARTS)
def test_parts_are_those_of_the_report(part):
    annotation = Report.model_fields[part].annotation

    assert annotation in {PARTS[part], PARTS[part] | None}
