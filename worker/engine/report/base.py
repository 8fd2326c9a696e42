"""What every part of the report is."""

from typing import ClassVar

from pydantic import BaseModel, ConfigDict


class ReportPart(BaseModel):
    """A part of the report."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)

    derived: ClassVar[tuple[str, ...]] = ()
    """Properties that gates may name like fields."""
