"""The tree of errors. Each says what its consumer shall do; only `messaging.delivery` acts on it."""


class SluicewayError(Exception):
    """Anything that went wrong on our side of a call."""


class RetryLater(SluicewayError):
    """It may work later: the message is delivered again, after a while."""


class Rejected(SluicewayError):
    """It will never work: the message goes to the dead letters, with this reason."""


class Conflict(SluicewayError):
    """Somebody else wrote first: read again, decide again."""


class Unavailable(RetryLater):
    """The broker, or whoever should answer, cannot be reached now."""


class Misconfigured(SluicewayError):
    """The process cannot start like this; the text says what to change."""
