"""nats-py's parser, with a shorter way for what nearly everything is: a message that has arrived as a whole.

nats-py tries two regular expressions for each, and deletes it from the start of a buffer afterwards, which
moves all that follows.
"""

from typing import Any

from nats.protocol.parser import AWAITING_CONTROL_LINE, Parser

#: Bytes of the first part of a message that wait for the rest of it. nats-py takes over what is larger: it
#: copies less when a message comes in many pieces.
PART_BYTES_MAX = 128 * 1024
_LINE_END = b"\r\n"
_LINE_END_SIZE = len(_LINE_END)
_MESSAGE = b"MSG"
_MESSAGE_WITH_HEADERS = b"HMSG"
#: Words of the first line: the operation, the subject, the id of the subscription, perhaps where to reply,
#: and one or two sizes.
_WORDS = {_MESSAGE: (4, 5), _MESSAGE_WITH_HEADERS: (5, 6)}
_STARTS = (_MESSAGE + b" ", _MESSAGE_WITH_HEADERS + b" ")


class MessageParser(Parser):
    """Hands whole messages to the client; everything else, and all that is unusual, is left to nats-py."""

    nc: Any

    def reset(self) -> None:
        """Forget what was read: this is another connection."""
        super().reset()
        self._resets = getattr(self, "_resets", 0) + 1

    async def parse(self, data: bytes = b"") -> None:
        """Hand what has arrived to the client, as far as it is complete."""
        if self.state == AWAITING_CONTROL_LINE and len(self.buf) <= PART_BYTES_MAX:
            if self.buf:
                data = bytes(self.buf) + data
                self.buf.clear()
            handed_over, is_part = await self._hand_over(data)
            data = data[handed_over:]
            if is_part and len(data) <= PART_BYTES_MAX:
                self.buf.extend(data)
                return
        if data:
            await super().parse(data)

    async def _hand_over(self, data: bytes) -> tuple[int, bool]:
        """Hand over the messages with which `data` begins.

        Return where something else begins, and whether that is a part of a message.
        """
        at, resets = 0, self._resets
        while (line_end := data.find(_LINE_END, at)) > 0:
            words = data[at:line_end].split(b" ")
            if len(words) not in _WORDS.get(words[0], ()):
                return at, False
            try:
                sid, size = int(words[2]), int(words[-1])
                header_size = int(words[-2]) if words[0] == _MESSAGE_WITH_HEADERS else 0
            except ValueError:
                return at, False
            reply = words[3] if len(words) == _WORDS[words[0]][1] else b""
            begin = line_end + _LINE_END_SIZE
            body, end = begin + header_size, begin + size
            if len(data) < end + _LINE_END_SIZE:
                return at, True
            at = end + _LINE_END_SIZE
            await self.nc._process_msg(sid, words[1], reply, data[body:end], data[begin:body] or None)
            if resets != self._resets:  # what follows came on a connection that is lost
                return len(data), False
        return at, data.startswith(_STARTS, at)
