"""The hosts of brokers, as certificates and URLs name them."""

import ipaddress
import re
from collections import Counter
from collections.abc import Iterable
from urllib.parse import urlsplit

from .session import CommandFailed

#: Where brokers of other networks connect to a broker.
LEAF_PORT = 7422
#: Characters of the name of a host; DNS knows no longer ones.
HOST_MAX = 253
_LABEL = r"[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
#: Digits and dots alone are a mistyped address.
_HOST = re.compile(rf"(?![0-9.]+$)({_LABEL}\.)*{_LABEL}")
_WILDCARD = "*."


def checked_hosts(texts: Iterable[str]) -> tuple[str, ...]:
    """Return different hosts as they stand in URLs; `CommandFailed` unless all are names or addresses."""
    return _different(map(_checked_host, texts))


def certificate_hosts(texts: Iterable[str]) -> tuple[str, ...]:
    """Return hosts as a certificate names them, perhaps `*.example.com` for all of a domain."""
    return tuple(
        _WILDCARD * text.startswith(_WILDCARD) + _checked_host(text.removeprefix(_WILDCARD)) for text in texts
    )


def url_host(host: str) -> str:
    """Return a host as it stands in a URL: addresses of IPv6 have brackets."""
    return f"[{host}]" if ":" in host else host


def hub_urls(texts: Iterable[str]) -> tuple[str, ...]:
    """Return different URLs at which leaf nodes connect; `CommandFailed` unless all are some with TLS."""
    return _different(map(_hub_url, texts))


def _hub_url(text: str) -> str:
    try:
        parts = urlsplit(text)
        host, port = parts.hostname or "", parts.port or LEAF_PORT
    except ValueError:
        host, port = "", 0
    if not host or text.lower() not in (plain := f"tls://{url_host(host)}", f"{plain}:{port}"):
        raise CommandFailed(
            f"invalid hub {text!r}: use tls://HOST or tls://HOST:PORT, by default {LEAF_PORT}"
        )
    return f"tls://{url_host(_checked_host(host))}:{port}"


def _checked_host(text: str) -> str:
    address = text[1:-1] if text.startswith("[") and text.endswith("]") else text
    try:
        if "%" not in address:  # after it, any text is the name of a network interface
            return str(ipaddress.ip_address(address))
    except ValueError:
        if len(text) <= HOST_MAX and _HOST.fullmatch(text):
            return text.lower()
    raise CommandFailed(f"invalid host {text!r}: use a name such as nats-1.example.com, or an address")


def _different(found: Iterable[str]) -> tuple[str, ...]:
    counts = Counter(found)
    if doubled := [text for text, count in counts.items() if count > 1]:
        raise CommandFailed(f"{doubled[0]} is given twice: each broker has a host of its own")
    return tuple(counts)
