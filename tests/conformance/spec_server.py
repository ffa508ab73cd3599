"""A local HTTP server that serves one payload and its id lists to an SDK in the same process."""

import base64
import hashlib
import json
import re
import threading
from collections.abc import Mapping, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Self
from urllib.parse import quote, unquote


class SpecServer:
    """Serves on a free port of 127.0.0.1, as a context manager; it accepts logged events and drops them."""

    def __init__(self, specs: bytes, id_lists: Mapping[str, Sequence[str]]) -> None:
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(specs, id_lists))
        # With the default poll interval, every stop would take half a second.
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.005,), daemon=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def member_key(value: str) -> str:
    """Return the key of `value` in an id list: eight characters."""
    return base64.b64encode(hashlib.sha256(value.encode()).digest()).decode()[:8]


def _handler(specs: bytes, id_lists: Mapping[str, Sequence[str]]) -> type[BaseHTTPRequestHandler]:
    files = {
        name: "".join(f"+{member_key(value)}\n" for value in values).encode()
        for name, values in id_lists.items()
    }

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path = unquote(self.path.partition("?")[0])
            if path.startswith("/lists/"):
                start = re.match(r"bytes=(\d+)-", self.headers.get("Range") or "")
                self._answer(files[path.removeprefix("/lists/")][int(start[1]) if start else 0 :])
            elif path.startswith("/specs/"):
                self._answer(specs)
            else:
                self.send_error(404)

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            if self.path.startswith("/manifest"):
                self._answer(json.dumps(self._manifest()).encode())
            else:
                self._answer(b'{"success":true}')

        def do_CONNECT(self) -> None:
            self.send_error(403)

        def log_message(self, format: str, *args: object) -> None:
            """Log nothing."""

        def _manifest(self) -> dict[str, object]:
            return {
                name: {
                    "name": name,
                    "url": f"http://{self.headers['Host']}/lists/{quote(name)}",
                    "fileID": f"file-{name}",
                    "size": len(content),
                    "creationTime": 1,
                }
                for name, content in files.items()
            }

        def _answer(self, body: bytes) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    return Handler
