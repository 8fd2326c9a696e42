"""The engine's errors; each code is stored on the job and shown by the API.

EngineError
├── InvalidModelError       not a valid ONNX model, or not safe to open
├── UnsupportedModelError   valid, but a method or this runtime cannot take it
├── InvalidDatasetError     the samples are malformed or do not fit the model
├── CalibrationError        the samples cannot calibrate the model
├── PassError               a compression method could not do what was asked
├── VerificationError       the compressed model is not fit to be returned
└── ResourceError           the work did not fit its time or memory
"""

from typing import ClassVar


class EngineError(Exception):
    """Base of all expected engine failures; the message says what to change.

    `code` is stable snake_case; a caller may pass a narrower one than the class's own.
    """

    default_code: ClassVar[str] = "engine_error"

    def __init__(self, message: str, *, code: str | None = None) -> None:
        super().__init__(message)
        self.code = code or self.default_code


class InvalidModelError(EngineError):
    """The bytes are not a valid ONNX model, or name files that were not uploaded with it."""

    default_code = "invalid_model"


class UnsupportedModelError(EngineError):
    """The model is valid, but this runtime or the asked method cannot take it."""

    default_code = "unsupported_model"


class InvalidDatasetError(EngineError):
    """The dataset is malformed, or its names, dtypes or shapes do not fit the model."""

    default_code = "invalid_dataset"


class CalibrationError(EngineError):
    """The model could not be run on the calibration samples."""

    default_code = "calibration_failed"


class PassError(EngineError):
    """A pass could not do what was asked.

    Narrower codes: `already_quantized`, `nothing_to_compress`.
    """

    default_code = "pass_failed"


class VerificationError(EngineError):
    """The result does not check, load or run, or its answers are ruined.

    Narrower codes: `unloadable_result`, `ruined_result`.
    """

    default_code = "verification_failed"


class ResourceError(EngineError):
    """The work needs more time or memory than it was given.

    Narrower codes: `time_limit`, `out_of_memory`.
    """

    default_code = "resource_limit"
