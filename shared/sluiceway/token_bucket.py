"""How much may be taken at a time: a burst after a rest, and so much per second after that."""


class TokenBucket:
    """Tokens of one sender or place, in seconds of the caller's clock.

    https://en.wikipedia.org/wiki/Token_bucket
    """

    __slots__ = ("_at", "_tokens", "burst", "per_second")

    def __init__(self, burst: float, per_second: float, now: float) -> None:
        """It is full at first."""
        self.burst = burst
        self.per_second = per_second
        self._tokens = burst
        self._at = now

    def take(self, now: float) -> bool:
        """Take a token; return whether there was one."""
        self._refill(now)
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True

    def spend(self, now: float, tokens: float) -> None:
        """Take so many tokens, known only after they were used; what is missing has to come back first."""
        self._refill(now)
        self._tokens -= tokens

    def seconds_until_next(self, now: float) -> float:
        """Return in how many seconds there is a token; 0 if there is one now."""
        self._refill(now)
        return max(0.0, (1 - self._tokens) / self.per_second)

    @property
    def used_at(self) -> float:
        """When a token was last asked for."""
        return self._at

    def _refill(self, now: float) -> None:
        self._tokens = min(self.burst, self._tokens + (now - self._at) * self.per_second)
        self._at = now
