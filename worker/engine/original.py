"""The original of a job: the upload as it came, ready to be compressed and compared with."""

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from worker.engine.cache import Cache
from worker.engine.datasets.job_samples import JobSamples, choose_samples
from worker.engine.datasets.splitting import first
from worker.engine.errors import ResourceError
from worker.engine.evaluation import Scoring, choose_thresholds, score_original
from worker.engine.inspection import describe
from worker.engine.measures import measure
from worker.engine.model_io import LoadedModel, load
from worker.engine.passes.base import Pass
from worker.engine.preparation.prepare import Prepared, prepare
from worker.engine.progress import Progress
from worker.engine.reference import ReferenceAnswers, reference_key
from worker.engine.report.contents import ModelMeasures
from worker.engine.requests import CompressModel, ModelInfo
from worker.engine.runtime import ExecutionProvider, Session, open_session
from worker.engine.samples import Feeds

THREADS_ANYWHERE = 16
"""May be asked for whatever the machine, so that a larger one's reports can be reproduced."""


@dataclass(frozen=True)
class Original:
    """The upload as it came, which every figure compares with, and what a job brought with it."""

    request: CompressModel
    loaded: LoadedModel
    info: ModelInfo
    session: Session
    load_seconds: float
    samples: JobSamples
    scoring: Scoring
    feeds: Feeds
    """One run's inputs."""
    cache_folder: Path | None
    """Where passes keep what others may use; None keeps nothing."""
    _prepared: dict[int, Prepared] = field(default_factory=dict)

    @property
    def threads(self) -> int:
        """Intra-op threads of every session that is timed."""
        options = self.request.spec.evaluation.latency
        return 1 if options is None else options.threads

    @property
    def execution_provider(self) -> ExecutionProvider:
        """Where the models run."""
        return self.request.spec.execution_provider or self.request.default_execution_provider

    @cached_property
    def measures(self) -> ModelMeasures:
        """Its file's sizes and contents."""
        return measure(self.loaded.model, self.loaded.files, self.feeds)

    def prepared_for(self, passes: Sequence[Pass]) -> Prepared:
        """Return the prepared model, at the opset that these passes need; the latest is kept.

        Raises:
            UnsupportedModelError: the model cannot be raised to that opset.
        """
        opset = max((step.required_opset() for step in passes), default=0)
        if opset not in self._prepared:
            self._prepared.clear()
            self._prepared[opset] = prepare(self.loaded.model, opset, self.feeds)
        return self._prepared[opset]


def open_original(request: CompressModel, folder: Path, progress: Progress) -> Original:
    """Load the model, and make sure that it runs on the samples.

    Raises:
        EngineError: it does not, or a dataset does not fit it.
    """
    spec = request.spec
    with progress.stage("preparing") as report_progress:
        loaded = load(request.model_path, folder / "original", request.limits)
        info = describe(loaded.model, loaded.size_bytes)
        options = spec.evaluation.latency
        threads = 1 if options is None else options.threads
        _check_threads(threads)
        provider = spec.execution_provider or request.default_execution_provider
        started = time.perf_counter()
        session = open_session(loaded.path, threads=threads, execution_provider=provider)
        load_seconds = time.perf_counter() - started
        report_progress(0.3)
        samples = choose_samples(request, info.inputs, session, loaded.model)
        cache_folder = _cache_folder(request, folder)
        key = reference_key(loaded.sha256, provider, threads)
        references = ReferenceAnswers(Cache(cache_folder), key)
        scores, warnings = score_original(
            session, samples.evaluation, spec.evaluation, references, is_asked=spec.asks_for_scores
        )
        samples.warnings.extend(warnings)
        report_progress(0.6)
        thresholds = choose_thresholds(session, loaded.model, spec.evaluation, scores)
        original = Original(
            request=request,
            loaded=loaded,
            info=info,
            session=session,
            load_seconds=load_seconds,
            samples=samples,
            scoring=Scoring(scores, spec.seed, thresholds, references),
            feeds=first(samples.evaluation, 1)[0].feeds,
            cache_folder=cache_folder,
        )
        original.prepared_for(spec.passes or [])
    return original


def _check_threads(threads: int) -> None:
    """Refuse threads that only wait for each other: they time nothing, and fill the memory.

    Raises:
        ResourceError: the machine has too few processors.
    """
    processors = os.cpu_count() or 1
    most = max(processors, THREADS_ANYWHERE)
    if threads > most:
        raise ResourceError(
            f"evaluation.latency.threads is {threads}, and this machine has {processors} "
            f"processors; ask for {most} at most"
        )


def _cache_folder(request: CompressModel, folder: Path) -> Path | None:
    """Return where to keep what candidates share; a job with a goal has always use for one."""
    if request.cache_folder is not None or request.spec.goal is None:
        return request.cache_folder
    (folder / "cache").mkdir()
    return folder / "cache"
