"""The texts of a user's list, computed once for a check: a feature may have thousands of conditions on it."""

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from .values import user_text

#: A text of at most so many characters is lowered sooner than it is looked up.
SHORT_LENGTH_MAX = 100


class ListTexts(threading.local):
    """Remembers the texts of the list that was converted last, for each thread, while a check runs.

    Between checks the list may be changed, so nothing is remembered then.
    """

    def __init__(self) -> None:
        self._is_on = False
        self._text_of: object = None
        self._text: str | None = None
        self._elements_of: object = None
        self._elements: frozenset[str] = frozenset()
        self._lowered: dict[str, str] = {}

    @contextmanager
    def remembered(self) -> Iterator[None]:
        """Remember inside the block, in which no list may be changed."""
        if self._is_on:  # a nested gate
            yield
            return
        self._is_on = True
        try:
            yield
        finally:
            self._is_on = False
            self._forget()

    def text(self, value: object) -> str | None:
        """Return the text of a user's value."""
        if not self._is_on or not isinstance(value, list | tuple):
            return user_text(value)
        if self._text_of is not value:
            self._text_of, self._text = value, user_text(value)
        return self._text

    def lowered(self, value: object) -> str:
        """Return the text of a user's value in lower case; a missing text counts as empty."""
        text = self.text(value) or ""
        if not self._is_on or len(text) <= SHORT_LENGTH_MAX:
            return text.lower()
        if text not in self._lowered:
            self._lowered[text] = text.lower()
        return self._lowered[text]

    def elements(self, value: Sequence[object]) -> frozenset[str]:
        """Return the texts of the elements of a user's list; an element without a text counts as empty."""
        if self._elements_of is value:
            return self._elements
        elements = frozenset(user_text(element) or "" for element in value)
        if self._is_on:
            self._elements_of, self._elements = value, elements
        return elements

    def _forget(self) -> None:
        self._text_of = self._text = self._elements_of = None
        self._elements = frozenset()
        self._lowered.clear()


#: What operators convert lists by.
LIST_TEXTS = ListTexts()
