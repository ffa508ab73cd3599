"""Settings that every service shares, read from the environment (`SLUICEWAY_…`)."""

import ipaddress
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Self, TypeVar
from urllib.parse import unquote, urlsplit

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    PlainSerializer,
    SecretStr,
    ValidationError,
    model_validator,
)
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict, SettingsError

from .contracts.identifiers import NAME_PATTERN
from .contracts.validation_errors import describe_error
from .errors import Misconfigured
from .nats_servers import NatsServers

PREFIX = "SLUICEWAY_"
SECRETS_DIR = f"{PREFIX}SECRETS_DIR"
TLS_SCHEMES = ("tls://", "wss://")
_CONTROL_CHARACTER = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_VISIBLE_ASCII = re.compile(r"[\x21-\x7e]+")


def checked_secret(text: str) -> str:
    """Return a secret without white space around it, as files and here-documents leave it.

    `ValueError`, which does not show it, if nothing is left or it has control characters.
    """
    secret = text.strip()
    if not secret:
        raise ValueError("this secret is empty")
    if _CONTROL_CHARACTER.search(secret):
        raise ValueError("this secret has a line break or another control character in it")
    return secret


def checked_token(text: str) -> str:
    """Return a token, which is sent in a header, without white space around it.

    `ValueError`, which does not show it, if it has anything but visible ASCII characters.
    """
    token = checked_secret(text)
    if not _VISIBLE_ASCII.fullmatch(token):
        raise ValueError("this token is invalid: use visible ASCII characters, without white space")
    return token


def _checked_by(check: Callable[[str], str]) -> AfterValidator:
    """Return what checks a secret; an empty one is left alone: it is not set, as in the environment."""
    return AfterValidator(lambda secret: SecretStr(check(secret.get_secret_value())) if secret else secret)


#: A key that stays in this process: any text.
Secret = Annotated[SecretStr, _checked_by(checked_secret)]
#: A credential that is sent to others.
Token = Annotated[SecretStr, _checked_by(checked_token)]


def _servers(value: str | NatsServers) -> NatsServers:
    return value if isinstance(value, NatsServers) else NatsServers.parse(value)


NatsUrl = Annotated[NatsServers, BeforeValidator(_servers), PlainSerializer(str), NoDecode]


def _without_brackets(host: str) -> str:
    """Return an IPv6 address without the brackets that it has in a URL."""
    return host[1:-1] if host.startswith("[") and host.endswith("]") else host


def _public_url(text: str) -> str:
    """Return a URL without a slash at its end; `ValueError` unless it is scheme, host and path only."""
    parts = urlsplit(text)
    is_plain = not (parts.query or parts.fragment or parts.username or "//" in parts.path)
    if parts.scheme not in ("http", "https") or not parts.hostname or not is_plain:
        raise ValueError("use https://HOST or https://HOST/PATH")
    _ = parts.port  # raises if it is not a number
    return parts.geturl().rstrip("/")


def _proxies(text: str) -> str:
    """Return a list of addresses and networks; `ValueError` if one of them is neither."""
    for item in text.split(",") if text not in ("", "*") else ():
        try:
            ipaddress.ip_network(item.strip())
        except ValueError as error:
            raise ValueError(
                f"invalid proxy {item.strip()!r} ({error}): use addresses and networks such as 10.0.0.0/8, "
                "separated by commas, or * for any"
            ) from error
    return text


