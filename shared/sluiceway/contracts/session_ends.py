"""That a session on the console's page was ended, or all sessions of a key or account."""

from typing import Annotated

from pydantic import Field

from .models import WireModel


class SessionEnd(WireModel):
    """When sessions were ended. The subject names them, by digests."""

    ended_ms: Annotated[int, Field(ge=0)]
