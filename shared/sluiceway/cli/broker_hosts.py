"""The hosts of brokers, as certificates and URLs name them."""

import ipaddress
import re

from .session import CommandFailed

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
