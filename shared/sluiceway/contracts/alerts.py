"""An alert, as anyone may publish it."""

from enum import StrEnum
from typing import Annotated

from pydantic import Field, JsonValue

from .identifiers import Label
from .model import Recorded


class AlertStatus(StrEnum):
    """Only a firing alert rolls back; a resolved one proves nothing."""

    FIRING = "firing"
    RESOLVED = "resolved"


class Alert(Recorded):
    """This is firing (or no longer), with these labels.

    The labels `gate`, `dynamic_config`, `pipeline` and `region` say what it is about.
    """

    name: Label
    status: AlertStatus = AlertStatus.FIRING
    labels: Annotated[dict[str, str], Field(max_length=100)] = {}
    annotations: Annotated[dict[str, str], Field(max_length=100)] = {}
    #: As the source states them; not read.
    starts_at: JsonValue = None
    #: Where one can look at it.
    url: str | None = None
