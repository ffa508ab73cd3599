"""What a publisher sends to each region all the time, so that silence means something."""

from typing import Annotated

from pydantic import Field

from .models import WireModel

#: A publisher sends one to each region this often.
HEARTBEAT_EVERY_SECONDS = 3.0


class Heartbeat(WireModel):
    """A publisher that has read everything knows of no newer message for a region.

    It is not stored. Publishers of older versions send none.
    """

    #: Of the newest message for the region in its stream of rules; 0: there is none.
    sequence: Annotated[int, Field(ge=0)]
