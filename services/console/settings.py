"""The console's environment."""

from pathlib import Path
from typing import Annotated

from pydantic import Field, SecretStr

from sluiceway.settings import ServiceSettings


class Settings(ServiceSettings):
    """`SLUICEWAY_…`"""

    #: Signs the cookies of sessions, the same in every replica; absent: sessions end with the process.
    session_secret: Annotated[SecretStr, Field(min_length=32)] | None = None
    #: How long somebody stays signed in.
    session_seconds: Annotated[int, Field(ge=60, le=30 * 86_400)] = 12 * 3_600
    #: Where people find the console. With https:// cookies are sent over TLS alone.
    public_url: str | None = None
    #: Where the first key is written, readable for its owner alone; absent: to standard output.
    bootstrap_key_file: Path | None = None
    #: What one caller may ask per second, after a burst of ten times as much.
    requests_per_second: Annotated[float, Field(gt=0)] = 50.0
