r"""Translates patterns of `fancy-regex` (Rust) into those of the PyPI module `regex`.

Both have look-around, backreferences, atomic groups, possessive quantifiers, `\p{…}` and set operations in
classes. What they spell differently is translated; what Rust does not have is refused.
"""

import re
from dataclasses import dataclass, replace

from .pattern_cost import PatternCost

#: A longer pattern is not read at all.
PATTERN_LENGTH_MAX = 1_000
#: A repetition with a larger count is refused when it is saved.
REPEAT_MAX = 1_000

_ESCAPES = {
    "z": r"\Z",
    "Z": r"(?=\n*\Z)",
    "h": "[0-9A-Fa-f]",
    "H": "[^0-9A-Fa-f]",
    "<": r"(?<!\w)(?=\w)",
    ">": r"(?<=\w)(?!\w)",
    "e": r"\x1b",
    "G": r"\A",
    "b{start}": r"(?<!\w)(?=\w)",
    "b{end}": r"(?<=\w)(?!\w)",
    "b{start-half}": r"(?<!\w)",
    "b{end-half}": r"(?!\w)",
}
_ESCAPES_IN_CLASS = {"h": "0-9A-Fa-f", "H": "[^0-9A-Fa-f]", "e": r"\x1b", "b": r"\x08"}
_KNOWN_ESCAPES = frozenset("aftnrvdDsSwWbBAKpPxuU")
_KNOWN_IN_CLASS = frozenset("aftnrvdDsSwWpPxuU")
#: These classes hold ASCII only.
_POSIX = {
    "alnum": "0-9A-Za-z",
    "alpha": "A-Za-z",
    "ascii": r"\x00-\x7f",
    "blank": r"\t ",
    "cntrl": r"\x00-\x1f\x7f",
    "digit": "0-9",
    "graph": "!-~",
    "lower": "a-z",
    "print": " -~",
    "punct": r"!-/:-@\[-`{-~",
    "space": r"\t\n\v\f\r ",
    "upper": "A-Z",
    "word": "0-9A-Za-z_",
    "xdigit": "0-9A-Fa-f",
}
#: Names of groups may begin with a digit in Rust, but not in Python.
GROUP_PREFIX = "_"
#: Ignoring case, Python treats all four as one letter; Rust only i and I.
DOTTED = {"i": "[iI]", "I": "[iI]", "İ": "İ", "ı": "ı"}
_TOKEN = re.compile(
    r"""
      \\ (?: [xuU]\{(?P<code>[0-9A-Fa-f]+)\} | k<(?P<name>\w+)> | (?P<number>0*[1-9][0-9]*)
           | (?P<escape> b\{[a-z-]+\} | [pP]\{[^}]*\} | .))
    | (?P<flags> \(\?[a-zA-Z-]+[:)])
    | (?P<comment> \(\?\#[^)]*\))
    | \(\?P=(?P<again>\w+)\)
    | \(\?'(?P<quoted>\w+)'
    | (?P<open> \((?!\?) | \(\?(?:P?<\w+>|[:>]|\((?:[0-9]+|<\w+>)\)))
    | (?P<around> \(\?<?[=!])
    | (?P<repeat> (?:[*+?]|\{(?:[0-9]+(?:,[0-9]*)?|,[0-9]+)\})[?+]?)
    | (?P<other> .)
    """,
    re.VERBOSE | re.DOTALL,
)
_CLASS_ITEM = re.compile(
    r"\\(?:[xuU]\{(?P<code>[0-9A-Fa-f]+)\}|(?P<escape>[pP]\{[^}]*\}|.))"
    r"|\[:\^?(?P<posix>\w+):\]|(?P<operator>&&|--|~~)|(?P<other>.)",
    re.DOTALL,
)


#: Kinds of tokens that are one item of a pattern.
_ITEMS = frozenset({"code", "name", "again", "number", "escape"})


class InvalidPattern(ValueError):
    """The pattern is not valid in the dialect."""


@dataclass
class _Group:
    multiline: bool = False
    ignores_case: bool = False
    repeats: bool = False
    is_around: bool = False


