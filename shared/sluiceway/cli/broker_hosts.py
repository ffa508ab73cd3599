"""The hosts of brokers, as certificates and URLs name them."""

import ipaddress
import re
from urllib.parse import urlsplit

from .session import CommandFailed

#: Where brokers of other networks connect to a broker.
LEAF_PORT = 7422
#: Characters of the name of a host; DNS knows no longer ones.
HOST_MAX = 253
_LABEL = r"[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_HOST = re.compile(rf"(\*\.)?({_LABEL}\.)*{_LABEL}")


def checked_host(text: str) -> str:
    """Return a host as a certificate names it; `CommandFailed` unless it is a name or an address."""
    try:
        return str(ipaddress.ip_address(text.strip("[]")))
    except ValueError:
        if len(text) <= HOST_MAX and _HOST.fullmatch(text):
            return text.lower()
    raise CommandFailed(f"invalid host {text!r}: use a name such as nats-1.example.com, or an address")


def url_host(host: str) -> str:
    """Return a host as it stands in a URL: addresses of IPv6 have brackets."""
    return f"[{host}]" if ":" in host else host


def hub_url(text: str) -> str:
    """Return the URL at which leaf nodes connect to a broker; `CommandFailed` unless it is one with TLS."""
    try:
        parts = urlsplit(text)
        host, port = parts.hostname or "", parts.port or LEAF_PORT
    except ValueError:
        host, port = "", 0
    if not host or text.lower() not in (plain := f"tls://{url_host(host)}", f"{plain}:{port}"):
        raise CommandFailed(
            f"invalid hub {text!r}: use tls://HOST or tls://HOST:PORT, by default {LEAF_PORT}"
        )
    return f"tls://{url_host(checked_host(host))}:{port}"
