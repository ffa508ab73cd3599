"""The rule documents of a region, taken apart: each is read once, however often another one changes."""

import hashlib
import json
from collections import defaultdict
from collections.abc import Mapping
from typing import NamedTuple

import msgspec

from sluiceway.contracts.identifiers import FeatureKey

from .text_blocks import TextBlocks

CHECKSUM_LENGTH = 32
#: The parts of a payload that come from documents, in their order.
OVERRIDES = "overrides"
PARTS = ("feature_gates", "dynamic_configs", "condition_map", "override_rules", OVERRIDES)


class _Specs(msgspec.Struct):
    """The parts of a document, each left as text."""

    feature_gates: dict[str, msgspec.Raw] = {}
    dynamic_configs: dict[str, msgspec.Raw] = {}
    condition_map: dict[str, msgspec.Raw] = {}
    override_rules: dict[str, msgspec.Raw] = {}
    overrides: dict[str, msgspec.Raw] = {}
    member_lists: dict[str, tuple[str, ...]] = {}


class _Document(msgspec.Struct):
    revision: int
    specs: _Specs


class MemberList(NamedTuple):
    """An id list, as the SDKs download it."""

    file_id: str
    created: int
    content: bytes


class _Known(NamedTuple):
    """What a document contributes."""

    data: bytes
    #: The part and the name of each member.
    members: tuple[tuple[str, str], ...]


class SpecParts:
    """The members of all documents by part, as blocks of text, and the documents themselves."""

    def __init__(self) -> None:
        self._known: dict[FeatureKey, _Known] = {}
        #: Part → name → the text of each document that has this member; the last one counts. Documents
        #: share conditions.
        self._owners: dict[str, defaultdict[str, dict[FeatureKey, bytes]]] = {
            part: defaultdict(dict) for part in PARTS
        }
        self._lists: dict[FeatureKey, dict[str, MemberList]] = {}
        self.blocks = {part: TextBlocks() for part in PARTS}
        self.documents = TextBlocks()

    def member_lists(self) -> dict[str, MemberList]:
        """Return all id lists by name."""
        return {name: list_ for lists in self._lists.values() for name, list_ in lists.items()}

    def update(self, documents: Mapping[FeatureKey, bytes]) -> None:
        """Let these be all documents; only those that differ from before are read."""
        removed = self._known.keys() - documents.keys()
        changed = {key: data for key, data in documents.items() if not self._has(key, data)}
        read = {key: _read(data) for key, data in changed.items()}
        touched: dict[str, set[str]] = {part: set() for part in PARTS}
        for key in (*removed, *read):
            for part, name in self._remove(key):
                touched[part].add(name)
        for key, document in read.items():
            for part, name in self._add(key, changed[key], document):
                touched[part].add(name)
        for part, names in touched.items():
            self.blocks[part].update({name: self._text(part, name) for name in names})
        self.documents.update({str(key): documents.get(key) for key in (*removed, *changed)})

    def _has(self, key: FeatureKey, data: bytes) -> bool:
        known = self._known.get(key)
        return known is not None and (known.data is data or known.data == data)

    def _remove(self, key: FeatureKey) -> tuple[tuple[str, str], ...]:
        """Remove what a document contributes, and return the part and name of each member."""
        known = self._known.pop(key, None)
        self._lists.pop(key, None)
        members = known.members if known else ()
        for part, name in members:
            owners = self._owners[part][name]
            del owners[key]
            if not owners:
                del self._owners[part][name]
        return members

    def _add(self, key: FeatureKey, data: bytes, document: _Document) -> tuple[tuple[str, str], ...]:
        """Add what a document contributes, and return the part and name of each member."""
        names = []
        for part in PARTS:
            for name, text in getattr(document.specs, part).items():
                self._owners[part][name][key] = json.dumps(name).encode() + b":" + bytes(text)
                names.append((part, name))
        if document.specs.member_lists:
            self._lists[key] = {
                name: _member_list(document.revision, members)
                for name, members in document.specs.member_lists.items()
            }
        self._known[key] = _Known(data, tuple(names))
        return self._known[key].members

    def _text(self, part: str, name: str) -> bytes | None:
        """Return a member; None if there is none.

        A gate and a config of one name would share their overrides, which name no kind: one's users would
        receive the candidate of the other. So both are served as they are outside of their releases.
        """
        owners = self._owners[part].get(name)
        if not owners or (part == OVERRIDES and len(owners) > 1):
            return None
        return next(reversed(owners.values()))


def _read(data: bytes) -> _Document:
    return msgspec.json.decode(data, type=_Document)


def _member_list(revision: int, members: tuple[str, ...]) -> MemberList:
    content = b"".join(b"+%s\n" % member.encode() for member in members)
    return MemberList(hashlib.sha256(content).hexdigest()[:CHECKSUM_LENGTH], revision, content)
