"""A digest of the code that projects: what another version has published may not be what this one would."""

import hashlib
import platform
import uuid
from functools import cache
from importlib.metadata import version
from importlib.resources import files
from importlib.resources.abc import Traversable

#: All our code that this service imports. Any change counts: nobody has to know which one matters.
PACKAGES = ("sluiceway", "services.evaluator_publisher")
#: What reads events, writes documents and matches patterns.
LIBRARIES = ("pydantic", "pydantic_core", "regex")


@cache
def code_digest() -> str:
    """Return the digest; a new one for each process if the sources are not installed."""
    digest = hashlib.sha256(platform.python_version().encode())
    for library in LIBRARIES:
        digest.update(f"{library} {version(library)}".encode())
    for package in PACKAGES:
        sources = _sources(files(package), package)
        if f"{package}/__init__.py" not in sources:
            return uuid.uuid4().hex
        for name, source in sorted(sources.items()):
            digest.update(name.encode() + b"\0" + hashlib.sha256(source).digest())
    return digest.hexdigest()


def _sources(folder: Traversable, name: str) -> dict[str, bytes]:
    """Return the content of every Python file below a folder."""
    sources: dict[str, bytes] = {}
    for item in folder.iterdir():
        path = f"{name}/{item.name}"
        if item.is_dir():
            sources |= _sources(item, path)
        elif item.name.endswith(".py"):
            sources[path] = item.read_bytes()
    return sources
