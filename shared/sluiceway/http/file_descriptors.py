"""How many connections this process may hold, by the file descriptors that it may open."""

import logging
import sys

log = logging.getLogger(__name__)

#: The limit of this process is raised to the hard limit, but not further than this.
FILE_DESCRIPTORS_MAX = 65_536
#: Where the system has no such limit.
FILE_DESCRIPTORS_UNKNOWN = 1_024
#: Never given to clients: for the broker, files, and connections that are accepted but not admitted yet.
RESERVED = 512
#: Connections of a process, however many file descriptors it may open.
CONNECTIONS_MAX = 15_000
CONNECTIONS_MIN = 64
GRPC_CONNECTIONS_MIN = 16
#: The part of the connections that HTTP gets; the rest is for the gRPC stream of an edge.
HTTP_SHARE = 0.75
#: A connection of the gRPC stream is relayed: three are open for it.
DESCRIPTORS_PER_GRPC_CONNECTION = 3


def raise_file_descriptor_limit() -> int:
    """Raise the soft limit as far as the system allows, and return it."""
    if sys.platform == "win32":
        return FILE_DESCRIPTORS_UNKNOWN
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = FILE_DESCRIPTORS_MAX if hard == resource.RLIM_INFINITY else min(hard, FILE_DESCRIPTORS_MAX)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return FILE_DESCRIPTORS_MAX if soft == resource.RLIM_INFINITY else soft
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    except (OSError, ValueError) as error:
        log.warning("cannot raise the limit of file descriptors from %s to %s: %s", soft, wanted, error)
        return soft
    return wanted


def http_connections_max(file_descriptors: int) -> int:
    """Return how many HTTP connections a process may hold."""
    return max(CONNECTIONS_MIN, int(min(CONNECTIONS_MAX, file_descriptors - RESERVED) * HTTP_SHARE))


def grpc_connections_max(file_descriptors: int) -> int:
    """Return how many connections of the gRPC stream an edge may hold."""
    for_grpc = int((file_descriptors - RESERVED) * (1 - HTTP_SHARE)) // DESCRIPTORS_PER_GRPC_CONNECTION
    return max(GRPC_CONNECTIONS_MIN, min(for_grpc, int(CONNECTIONS_MAX * (1 - HTTP_SHARE))))
