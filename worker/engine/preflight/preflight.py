"""The whole of a preflight: read, try, prepare, forecast, warn, recommend."""

from worker.engine.inspection import describe
from worker.engine.model_io import read
from worker.engine.preflight.cautions import find_cautions
from worker.engine.preflight.contents import Preflight
from worker.engine.preflight.estimates import BASIS
from worker.engine.preflight.facts import gather_facts
from worker.engine.preflight.forecasting import FORESEEN, forecast
from worker.engine.preflight.outcomes import Forecaster
from worker.engine.preflight.prepared import PreparedModels
from worker.engine.preflight.recommending import recommend
from worker.engine.preflight.trial import try_out
from worker.engine.requests import PreflightModel, ReportProgress

LOWEST_OPSET = 13
"""The least that all methods but float16 need, so that one preparation serves them."""


def preflight(request: PreflightModel, report_progress: ReportProgress) -> Preflight:
    """Say what a model is and what each method would make of it; writes nothing that stays.

    Raises:
        EngineError: the model cannot be read, or no method can take it.
    """
    report_progress("reading the model", 0.0)
    loaded = read(request.model_path, request.workdir, request.limits)
    info = describe(loaded.model, loaded.size_bytes)
    report_progress("trying the model", 0.1)
    trial = try_out(loaded, info.inputs, request.workdir)
    report_progress("preparing", 0.3)
    models = PreparedModels(loaded.model, LOWEST_OPSET)
    facts = gather_facts(loaded.model, info, trial.told, models.notes)
    forecaster = Forecaster(models, request.workdir)
    forecasts = []
    for index, step in enumerate(FORESEEN):
        report_progress("forecasting", 0.4 + 0.6 * index / len(FORESEEN))
        forecasts.append(forecast(step, forecaster, facts))
    return Preflight(
        model=facts,
        forecasts=forecasts,
        warnings=find_cautions(loaded.model, models.whole, info, facts, trial, forecasts),
        basis=BASIS,
        recommended_without_data=recommend(forecasts, has_data=False),
        recommended_with_data=recommend(forecasts, has_data=True),
    )