class PatternTranslator:
    """Translates one pattern, and finds repetitions within repetitions."""

    def __init__(self, pattern: str) -> None:
        self._pattern = pattern
        self._groups = [_Group()]
        self._captures = self._highest_reference = 0
        self._closed: _Group | None = None
        self._cost = PatternCost()
        #: Why the pattern could take unbounded time; set by `translate`.
        self.unbounded_reason: str | None = None

    def translate(self) -> str:
        """Return the pattern for `regex`; `InvalidPattern` if Rust does not accept it, or it is too large."""
        if (length := len(self._pattern)) > PATTERN_LENGTH_MAX:
            raise InvalidPattern(
                f"the pattern has {length} characters; at most {PATTERN_LENGTH_MAX} are allowed"
            )
        parts: list[str] = []
        at = 0
        while at < len(self._pattern):
            if self._pattern[at] == "[":
                start, ignores_case = at, self._groups[-1].ignores_case
                at, text = _character_class(self._pattern, start, ignores_case=ignores_case)
                self._cost.character_class(at - start)
                self._closed = None
            else:
                match = _TOKEN.match(self._pattern, at)
                if match is None:
                    raise InvalidPattern(f"{self._pattern!r} ends with a backslash")
                at, text = match.end(), self._token(match)
            parts.append(text)
        if self._highest_reference > self._captures:
            raise InvalidPattern(
                f"{self._pattern!r} refers to group {self._highest_reference}, which does not exist"
            )
        if error := self._cost.error:
            raise InvalidPattern(f"{self._pattern!r}: {error}")
        return "".join(parts)

    @property
    def size(self) -> int:
        """Items of the pattern with its repetitions written out; set by `translate`."""
        return self._cost.size

    def _token(self, match: "re.Match[str]") -> str:
        closed, self._closed = self._closed, None
        kind, text = match.lastgroup, match.group()
        if kind in _ITEMS:
            self._cost.item()
        match kind:
            case "code":
                return _character(match["code"])
            case "name" | "again":
                return f"(?P={GROUP_PREFIX}{match['name'] or match['again']})"
            case "comment":
                return ""
            case "number":
                self._highest_reference = max(self._highest_reference, int(match["number"]))
                return rf"\g<{int(match['number'])}>"
            case "escape":
                return _escape(match["escape"])
            case "flags":
                return self._flags(text)
            case "quoted":
                self._open()
                self._captures += 1
                return f"(?P<{GROUP_PREFIX}{match['quoted']}>"
            case "open":
                self._open()
                self._captures += text == "(" or text.startswith(("(?<", "(?P<"))
                return re.sub(r"<(\w+)>", rf"<{GROUP_PREFIX}\1>", text)
            case "around":
                self._open(is_around=True)
            case "repeat":
                self._repeat(text, closed)
            case "other":
                return self._other(text)
        return text

    def _open(self, *, is_around: bool = False) -> None:
        self._cost.open()
        self._groups.append(replace(self._groups[-1], repeats=False, is_around=is_around))

    def _other(self, text: str) -> str:
        if text in DOTTED and self._groups[-1].ignores_case:
            self._cost.item()
            return f"(?-i:{DOTTED[text]})"
        if text == "(":
            raise InvalidPattern(f"{self._pattern!r} has a group of an unknown kind")
        if text == "$":
            self._cost.item()
            return "$" if self._groups[-1].multiline else r"\Z"
        if text == ")" and len(self._groups) > 1:
            self._cost.close()
            self._closed = self._groups.pop()
            self._groups[-1].repeats |= self._closed.repeats
            return text
        self._cost.item()
        # `{` is a character here; `regex` would read {e<=2} as "with up to two errors".
        return r"\{" if text == "{" else text

    def _flags(self, text: str) -> str:
        on, _, off = text[2:-1].partition("-")
        if set(on + off) - set("imsxuU") or "u" in off:
            raise InvalidPattern(f"{self._pattern!r}: unknown flags {text!r}")
        if text.endswith(":"):
            self._open()
        if "x" in on:
            self._cost.verbose()
        group = self._groups[-1]
        group.multiline = "m" in on or (group.multiline and "m" not in off)
        group.ignores_case = "i" in on or (group.ignores_case and "i" not in off)
        on, off = (re.sub("[uU]", "", flags) for flags in (on, off))
        # Greediness does not change whether there is a match.
        kept = f"{on}-{off}" if off else on
        return f"(?{kept}{text[-1]}" if kept or text.endswith(":") else ""

    def _repeat(self, text: str, closed: _Group | None) -> None:
        if closed and closed.is_around:
            raise InvalidPattern(f"{self._pattern!r} repeats a look-around")
        bounds = [int(number) for number in re.findall("[0-9]+", text)]
        self._cost.repeat(max(bounds, default=1))
        if any(bound > REPEAT_MAX for bound in bounds):
            self.unbounded_reason = f"{self._pattern!r} repeats more than {REPEAT_MAX} times"
        if text[0] in "*+" or re.match(r"\{[0-9]+,\}", text):
            if closed and closed.repeats:
                self.unbounded_reason = f"{self._pattern!r} repeats a repetition without a bound"
            self._groups[-1].repeats = True


