"""What every part of the report is."""

from pydantic import BaseModel, ConfigDict


class ReportPart(BaseModel):
    """A part of the report."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)
