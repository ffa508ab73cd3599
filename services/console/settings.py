"""The console's settings, from its environment."""

from pathlib import Path
from typing import Annotated

from pydantic import Field

from sluiceway.messaging.streams import SESSION_SECONDS_MAX
from sluiceway.settings import Secret, ServiceSettings, Token


class Settings(ServiceSettings):
    """`SLUICEWAY_…`"""

    #: Signs session cookies; the same in every replica. Without it, sessions end with the process.
    session_secret: Annotated[Secret, Field(min_length=32)] | None = None
    #: How long users stay signed in, whatever they do.
    session_seconds: Annotated[int, Field(ge=60, le=SESSION_SECONDS_MAX)] = 12 * 3_600
    #: The URL of an OpenID Connect provider. It needs `public_url` and the OIDC settings below.
    oidc_issuer: Annotated[str, Field(pattern=r"^https?://")] | None = None
    oidc_client_id: str | None = None
    #: Not needed for a public client, which PKCE protects.
    oidc_client_secret: Token | None = None
    oidc_scopes: str = "openid email profile groups"
    #: The claims that hold the user's name and groups.
    oidc_name_claim: str = "email"
    oidc_groups_claim: str = "groups"
    #: A YAML file: group → grants, for example `sre: [{role: approver, environments: [production]}]`.
    oidc_roles: Path | None = None
    #: The file for the first key, readable by its owner only. Without it: standard output.
    bootstrap_key_file: Path | None = None
    #: Requests per second that one caller may send, after a burst of ten times as many.
    requests_per_second: Annotated[float, Field(gt=0)] = 50.0
    #: Event streams that one key, or one signed-in person, may have open at the same time.
    streams_per_caller: Annotated[int, Field(ge=1, le=10_000)] = 100
