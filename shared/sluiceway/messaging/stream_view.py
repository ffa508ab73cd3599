"""What was read from a stream, kept current."""

from typing import Self

from .stream_follower import Follower

#: For catching up, before an answer that must be exact.
CATCH_UP_SECONDS = 5.0


class StreamView:
    """What was read from a stream, kept current while the block runs."""

    follower: Follower

    async def __aenter__(self) -> Self:
        await self.follower.__aenter__()
        return self

    async def __aexit__(self, *details: object) -> None:
        await self.follower.__aexit__(*details)

    @property
    def is_current(self) -> bool:
        """Whether the view has everything, as far as a broker that is still heard has said."""
        return self.follower.is_current

    async def caught_up(self) -> None:
        """Return once everything that the stream held at the start is in the view."""
        await self.follower.caught_up()

    async def catch_up(self) -> None:
        """Return once everything stored before this call is in the view; raise `Unavailable` otherwise."""
        await self.follower.catch_up(CATCH_UP_SECONDS)

    async def catch_up_past(self, sequence: int) -> None:
        """Catch up, and do not believe a broker that is behind that the stream ends before `sequence`.

        Raises `Unavailable` if neither that nor the contrary is known within some ten seconds.
        """
        if self.follower.position.sequence < sequence:
            info = await self.follower.settled_info(lambda info: info.state.last_seq < sequence)
            await self.follower.catch_up(CATCH_UP_SECONDS, at_least=info.state.last_seq)
        await self.catch_up()

    async def has_changed(self) -> bool:
        """Catch up with the stream; return whether it held something that the view did not know."""
        known = self.follower.position
        await self.catch_up()
        return self.follower.position != known
