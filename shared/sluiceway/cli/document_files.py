"""Reads YAML files into models. Every error names the file, the document and the field."""

import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import BaseModel, ValidationError

from ..contracts.catalogue import Environment, Region
from ..contracts.feature import DynamicConfig, FeatureGate, Segment
from ..contracts.freeze import Freeze
from ..contracts.pipeline import Pipeline
from ..contracts.revisions import RevisionTag, is_revision_tag
from ..contracts.validation_errors import describe_errors
from ..yaml_documents import InvalidYaml, load_yaml_documents
from .session import CommandFailed

Document = Environment | Region | Pipeline | Freeze | Segment | FeatureGate | DynamicConfig

#: `kind` → model, in the order in which documents are applied: each can refer to those before it.
MODELS: dict[str, type[BaseModel]] = {
    "Environment": Environment,
    "Region": Region,
    "ReleasePipeline": Pipeline,
    "Freeze": Freeze,
    "Segment": Segment,
    "FeatureGate": FeatureGate,
    "DynamicConfig": DynamicConfig,
}
SUFFIXES = (".yaml", ".yml")


class FileDocument(NamedTuple):
    """A document, and the revision that its author has read, if the file names it."""

    document: Document
    revision: RevisionTag | None = None


class Source(NamedTuple):
    """A document, and its place in a file."""

    document: Any
    location: str


def read_documents(paths: Iterable[str]) -> list[Document]:
    """Return all documents in these files and folders; see `read_file_documents`."""
    return [found.document for found in read_file_documents(paths)]


def read_file_documents(paths: Iterable[str]) -> list[FileDocument]:
    """Return all documents in these files and folders (`-`: standard input), in the order to apply them.

    `CommandFailed`, with all errors of all documents, if one is invalid.
    """
    errors: list[str] = []
    documents: list[FileDocument] = []
    for name, text in (file for path in paths for file in _texts(path)):
        try:
            sources = list(_parse(name, text))
        except CommandFailed as error:
            errors.append(str(error))
            continue
        for source in sources:
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


def _texts(path: str) -> Iterator[tuple[str, str]]:
    """Yield the name and the text of each file; `CommandFailed` if one cannot be read."""
    try:
        if path == "-":
            yield "standard input", sys.stdin.read()
            return
        for file in _files(Path(path)):
            yield str(file), file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise CommandFailed(f"cannot read {path}: {reason}") from error


def _files(path: Path) -> list[Path]:
    if path.is_dir():
        return sorted(file for file in path.iterdir() if file.suffix in SUFFIXES)
    return [path]


def _parse(name: str, text: str) -> Iterator[Source]:
    try:
        for number, document in enumerate(load_yaml_documents(text), start=1):
            if document is not None:
                yield Source(document, f"{name}, document {number}")
    except InvalidYaml as error:
        raise CommandFailed(f"{name} is not valid YAML: {error}") from error


def _model(source: Source) -> FileDocument:
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