def _escape(escape: str) -> str:
    if escape in _ESCAPES:
        return _ESCAPES[escape]
    if escape[0] in _KNOWN_ESCAPES and not escape.startswith(("b{", "p{^", "P{^")):
        return f"\\{escape}"
    if escape[0].isascii() and escape[0].isalnum():
        raise InvalidPattern(f"unknown escape \\{escape}")
    return f"\\{escape}"


def _character(code: str) -> str:
    try:
        return re.escape(chr(int(code, 16)))
    except (ValueError, OverflowError) as error:
        raise InvalidPattern(f"character {code} does not exist") from error


def _character_class(pattern: str, start: int, *, ignores_case: bool) -> tuple[int, str]:
    """Return where the class that begins at `start` ends, and its translation."""
    parts: list[str] = []
    depth, at, is_first = 0, start, False
    while match := _CLASS_ITEM.match(pattern, at):
        text, at = match.group(), match.end()
        if match["posix"]:
            if depth and match["posix"] in _POSIX:
                negation = "^" if "^" in text else ""
                parts.append(f"[{negation}{_POSIX[match['posix']]}]")
                is_first = False
                continue
            text, at = "[", match.start() + 1
        if text in ("&&", "--", "~~") and (is_first or pattern.startswith("]", at)):
            raise InvalidPattern(f"{pattern!r}: {text} must be between two classes")
        if text == "[":
            depth, is_first = depth + 1, True
            if pattern[at : at + 1] == "^":
                text, at = "[^", at + 1
            parts.append(text)
            continue
        if text == "]" and not is_first:
            parts.append(text)
            depth -= 1
            if depth == 0:
                return at, _with_dotted("".join(parts), ignores_case)
            continue
        if text == "]" and pattern[at : at + 1] == "-":
            text, at = r"\]\-", at + 1
        parts.append(_class_item(match, text, pattern[at : at + 2]))
        is_first = False
    raise InvalidPattern(f"{pattern!r}: a class is not closed")


def _class_item(match: "re.Match[str]", text: str, following: str) -> str:
    if match["code"]:
        return _character(match["code"])
    if match["escape"]:
        return _class_escape(match["escape"], following)
    if following[:1] == "-" and re.match(r"-\\[dDsSwWpPhH]", following + match.string[match.end() + 2 :][:1]):
        raise InvalidPattern(f"{match.string!r}: a range cannot end with a class")
    return f"\\{text}" if text in ("]", "|") else text


def _class_escape(escape: str, following: str) -> str:
    if escape[0] in "dDsSwWpPhH" and following[:1] == "-" and following[1:] not in ("]", "-", ""):
        raise InvalidPattern(f"\\{escape} cannot begin a range")
    if escape in _ESCAPES_IN_CLASS:
        return _ESCAPES_IN_CLASS[escape]
    if escape[0] not in _KNOWN_IN_CLASS and escape[0].isascii() and escape[0].isalnum():
        raise InvalidPattern(f"unknown escape \\{escape} in a class")
    return f"\\{escape}"


def _with_dotted(text: str, ignores_case: bool) -> str:
    """Keep the letters İ and ı out of classes that do not name them: in Rust they are not forms of i."""
    if not ignores_case or "\\" in text or any(letter in text for letter in "İı"):
        return text
    return f"(?:(?-i:[İı])|{text})" if text.startswith("[^") else f"(?:(?!(?-i:[İı])){text})"
