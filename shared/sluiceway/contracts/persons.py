"""When two names or accounts are one person: for four eyes, never for rights.

Two records are one person if any of their identifiers match: the account (issuer and subject), or a name or
verified e-mail in its canonical form. To see one person in two records too often costs an approval; to see
two persons in one would let somebody approve alone.

Canonical form: https://www.unicode.org/versions/Unicode16.0.0/core-spec/chapter-3/#G63737 (NFKC_Casefold).
"""

import re
import unicodedata
from collections.abc import Iterable
from typing import Annotated, NamedTuple

from pydantic import Field

from .models import WireModel

#: Characters that are not seen, besides those of the categories below: Default_Ignorable_Code_Point, and
#: the blank of Braille.
_INVISIBLE = (
    "\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2065\u2800\u3164\ufe00-\ufe0f\uffa0\ufff0-\ufff8"
    "\U0001d173-\U0001d17a\U000e0000-\U000e0fff"
)
_INVISIBLE_CHARACTER = re.compile(f"[{_INVISIBLE}]")
#: Categories of characters that control or format text, or separate lines or paragraphs.
_REFUSED_CATEGORIES = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})


class Account(WireModel):
    """An account at an OpenID Connect provider: issuer and subject, which never change."""

    issuer: Annotated[str, Field(pattern=r"^https?://\S+$", max_length=500)]
    subject: Annotated[str, Field(min_length=1, max_length=255)]
    #: An e-mail address that the provider has verified; absent: none.
    email: Annotated[str, Field(min_length=1, max_length=320)] | None = None


class Person(NamedTuple):
    """Somebody as a record has them: under a name, perhaps with an account."""

    name: str
    account: Account | None = None

    @property
    def identifiers(self) -> frozenset[tuple[str, ...]]:
        """Return what identifies the person; a match of one of them suffices."""
        found: list[tuple[str, ...]] = [(canonical_name(self.name),)]
        if self.account:
            # A slash more or less must not make two persons of one; sign-ins compare issuers exactly.
            found.append((self.account.issuer.rstrip("/"), self.account.subject))
            if self.account.email:
                found.append((canonical_name(self.account.email),))
        return frozenset(found)


def canonical_name(name: str) -> str:
    """Return the form in which names are compared: without case, width, invisible characters, outer space."""
    folded = unicodedata.normalize("NFD", name).casefold()
    visible = "".join(character for character in folded if not _is_invisible(character))
    return " ".join(unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", visible).casefold()).split())


def has_invisible_characters(name: str) -> bool:
    """Return whether a name has characters that control or format text, or that no font shows."""
    return any(_is_invisible(character) for character in name)


def same_persons(person: Person, others: Iterable[Person]) -> list[Person]:
    """Return those of `others` that are the same person, also if only another one of them tells.

    One who started a release with a changed e-mail, say, links the old one to the new.
    """
    same: list[Person] = []
    known, left = person.identifiers, list(others)
    while found := [other for other in left if not known.isdisjoint(other.identifiers)]:
        same += found
        left = [other for other in left if other not in found]
        known = known.union(*(other.identifiers for other in found))
    return same


def _is_invisible(character: str) -> bool:
    is_refused = unicodedata.category(character) in _REFUSED_CATEGORIES
    return is_refused or _INVISIBLE_CHARACTER.fullmatch(character) is not None
