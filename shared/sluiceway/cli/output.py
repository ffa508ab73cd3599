"""Standard output as users have it: any encoding, a reader that goes away (`| head`), a full disk."""

import codecs
import contextlib
import errno
import io
import json
import os
import sys
from collections.abc import Iterator
from typing import Any

import typer
from rich.console import Console, RenderableType

from ..errors import SluicewayError

EXIT_OUTPUT_LOST = 1
PIPED_WIDTH = 240


class Output:
    """What a command prints."""

    def __init__(self) -> None:
        width = None if sys.stdout.isatty() else PIPED_WIDTH
        #: Prints text unchanged, and wraps no lines if the output is not a terminal.
        self.console = _Console(width=width, soft_wrap=True, highlight=False, markup=False, emoji=False)
        self._is_closed = False

    @property
    def is_closed(self) -> bool:
        """Whether nobody reads the output any longer. What is printed then is dropped."""
        return self._is_closed or self.console.is_closed

    def print_line(self, line: str) -> None:
        """Print a line now; `OutputLost` if it cannot be written."""
        with self._dropping_what_is_lost():
            sys.stdout.write(f"{line}\n")
            sys.stdout.flush()

    def print(self, renderable: RenderableType) -> None:
        """Print a text or a table now; `OutputLost` if it cannot be written."""
        with self._dropping_what_is_lost():
            self.console.print(renderable)

    def print_json(self, document: Any) -> None:
        """Print a line of JSON, which is UTF-8 or, if standard output is not, ASCII."""
        self.print_line(json_line(document))

    @contextlib.contextmanager
    def _dropping_what_is_lost(self) -> Iterator[None]:
        """Drop the output if its reader went away: the command goes on, and does the rest of its work."""
        try:
            yield
        except BrokenPipeError:
            self._is_closed = True
            _drop_output()
        except OSError as error:
            _drop_output()
            raise OutputLost(f"cannot write the output: {error.strerror}") from error


class OutputLost(SluicewayError):
    """Standard output cannot be written, for example because the disk is full."""


class _Console(Console):
    is_closed = False

    def on_broken_pipe(self) -> None:
        """Drop the output instead of exiting."""
        self.is_closed = True
        _drop_output()


def json_line(document: Any) -> str:
    """Return a document as JSON that standard output can hold."""
    is_utf8 = codecs.lookup(sys.stdout.encoding or "ascii").name == "utf-8"
    text = json.dumps(document, ensure_ascii=not is_utf8)
    try:
        text.encode()
    except UnicodeEncodeError:  # half of a surrogate pair has no UTF-8
        return json.dumps(document)
    return text


def run_app(app: typer.Typer) -> None:
    """Run a command line and exit, without a traceback whatever happens to its output."""
    _prepare_streams()
    try:
        try:
            app()
        finally:
            sys.stdout.flush()
    except BrokenPipeError:
        _drop_output()
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        _drop_output()
        sys.stderr.write(f"sluiceway: cannot write the output: {error.strerror}\n")
        sys.exit(EXIT_OUTPUT_LOST)


def _prepare_streams() -> None:
    """Let standard output replace what it cannot show; read arguments as UTF-8 whatever the locale is."""
    if sys.stdout is None:  # closed by the shell: `>&-`
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115, PTH123
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")
    sys.argv[1:] = [os.fsencode(argument).decode("utf-8", "replace") for argument in sys.argv[1:]]


def _drop_output() -> None:
    """Send standard output nowhere. Python flushes it at the exit, and would print an error."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)
