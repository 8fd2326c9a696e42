"""How long a job may take, and how much memory: from the model's size and the trial run.

The factors are the least and the most that jobs on the models of docs/benchmarks.md took.
"""

from worker.engine.passes.base import Pass
from worker.engine.preflight.contents import Bytes, ModelFacts, Seconds

BASIS = (
    "sizes: the method's own code at work on a part of each large weight. Time and memory: from the"
    " model's size and the trial run, by what jobs on 14 models took with 64 samples, each up to"
    " 30 times the size of the trial's inputs where the graph leaves it open; larger ones or more"
    " take longer"
)
PROCESS_BYTES = 120 * 2**20
"""Of the interpreter and its libraries."""
ACTIVATION_BYTES = 2**30
"""That samples of a usual size take at most, where the graph leaves their size open."""
MEMORY_FACTORS = (4, 20)
"""Memory over the model's size."""
LARGEST_SAMPLE = 30
"""Work of a run on a real sample over that of the trial's, where the graph leaves sizes open."""
SECONDS = (0.1, 5.0)
SECONDS_PER_BYTE = (2e-8, 3e-7)


def duration(step: Pass, facts: ModelFacts) -> Seconds | None:
    """Return what a job with this pass may take; None where no run tells how long one is."""
    run_seconds = facts.trial_run.duration_seconds
    if run_seconds is None:
        return None
    longest = run_seconds * (LARGEST_SAMPLE if _is_open(facts) else 1)
    low, high = (
        fixed + per_byte * facts.size_bytes + runs * seconds
        for fixed, per_byte, runs, seconds in zip(
            SECONDS, SECONDS_PER_BYTE, step.runs_of_model(), (run_seconds, longest), strict=True
        )
    )
    return Seconds(low=round(low, 2), high=round(high, 2))


def memory(facts: ModelFacts) -> Bytes:
    """Return the peak memory that a job may take."""
    low, high = (PROCESS_BYTES + factor * facts.size_bytes for factor in MEMORY_FACTORS)
    activations = ACTIVATION_BYTES if _is_open(facts) else ACTIVATION_BYTES // 4
    return Bytes(low=low, high=high + activations)


def _is_open(facts: ModelFacts) -> bool:
    """Return whether a sample may be of any size."""
    return any(axis.axis > 0 for axis in facts.free_axes)
