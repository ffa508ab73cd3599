"""The format of server-sent events: https://html.spec.whatwg.org/multipage/server-sent-events.html"""

import json
from collections.abc import Mapping
from typing import Any

MEDIA_TYPE = "text/event-stream"


def encode_event(name: str, data: Mapping[str, Any], id_: int | str | None = None) -> bytes:
    """Return an event whose data is a JSON object, which has no line breaks."""
    head = "" if id_ is None else f"id: {id_}\n"
    return f"{head}event: {name}\ndata: {json.dumps(data, ensure_ascii=False)}\n\n".encode()


def encode_comment(text: str) -> bytes:
    """Return a line that clients ignore, for example to keep the connection alive."""
    return f": {text}\n\n".encode()