class BrokerSettings(BaseSettings):
    """How to reach NATS."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, env_ignore_empty=True, frozen=True, hide_input_in_errors=True
    )

    #: A folder whose files are settings too, each named as its variable (`SLUICEWAY_SESSION_SECRET`), so that
    #: secrets are not in the environment. A variable goes before a file.
    secrets_dir: Path | None = None
    #: Comma-separated URLs of the cluster; a user and a password in them are percent-encoded.
    nats_url: NatsUrl = NatsServers(("nats://127.0.0.1:4222",))
    #: A `.creds` file, if the broker requires one.
    nats_creds: Path | None = None
    #: A file with the seed of an nkey, which signs what the broker asks and is never sent.
    nats_nkey: Path | None = None
    #: A user, and the file of its password, instead of those in the URL.
    nats_user: str | None = None
    nats_password_file: Path | None = None
    #: The last token of the subjects of commands, if the broker's permissions vouch for it: the id of a key,
    #: whose grants then count.
    principal: Annotated[str, Field(pattern=NAME_PATTERN)] | None = None
    #: A certificate authority file, if the broker uses TLS with its own authority. This, the next three, and
    #: URLs with tls:// or wss:// require TLS: no server is sent anything without it.
    nats_ca: Path | None = None
    #: The certificate of this process and its key, in PEM and without a password, if the broker asks for it.
    nats_cert: Path | None = None
    nats_key: Path | None = None
    #: `true`: begin with TLS, before the broker's greeting; the broker then needs `handshake_first`.
    nats_tls_first: bool = False
    #: `true`: connect to a broker on another host that lets anybody connect, since nobody else can reach it.
    allow_anonymous_broker: bool = False
    #: `true`: connect to no broker that lets anybody connect, not on this host either. A scheduler then also
    #: refuses commands on subjects that name no sender: nobody vouches for them.
    require_identity: bool = False
    #: Copies of every stream; without it 3 on a cluster of three brokers or more, else 1.
    stream_replicas: Annotated[int, Field(ge=1, le=5)] | None = None

    @property
    def requires_tls(self) -> bool:
        """Whether nothing may be sent without TLS."""
        is_in_url = any(url.startswith(TLS_SCHEMES) for url in self.nats_url.urls)
        return is_in_url or bool(self.nats_ca or self.nats_cert) or self.nats_tls_first

    @model_validator(mode="after")
    def _names_one_identity(self) -> Self:
        identities = {
            "a user in SLUICEWAY_NATS_URL": self.nats_url.user,
            "SLUICEWAY_NATS_USER": self.nats_user,
            "SLUICEWAY_NATS_CREDS": self.nats_creds,
            "SLUICEWAY_NATS_NKEY": self.nats_nkey,
        }
        given = [name for name, value in identities.items() if value]
        if len(given) > 1:
            raise ValueError(f"{' and '.join(given)} are set: use one of them")
        if bool(self.nats_user) != bool(self.nats_password_file):
            raise ValueError("SLUICEWAY_NATS_USER and SLUICEWAY_NATS_PASSWORD_FILE need each other: set both")
        return self

    @model_validator(mode="after")
    def _can_use_tls(self) -> Self:
        if self.nats_key and not self.nats_cert:
            raise ValueError("SLUICEWAY_NATS_KEY needs SLUICEWAY_NATS_CERT: set it to the key's certificate")
        if self.requires_tls and any(url.startswith("ws://") for url in self.nats_url.urls):
            raise ValueError("SLUICEWAY_NATS_URL has ws://, which has no TLS: use wss://")
        return self


class ServiceSettings(BrokerSettings):
    """The settings that every process needs as well as its own."""

    #: Where `/metrics`, `/healthz` and `/readyz` are served; port 0 means any free port. The host `::` means
    #: all addresses of IPv6 and IPv4.
    http_host: Annotated[str, AfterValidator(_without_brackets)] = "127.0.0.1"
    http_port: Annotated[int, Field(ge=0, le=65_535)] = 0
    #: Connections of one address at the same time; of a client behind a trusted proxy: requests. At most half
    #: of all connections, which the file descriptors of the process bound.
    http_connections_per_address: Annotated[int, Field(ge=10, le=100_000)] = 500
    #: How long a connection may wait for its next request. A load balancer must not wait longer than this.
    http_keep_alive_seconds: Annotated[int, Field(ge=1, le=3_600)] = 5
    #: A file that receives the URL once the port is open.
    http_announce: Path | None = None
    #: The URL of this process as its clients see it, for example `https://flags.example.com/edge`. An edge
    #: announces it, else the address that its client, or a trusted proxy, has used. A console with https://
    #: sends cookies over TLS only; it needs a host of its own, without a path.
    public_url: Annotated[str, AfterValidator(_public_url)] | None = None
    #: The proxies whose `X-Forwarded-For` and `X-Forwarded-Proto` are believed: addresses and networks,
    #: separated by commas; `*` means any sender. Not set: none.
    trusted_proxies: Annotated[str, AfterValidator(_proxies)] = ""
    #: `json` for machines, `text` for people.
    log_format: Annotated[str, Field(pattern="^(json|text)$")] = "json"
    log_level: Annotated[str, Field(pattern="^(DEBUG|INFO|WARNING|ERROR)$")] = "INFO"

    @property
    def public_path(self) -> str:
        """The path under which a proxy serves this process, for example `/edge`; empty if there is none."""
        return unquote(urlsplit(self.public_url).path) if self.public_url else ""


SettingsT = TypeVar("SettingsT", bound=BrokerSettings)


def read_settings(settings: type[SettingsT], **given: str) -> SettingsT:
    """Return the settings in the environment and in `secrets_dir`, and those that are `given` instead.

    `Misconfigured`, with the name of each invalid setting but no value, if there is one.
    """
    try:
        return settings(_secrets_dir=_secrets_dir(), **given)  # type: ignore[arg-type]
    except ValidationError as error:
        details = error.errors(include_url=False, include_input=False)
        raise Misconfigured("; ".join(map(_describe, details))) from None
    except SettingsError as error:  # a list or mapping that is not JSON, or a file that cannot be read
        reason = f" ({error.__cause__})" if error.__cause__ else ""
        raise Misconfigured(f"invalid setting {PREFIX}…: {error}{reason}") from None


def _secrets_dir() -> Path | None:
    """Return the folder of secrets; `Misconfigured` if it, or a setting in it, cannot be read."""
    folder = os.environ.get(SECRETS_DIR)
    if not folder:
        return None
    if not os.access(folder, os.R_OK | os.X_OK) or not Path(folder).is_dir():
        raise Misconfigured(f"invalid setting {SECRETS_DIR}: {folder} is not a folder that can be read")
    for entry in sorted(Path(folder).iterdir()):
        if entry.name.upper().startswith(PREFIX) and not _is_file_in(Path(folder), entry):
            raise Misconfigured(
                f"invalid setting {entry.name}: {entry} is not a file in this folder: create it. "
                "Docker makes an empty folder of a file that it should mount and that does not exist"
            )
    return Path(folder)


def _is_file_in(folder: Path, entry: Path) -> bool:
    """Return whether pydantic-settings reads this entry, or the file it leads to: it passes over others."""
    try:
        return entry.is_file() and folder.resolve() in entry.resolve().parents
    except OSError:
        return False


def _describe(detail: ErrorDetails) -> str:
    name = str(detail["loc"][0]).upper() if detail["loc"] else "…"
    return f"invalid setting {PREFIX}{name}: {describe_error(detail)}"
