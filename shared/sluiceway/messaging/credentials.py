"""A `.creds` file of NATS: the JWT of a user, and the seed that signs for it.

nats-py itself waits forever for a JWT that is not in the file, and sends a carriage return with it.
"""

from pathlib import Path

from nats.aio.client import RawCredentials

from ..errors import Misconfigured
from ..settings import checked_token

MARKERS = ("BEGIN NATS USER JWT", "BEGIN USER NKEY SEED")


class CredentialsFile(RawCredentials):
    """Reads the file at each connection, because credentials are renewed while a process runs."""

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
    where = f"invalid setting SLUICEWAY_NATS_CREDS: file {path}"
    try:
        lines = [line.strip() for line in path.read_text(encoding="utf-8").splitlines()]
        for marker in MARKERS:
            at = next((n for n, line in enumerate(lines) if marker in line), len(lines))
            checked_token("".join(lines[at + 1 : at + 2]))
    except OSError as error:
        raise Misconfigured(f"{where} cannot be read: {error.strerror}") from None
    except ValueError:
        raise Misconfigured(
            f"{where} has no user JWT and seed; create one with `nsc generate creds`"
        ) from None
    return "\n".join([*lines, ""])
