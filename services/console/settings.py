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
    #: An OpenID Connect provider; with it come the five below, and `public_url`.
    oidc_issuer: Annotated[str, Field(pattern=r"^https?://")] | None = None
    oidc_client_id: str | None = None
    #: Absent for a public client, which PKCE protects.
    oidc_client_secret: SecretStr | None = None
    oidc_scopes: str = "openid email profile groups"
    #: The claims that hold who somebody is, and the groups.
    oidc_name_claim: str = "email"
    oidc_groups_claim: str = "groups"
    #: A YAML file: group → grants, for example `sre: [{role: approver, environments: [production]}]`.
    oidc_roles: Path | None = None
    #: Where the first key is written, readable for its owner alone; absent: to standard output.
    bootstrap_key_file: Path | None = None
    #: What one caller may ask per second, after a burst of ten times as much.
    requests_per_second: Annotated[float, Field(gt=0)] = 50.0
