"""Reads YAML files into models. Every error names the file, the document and the field."""

import os
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import BaseModel, ValidationError

from ..contracts.alert_sources import AlertSource
from ..contracts.catalogue import Environment, Region
from ..contracts.feature import DynamicConfig, FeatureGate, Segment
from ..contracts.freeze import Freeze
from ..contracts.pipeline import Pipeline
from ..contracts.revisions import RevisionTag, is_revision_tag
from ..contracts.validation_errors import describe_errors
from ..yaml_documents import load_yaml_documents
from .session import CommandFailed

Document = Environment | Region | Pipeline | Freeze | AlertSource | Segment | FeatureGate | DynamicConfig

#: `kind` → model, in the order in which documents are applied: each can refer to those before it.
MODELS: dict[str, type[BaseModel]] = {
    "Environment": Environment,
    "Region": Region,
    "ReleasePipeline": Pipeline,
    "Freeze": Freeze,
    "AlertSource": AlertSource,
    "Segment": Segment,
    "FeatureGate": FeatureGate,
    "DynamicConfig": DynamicConfig,
}
SUFFIXES = (".yaml", ".yml")
STANDARD_INPUT = "-"


class FileDocument(NamedTuple):
    """A document, and the revision that its author has read, if the file names it."""

    document: Document
    revision: RevisionTag | None = None


class Source(NamedTuple):
    """A document and its place in a file, or what is wrong with it."""

    document: Any
    location: str
    error: str | None = None


def read_documents(paths: Iterable[str]) -> list[Document]:
    """Return all documents in these files and folders; see `read_file_documents`."""
    return [found.document for found in read_file_documents(paths)]


def read_file_documents(paths: Iterable[str]) -> list[FileDocument]:
    """Return all documents in these files and folders (`-`: standard input), in the order to apply them.

    `CommandFailed`, with all errors of all documents, if one is invalid.
    """
    errors: list[str] = []
    documents: list[FileDocument] = []
    for file in (file for path in paths for file in _files(path)):
        for source in _sources(file):
            try:
                documents.append(_model(source))
            except CommandFailed as error:
                errors.append(str(error))
    if errors:
        raise CommandFailed(
            "; ".join(errors), {"code": "invalid", "message": "; ".join(errors), "faults": errors}
        )
    if not documents:
        raise CommandFailed(f"{', '.join(paths)} has no document; add one with a `kind`")
    kinds = list(MODELS)
    return sorted(documents, key=lambda found: kinds.index(found.document.kind))


def _files(path: str) -> list[str]:
    if path == STANDARD_INPUT or not _path(path).is_dir():
        return [path]
    try:
        return sorted(str(file) for file in _path(path).iterdir() if file.suffix in SUFFIXES)
    except OSError as error:
        raise CommandFailed(f"cannot read {path}: {error.strerror}") from error


def _sources(file: str) -> Iterator[Source]:
    """Yield the documents of a file, and what is wrong with them or with the file."""
    try:
        text = _read(file)
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        yield Source(None, file, f"cannot read {file}: {reason}")
        return
    name = "standard input" if file == STANDARD_INPUT else file
    for number, document in enumerate(load_yaml_documents(text), start=1):
        if document.errors:
            errors = "; ".join(map(str, document.errors))
            yield Source(None, name, f"{name} is not valid YAML: {errors}")
        elif document.value is not None:
            yield Source(document.value, f"{name}, document {number}")


def _read(file: str) -> str:
    """Return the text of a file, or of standard input, whatever encoding the terminal has."""
    content = sys.stdin.buffer.read() if file == STANDARD_INPUT else _path(file).read_bytes()
    return content.decode("utf-8-sig")


def _path(name: str) -> Path:
    """Return the path of this name, also if the locale's encoding lacks some of its characters."""
    return Path(os.fsdecode(name.encode("utf-8", "surrogateescape")))


def _model(source: Source) -> FileDocument:
    if source.error:
        raise CommandFailed(source.error)
    if not isinstance(source.document, dict):
        raise CommandFailed(f"{source.location}: expected a mapping with `kind`")
    kind = source.document.get("kind")
    model = MODELS.get(kind) if isinstance(kind, str) else None
    if model is None:
        raise CommandFailed(f"{source.location}: unknown kind {kind!r} (known: {', '.join(MODELS)})")
    content = dict(source.document)
    written = content.pop("revision", None)
    revision = None if written is None else str(written)  # YAML reads 0 as a number
    if revision is not None and not is_revision_tag(revision):
        raise CommandFailed(
            f"{source.location} ({kind}): invalid revision {written!r}: use the one that `sluiceway apply "
            "--json` or `get gates --json` shows, or leave it out"
        )
    try:
        return FileDocument(model.model_validate(content), revision)  # type: ignore[arg-type]
    except ValidationError as error:
        raise CommandFailed(f"{source.location} ({kind}): {describe_errors(error)}") from error
