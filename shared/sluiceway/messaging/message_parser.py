"""nats-py's parser, but the first line of a message is read without its regular expressions.

Those are slow, and take a subject with a vertical tab or a form feed for an error of the protocol: the broker
lets such a subject pass, so the connection would be lost each time that a stream delivers the message again.
"""

from typing import Any, NamedTuple

from nats.errors import ProtocolError
from nats.protocol.parser import AWAITING_CONTROL_LINE, AWAITING_MSG_PAYLOAD, Parser

_LINE_END = b"\r\n"
_LINE_END_SIZE = len(_LINE_END)
_MESSAGE_WITH_HEADERS = b"HMSG"
_MESSAGES = (b"MSG ", _MESSAGE_WITH_HEADERS + b" ")


class _MessageStart(NamedTuple):
    """The first line of a message; `size`: bytes of its headers and its body."""

    subject: bytes
    sid: int
    reply: bytes
    header_size: int
    size: int


class MessageParser(Parser):
    """Hands messages to the client; nats-py collects those that come in pieces, and reads all other lines."""

    nc: Any

    def reset(self) -> None:
        """Forget what was read: this is another connection."""
        super().reset()
        self._resets = getattr(self, "_resets", 0) + 1

    async def parse(self, data: bytes = b"") -> None:
        """Hand what has arrived to the client, as far as it is complete."""
        if self.buf and self.state == AWAITING_CONTROL_LINE:
            data = bytes(self.buf) + data
            self.buf.clear()
        at, resets = 0, self._resets
        while (
            at < len(data) and resets == self._resets
        ):  # else what follows came on a connection that is lost
            if self.state == AWAITING_MSG_PAYLOAD:
                begin, at = at, at + self.needed + _LINE_END_SIZE - len(self.buf)
                await super().parse(data[begin:at])
            elif (line_end := data.find(_LINE_END, at)) < 0:
                self.buf.extend(data[at:])
                return
            elif data.startswith(_MESSAGES, at):
                start = _message_start(data[at:line_end])
                at = line_end + _LINE_END_SIZE
                body, end = at + start.header_size, at + start.size
                if len(data) < end + _LINE_END_SIZE:
                    self._collect(start)
                    continue
                headers, at = data[at:body] or None, end + _LINE_END_SIZE
                await self.nc._process_msg(start.sid, start.subject, start.reply, data[body:end], headers)
            else:
                begin, at = at, line_end + _LINE_END_SIZE
                await self._parse_line(data[begin:at])

    def _collect(self, start: _MessageStart) -> None:
        """Let nats-py collect the body of a message."""
        self.msg_arg = {"subject": start.subject, "sid": start.sid, "reply": start.reply}
        self.needed, self.header_needed = start.size, start.header_size
        self.state = AWAITING_MSG_PAYLOAD

    async def _parse_line(self, line: bytes) -> None:
        """Leave a line that begins no message to nats-py."""
        resets = self._resets
        await super().parse(line)
        if self.buf and resets == self._resets:  # nats-py waits for the rest of a line as long as this
            raise ProtocolError("nats: unknown protocol")


def _message_start(line: bytes) -> _MessageStart:
    """Return what the first line of a message says; raise `ProtocolError` if it is invalid."""
    try:
        operation, subject, sid, *others, size = line.split(b" ")
        header_size = int(others.pop()) if operation == _MESSAGE_WITH_HEADERS else 0
        (reply,) = others or (b"",)
        start = _MessageStart(subject, int(sid), reply, header_size, int(size))
    except (ValueError, IndexError):
        raise ProtocolError("nats: malformed MSG") from None
    if not 0 <= header_size <= start.size:
        raise ProtocolError("nats: malformed MSG")
    return start
