"""YAML → models; every fault names its file, document and field."""

import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from pydantic import BaseModel, ValidationError

from ..contracts.catalogue import Environment, Region
from ..contracts.feature import DynamicConfig, FeatureGate, Segment
from ..contracts.freeze import Freeze
from ..contracts.pipeline import Pipeline
from ..contracts.validation_errors import describe_errors
from .session import CommandFailed

Document = Environment | Region | Pipeline | Freeze | Segment | FeatureGate | DynamicConfig

#: In the order in which they are applied: each may refer to those before it.
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


class Source(NamedTuple):
    """A document, and where it stands."""

    document: Any
    where: str


def read_documents(paths: Iterable[str]) -> list[Document]:
    """Return all documents of these files and folders (`-`: standard input), in applying order.

    `CommandFailed`, with every fault of every document, where one of them is not valid.
    """
    faults: list[str] = []
    found: list[Document] = []
    for name, text in (file for path in paths for file in _texts(path)):
        try:
            sources = list(_parsed(name, text))
        except CommandFailed as error:
            faults.append(str(error))
            continue
        for source in sources:
            try:
                found.append(_model(source))
            except CommandFailed as error:
                faults.append(str(error))
    if faults:
        raise CommandFailed(
            "; ".join(faults), {"code": "invalid", "message": "; ".join(faults), "faults": faults}
        )
    if not found:
        raise CommandFailed(f"no document in {', '.join(paths)}")
    kinds = list(MODELS)
    return sorted(found, key=lambda document: kinds.index(document.kind))


def _texts(path: str) -> Iterator[tuple[str, str]]:
    """Give the name and the text of each file; `CommandFailed` where one cannot be read."""
    try:
        if path == "-":
            yield "standard input", sys.stdin.read()
            return
        for file in _files(Path(path)):
            yield str(file), file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else str(error)
        raise CommandFailed(f"{path} cannot be read: {why}") from error


def _files(path: Path) -> list[Path]:
    if path.is_dir():
        return sorted(file for file in path.iterdir() if file.suffix in SUFFIXES)
    return [path]


def _parsed(name: str, text: str) -> Iterator[Source]:
    try:
        for number, document in enumerate(yaml.safe_load_all(text), start=1):
            if document is not None:
                yield Source(document, f"{name}, document {number}")
    except yaml.YAMLError as error:
        raise CommandFailed(f"{name} is no YAML: {' '.join(str(error).split())}") from error


def _model(source: Source) -> Document:
    if not isinstance(source.document, dict):
        raise CommandFailed(f"{source.where}: a mapping with `kind` is expected")
    kind = source.document.get("kind")
    model = MODELS.get(kind) if isinstance(kind, str) else None
    if model is None:
        raise CommandFailed(f"{source.where}: kind {kind!r} is not one of {', '.join(MODELS)}")
    try:
        return model.model_validate(source.document)  # type: ignore[return-value]
    except ValidationError as error:
        raise CommandFailed(f"{source.where} ({kind}): {describe_errors(error)}") from error
