"""Edits of one document by several people: what each one changed, and whether both can hold."""

from collections.abc import Sequence
from typing import Any

from ..contracts.feature import Feature
from ..contracts.models import WireModel
from .feature_documents import authored_document

#: Named fields in a message; after more of them, their number.
FIELDS_NAMED_MAX = 10
ORDER = "order of "


def changed_fields(before: WireModel, after: WireModel) -> set[str]:
    """Return the names of the fields that differ.

    The elements of a list count one by one, for example `rules.everyone`, and their order as
    `order of rules`.
    """
    old, new = before.to_jsonable(), after.to_jsonable()
    changed: set[str] = set()
    for name in old.keys() | new.keys():
        one, other = old.get(name), new.get(name)
        if isinstance(one, list) and isinstance(other, list):
            changed |= _changed_elements(name, one, other)
        elif one != other:
            changed.add(name)
    return changed


def changed_in_feature(before: Feature, after: Feature) -> set[str]:
    """Return the names of the fields of a feature's document that differ, and `archived`."""
    changed = changed_fields(authored_document(before), authored_document(after))
    return changed | ({"archived"} if before.archived != after.archived else set())


def edit_fits(read: WireModel, newest: WireModel, edited: WireModel) -> bool:
    """Return whether an edit leaves alone what others have changed since it was begun.

    `edited` is the result of the edit on `newest`, and `read` the document that its author knew. An edit
    that changes the order of a list does not fit if others have changed the list in any way.
    """
    theirs, ours = changed_fields(read, newest), changed_fields(newest, edited)
    lists = {name.partition(".")[0] for name in theirs}
    return theirs.isdisjoint(ours) and not any(f"{ORDER}{name}" in ours for name in lists)


def named_fields(fields: set[str]) -> str:
    """Return the names of changed fields for a message."""
    names = sorted(fields)
    more = len(names) - FIELDS_NAMED_MAX
    return ", ".join(names[:FIELDS_NAMED_MAX]) + (f" and {more} more" if more > 0 else "")


def _changed_elements(field: str, before: Sequence[Any], after: Sequence[Any]) -> set[str]:
    old, new = _by_key(before), _by_key(after)
    changed = {f"{field}.{key}" for key in old.keys() | new.keys() if old.get(key) != new.get(key)}
    if [key for key in old if key in new] != [key for key in new if key in old]:
        changed.add(f"{ORDER}{field}")
    return changed


def _by_key(elements: Sequence[Any]) -> dict[str, list[Any]]:
    """Return elements by their id, else by their name, else by themselves, in the order of the list."""
    found: dict[str, list[Any]] = {}
    for element in elements:
        key = element.get("id") or element.get("name") if isinstance(element, dict) else element
        found.setdefault(str(key), []).append(element)
    return found
