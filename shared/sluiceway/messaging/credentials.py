"""As whom a process connects to NATS: the options of `nats.connect`, from the settings and their files.

Files are read at each connection, because credentials are renewed while a process runs. No error shows what
is in them.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import nkeys
from nats.aio.client import RawCredentials

from ..errors import Misconfigured
from ..settings import BrokerSettings, checked_secret, checked_token

MARKERS = ("BEGIN NATS USER JWT", "BEGIN USER NKEY SEED")


def credential_options(settings: BrokerSettings) -> dict[str, Any]:
    """Return the options of `nats.connect` that say who connects; `Misconfigured` if a file is invalid."""
    if settings.nats_creds:
        read_credentials(settings.nats_creds)
        return {"user_credentials": CredentialsFile(settings.nats_creds)}
    if settings.nats_nkey:
        check_seed(settings.nats_nkey)
        return {"nkeys_seed": str(settings.nats_nkey)}
    if settings.nats_user and settings.nats_password_file:
        read_password(settings.nats_password_file)
        return {"user": settings.nats_user, "password": _password_reader(settings.nats_password_file)}
    if user := settings.nats_url.user:
        return (
            {"token": user.name} if user.password is None else {"user": user.name, "password": user.password}
        )
    return {}


class CredentialsFile(RawCredentials):
    """A `.creds` file: the JWT of a user, and the seed that signs for it.

    nats-py itself waits forever for a JWT that is not in the file, and sends a carriage return with it.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    @property
    def data(self) -> str:  # type: ignore[override]
        """The content. `ConnectionError` if the file is invalid, maybe half written: then nats-py retries."""
        try:
            return read_credentials(self._path)
        except Misconfigured as error:
            raise ConnectionError(str(error)) from None


def read_credentials(path: Path) -> str:
    """Return the content of a file, without white space around its lines.

    `Misconfigured`, which shows no secret, if the file has no JWT or no seed.
    """
    try:
        lines = [line.strip() for line in _read("NATS_CREDS", path).splitlines()]
        for marker in MARKERS:
            at = next((n for n, line in enumerate(lines) if marker in line), len(lines))
            checked_token("".join(lines[at + 1 : at + 2]))
    except ValueError:
        raise Misconfigured(
            f"{_where('NATS_CREDS', path)} has no user JWT and seed; create one with `nsc generate creds`"
        ) from None
    return "\n".join([*lines, ""])


def read_password(path: Path) -> str:
    """Return the password in a file, without white space around it; `Misconfigured` if there is none."""
    try:
        return checked_secret(_read("NATS_PASSWORD_FILE", path))
    except ValueError:
        raise Misconfigured(
            f"{_where('NATS_PASSWORD_FILE', path)} has no password: write it there in one line"
        ) from None


def check_seed(path: Path) -> None:
    """Raise `Misconfigured`, which shows no secret, unless a file has the seed of a user and nothing else."""
    try:
        seed = checked_token(_read("NATS_NKEY", path))
        if not seed.startswith("SU"):
            raise ValueError("not the seed of a user")
        nkeys.from_seed(bytearray(seed.encode())).wipe()
    except (ValueError, nkeys.NkeysError):
        raise Misconfigured(
            f"{_where('NATS_NKEY', path)} has no seed of a user (SU…); create one with `nk -gen user`"
        ) from None


def _password_reader(path: Path) -> Callable[[], str]:
    def read() -> str:
        try:
            return read_password(path)
        except Misconfigured as error:
            raise ConnectionError(str(error)) from None

    return read


def _read(setting: str, path: Path) -> str:
    """Return the text of a file; `Misconfigured` if it cannot be read, `ValueError` if it is not text."""
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise Misconfigured(f"{_where(setting, path)} cannot be read: {error.strerror}") from None


def _where(setting: str, path: Path) -> str:
    return f"invalid setting SLUICEWAY_{setting}: file {path}"
