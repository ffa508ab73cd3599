"""The URLs of a NATS cluster, apart from the user and password that they hold.

nats-py takes userinfo as it is written, percent-encoded. So it gets URLs without, and the rest decoded.
"""

import re
from dataclasses import dataclass, field
from typing import NamedTuple, Self
from urllib.parse import SplitResult, unquote, urlsplit

from .redaction import hide_userinfo

SCHEMES = ("nats", "tls", "ws", "wss")
PORT = 4222
EXPECTED = (
    "use nats://USER:PASSWORD@HOST:4222, with commas between several; "
    "percent-encode characters such as @ / , : # in a password (%40 for @)"
)
#: What stands where a port should: the end of a password, perhaps.
_NO_PORT = re.compile(r":(?!//)(?!\d+(?:[,/]|$))[^,/]*")


class UserInfo(NamedTuple):
    """Whom to connect as: a user with a password, or a token alone. Nothing of it is printed."""

    name: str
    password: str | None

    def __repr__(self) -> str:
        return "***"


@dataclass(frozen=True)
class NatsServers:
    """The servers of one cluster, and as whom to connect to all of them."""

    #: URLs without userinfo.
    urls: tuple[str, ...]
    user: UserInfo | None = field(default=None, repr=False)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the servers of comma-separated URLs; `ValueError`, which shows no password, if invalid."""
        try:
            found = [_split(url) for url in text.split(",") if url.strip()]
            users = {user for url in found if (user := _user(url))}
        except ValueError:
            found, users = [], set()
        if not found:
            raise ValueError(f"cannot read {_shown(text)!r}: {EXPECTED}")
        if len(users) > 1:
            raise ValueError(f"{_shown(text)!r} names several users: use the same one for all servers")
        return cls(tuple(_without_user(url) for url in found), next(iter(users), None))

    def __str__(self) -> str:
        """Return the URLs as one text that may be shown."""
        hidden = "***@" if self.user else ""
        return ",".join(url.replace("://", f"://{hidden}", 1) for url in self.urls)


def _split(text: str) -> SplitResult:
    url = urlsplit(text.strip() if "://" in text else f"nats://{text.strip()}")
    is_valid = url.scheme in SCHEMES and url.hostname and not url.query and not url.fragment
    if not is_valid or re.search(r"\s", url.netloc):
        raise ValueError("not the URL of a server")
    if url.scheme in ("nats", "tls") and url.path.strip("/"):
        raise ValueError("the URL of a server has no path")
    _ = url.port  # raises ValueError if it is not a number
    return url


def _user(url: SplitResult) -> UserInfo | None:
    userinfo, separator, _ = url.netloc.rpartition("@")
    if not separator:
        return None
    name, colon, password = userinfo.partition(":")
    return UserInfo(_decoded(name), _decoded(password) if colon else None)


def _decoded(text: str) -> str:
    return unquote(text, errors="strict")


def _without_user(url: SplitResult) -> str:
    address = url.netloc.rpartition("@")[2]
    if url.port is None and url.scheme in ("nats", "tls"):
        address = f"{address.rstrip(':')}:{PORT}"
    return f"{url.scheme}://{address}{url.path.rstrip('/')}"


def _shown(text: str) -> str:
    return hide_userinfo(text) if "@" in text else _NO_PORT.sub(":***", text)
