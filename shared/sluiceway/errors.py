"""The tree of errors. Each tells a consumer what to do; only `messaging.delivery` acts on it."""

import msgspec

#: What msgspec raises for bytes that are not JSON of a model. Two of them are not among its own errors.
DECODE_ERRORS = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)


class SluicewayError(Exception):
    """The base class of the errors below."""


class RetryLater(SluicewayError):
    """It may work later: the message is delivered again after a delay."""

    #: Whether that is within seconds, and by itself, as when the broker elects a leader: a sender may wait.
    passes_soon = True


class Rejected(SluicewayError):
    """It will never work: the message becomes a dead letter, with this reason."""


class InvalidEvent(Rejected):
    """A message in the log is not a valid event: the one before it counts."""


class MessageTooLarge(Rejected):
    """A message is larger than a broker takes; it was not published, and would be refused every time."""

    def __init__(self, subject: str, size: int, size_max: int, limit: str, header_size: int = 0) -> None:
        """`limit` names what sets `size_max`; `header_size`: the bytes of `size` that are headers."""
        super().__init__(
            f"the message on {subject} has {size} bytes with its headers; {limit} is {size_max}: "
            "make it smaller, or raise the limit"
        )
        self.subject = subject
        self.size = size
        self.size_max = size_max
        self.header_size = header_size


class Conflict(SluicewayError):
    """Another writer came first: read again, then decide again."""


class Unavailable(RetryLater):
    """The broker, or the process that should answer, cannot be reached now."""


class StoreFull(Unavailable):
    """The broker has no space for more: somebody has to make some."""

    passes_soon = False


class Misconfigured(SluicewayError):
    """The process cannot start with these settings; the text says what to change."""


def error_text(error: BaseException) -> str:
    """Return the message of an error, or its name if it has none, as timeouts have."""
    return str(error) or type(error).__name__
