"""The addresses on which a process listens, of IPv4 and IPv6."""

import socket


def listen(host: str, port: int) -> socket.socket:
    """Return a socket that listens on an address; port 0 means any free port.

    The IPv6 address `::` stands for all addresses, those of IPv4 included, whatever the system's default.
    """
    is_ipv6 = ":" in host
    return socket.create_server(
        (host, port),
        family=socket.AF_INET6 if is_ipv6 else socket.AF_INET,
        dualstack_ipv6=is_ipv6 and host.strip("0:") == "" and socket.has_dualstack_ipv6(),
    )


def authority(host: str, port: int) -> str:
    """Return host and port as a URL has them: an IPv6 address stands in brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
