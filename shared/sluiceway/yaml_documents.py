"""YAML as people mean it: the core schema of YAML 1.2, and an error for whatever could be misread.

PyYAML reads YAML 1.1, in which `NO` is false, `01067` is 567 and `20:30` is 1230. Here only `true`,
`false`, `null` and plain numbers are not text. A number that would lose what its author wrote (`01067`,
`1.10`, `5e10`) is refused with a request for quotes, and so are duplicate keys.

Source: https://yaml.org/spec/1.2.2/#103-core-schema
"""

import re
from collections.abc import Iterator
from typing import Any, NamedTuple

import yaml

from .contracts.json_depth import DEPTH_MAX
from .yaml_composer import NODES_MAX, compose_documents, error_at

#: Errors that are reported in one text.
ERRORS_MAX = 50
#: Errors that are noted in one document, of which those with the first lines are reported.
ERRORS_NOTED_MAX = 20 * ERRORS_MAX
#: Nobody means a longer number, and Python refuses to read more than 4,300 digits.
NUMBER_LENGTH_MAX = 400

_PREFIX = "tag:yaml.org,2002:"
_TAGS = {f"{_PREFIX}{name}" for name in ("null", "bool", "int", "float", "str", "seq", "map", "merge")}
#: What PyYAML calls a node with this tag; the other tags are for scalars.
_KINDS = {"seq": "sequence", "map": "mapping"}
_DOCUMENT_START = re.compile(r"---(\s|$)")
_SURROGATE = re.compile("[\ud800-\udfff]")
#: libyaml refuses surrogate escapes, which JSON is full of.
_SURROGATE_IN_SOURCE = re.compile(r"\\u[dD][89a-fA-F]|[\ud800-\udfff]")


class InvalidYaml(ValueError):
    """The text is not YAML, or could be misread; the message has all errors, with their lines."""


class YamlError(NamedTuple):
    """One error, and what to do about it. Lines count from 1; 0: the place is unknown."""

    line: int
    problem: str

    def __str__(self) -> str:
        return f"line {self.line}: {self.problem}" if self.line else self.problem


class YamlDocument(NamedTuple):
    """A document as JSON values, or its errors."""

    value: Any
    errors: tuple[YamlError, ...] = ()


def load_yaml(text: str) -> Any:
    """Return the only document of a text; None for an empty text. `InvalidYaml` if there are several."""
    documents = load_yaml_documents(text)
    if errors := [str(error) for document in documents for error in document.errors]:
        raise InvalidYaml("; ".join(errors))
    if len(documents) > 1:
        raise InvalidYaml(f"{len(documents)} documents; one is expected")
    return documents[0].value if documents else None


def load_yaml_documents(text: str) -> list[YamlDocument]:
    """Return each document of a text, in order: what is wrong with one says nothing about the others.

    After `ERRORS_MAX` errors the rest of the text is not read.
    """
    lines = text.splitlines(keepends=True)
    documents: list[YamlDocument] = []
    start: int | None = 0
    while start is not None:
        # The line breaks instead of what was read before keep the numbers of the lines.
        found, start = _load_from("\n" * start + "".join(lines[start:]), start)
        documents += found
        start = _next_start(lines, start) if _count(documents) < ERRORS_MAX else None
    return documents


def _load_from(text: str, start: int) -> tuple[list[YamlDocument], int | None]:
    """Return the documents of a text that begins at line `start`, and from where to look for more.

    Whoever reads YAML cannot go on after an error of its syntax, unless a new document begins.
    """
    documents: list[YamlDocument] = []
    loader: Any = None
    try:
        loader = (_PurePythonLoader if _SURROGATE_IN_SOURCE.search(text) else _FastLoader)(text)
        found_errors = 0
        for root in compose_documents(loader):
            documents.append(_document(loader, root))
            found_errors += len(documents[-1].errors)
            if found_errors >= ERRORS_MAX:
                break
    except yaml.MarkedYAMLError as error:
        found = _found(error)
        documents.append(YamlDocument(None, (found,)))
        return documents, max(found.line - 1, start + 1)
    except (yaml.YAMLError, RecursionError) as error:
        documents.append(YamlDocument(None, (YamlError(0, " ".join(str(error).split())),)))
    finally:
        if loader:
            loader.dispose()
    return documents, None


def _document(loader: Any, root: Any) -> YamlDocument:
    loader.errors = []
    try:
        _check_size(root)
        _check_nodes(loader, root)
        value = loader.construct_document(root)
    except yaml.MarkedYAMLError as error:
        loader.errors.append(_found(error))
        value = None
    return YamlDocument(value, tuple(sorted(dict.fromkeys(loader.errors))[:ERRORS_MAX]))


def _count(documents: list[YamlDocument]) -> int:
    return sum(len(document.errors) for document in documents)


def _next_start(lines: list[str], start: int | None) -> int | None:
    """Return the first line from `start` on that begins a document, whatever stands before it."""
    if start is None:
        return None
    return next((n for n in range(start, len(lines)) if _DOCUMENT_START.match(lines[n])), None)


def _found(error: yaml.MarkedYAMLError) -> YamlError:
    mark = error.problem_mark or error.context_mark
    return YamlError(mark.line + 1 if mark else 0, error.problem or error.context or "invalid YAML")


def dump_yaml(value: Any) -> str:
    """Return YAML that is read back as exactly this JSON value, by the core schema and by YAML 1.1.

    PyYAML writes some Unicode line breaks unescaped, and reads them back as spaces.
    """
    text = yaml.dump(value, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=100)
    if load_yaml(text) == value:
        return text
    return yaml.dump(value, Dumper=_Dumper, sort_keys=False, width=100)


class _Dumper(yaml.SafeDumper):
    """Quotes a text that one of the two schemas would read as something else; repeats instead of aliases."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


class _FastLoader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """libyaml's parser, if PyYAML was built with it."""

    #: Of the current document.
    errors: list[YamlError]


class _PurePythonLoader(yaml.SafeLoader):
    """PyYAML's own parser, which takes surrogate escapes."""

    errors: list[YamlError]


def _construct_mapping(loader: Any, node: Any) -> Iterator[dict[str, Any]]:
    """Yield a mapping, then fill it, as PyYAML asks for. Its keys were checked before."""
    mapping: dict[str, Any] = {}
    yield mapping
    loader.flatten_mapping(node)
    for key, value in node.value:
        content = loader.construct_object(value, deep=True)
        if isinstance(key, yaml.ScalarNode):
            mapping[str(loader.construct_object(key))] = content


def _construct_text(loader: Any, node: Any) -> str:
    """Return a text with its surrogate pairs joined; report half of a pair."""
    text = _join_surrogates(node.value)
    if _SURROGATE.search(text):
        _report(loader, node, "half of a surrogate pair (\\ud83d without its second half)")
        return ""
    return text


def _join_surrogates(text: str) -> str:
    """Return a text with each surrogate pair as one character; halves are left as they are."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "surrogatepass")


def _construct_int(loader: Any, node: Any) -> int:
    text: str = node.value
    if len(text) > NUMBER_LENGTH_MAX:
        _report(loader, node, f"a number of {len(text)} characters; quote it if it is text")
        return 0
    if text.startswith(("0x", "0o")):
        _report(loader, node, f"{text} is a number; write {int(text, 0)}, or quote it: {text!r}")
        return 0
    if str(int(text)) != text:
        _report(loader, node, f"{text} would be read as {int(text)}; quote it if it is text: {text!r}")
    return int(text)


def _construct_float(loader: Any, node: Any) -> float:
    text: str = node.value
    if text.lstrip("+-").lower() in (".inf", ".nan"):
        _report(loader, node, f"{text} does not exist in JSON")
        return 0.0
    if repr(float(text)) != text:
        _report(loader, node, f"{text} would be read as {float(text)!r}; quote it if it is text: {text!r}")
    return float(text)


_RESOLVERS = (
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("bool", r"true|True|TRUE|false|False|FALSE", list("tTfF")),
    ("int", r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+", list("-+0123456789")),
    (
        "float",
        r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)",
        list("-+0123456789."),
    ),
    ("merge", r"<<", ["<"]),
)
_PATTERNS = {f"{_PREFIX}{name}": re.compile(pattern) for name, pattern, _ in _RESOLVERS}
_CONSTRUCTORS = {
    "map": _construct_mapping,
    "str": _construct_text,
    "merge": _construct_text,
    "int": _construct_int,
    "float": _construct_float,
}
for _name, _pattern, _first in _RESOLVERS:
    _Dumper.add_implicit_resolver(f"{_PREFIX}{_name}", re.compile(f"^(?:{_pattern})$"), _first)
_Dumper.add_representer(float, lambda dumper, value: dumper.represent_scalar(f"{_PREFIX}float", repr(value)))
for _loader in (_FastLoader, _PurePythonLoader):
    _loader.yaml_implicit_resolvers = {}
    for _name, _pattern, _first in _RESOLVERS:
        _loader.add_implicit_resolver(f"{_PREFIX}{_name}", re.compile(f"^(?:{_pattern})$"), _first)
    for _name, _constructor in _CONSTRUCTORS.items():
        _loader.add_constructor(f"{_PREFIX}{_name}", _constructor)


def _check_nodes(loader: Any, root: Any) -> None:
    """Check the tag of each node, and the keys of each mapping.

    This comes before the construction, which replaces merge keys by what they stand for: after that, a
    field that is overridden would look like a duplicate.
    """
    checked: set[int] = set()
    stack = [root]
    while stack:
        node = stack.pop()
        if id(node) not in checked:
            checked.add(id(node))
            _check_tag(node)
            if isinstance(node, yaml.MappingNode):
                _check_keys(loader, node)
            stack += _children(node)


def _check_tag(node: Any) -> None:
    """Raise an error for a tag that is unknown, or does not fit what it stands before."""
    name = node.tag.removeprefix(_PREFIX)
    if node.tag not in _TAGS:
        raise error_at(node, f"unknown tag {node.tag!r}; leave it out")
    if node.id != _KINDS.get(name, "scalar"):
        raise error_at(node, f"the tag !!{name} does not fit a {node.id}; leave it out")
    pattern = _PATTERNS.get(node.tag)
    if pattern and not pattern.fullmatch(node.value):
        raise error_at(node, f"{node.value[:NUMBER_LENGTH_MAX]!r} is not a valid !!{name}; leave the tag out")


def _check_keys(loader: Any, node: Any) -> None:
    """Report each key that is duplicate, or not text. A merge key may stand beside a quoted '<<'."""
    lines: dict[tuple[str, str], int] = {}
    for key, _ in node.value:
        if key.tag not in (f"{_PREFIX}str", f"{_PREFIX}merge") or not isinstance(key, yaml.ScalarNode):
            shown = key.value if isinstance(key, yaml.ScalarNode) else "of a mapping or list"
            _report(loader, key, f"the key {shown} is not text; quote it")
            continue
        text = _join_surrogates(key.value)
        if first := lines.get((key.tag, text)):
            _report(loader, key, f"duplicate key {text!r} (first at line {first})")
        else:
            lines[key.tag, text] = key.start_mark.line + 1


def _check_size(root: Any) -> None:
    """Raise an error for a document that is too deep or too large, aliases written out, or holds itself."""
    sizes: dict[int, int] = {}
    open_: set[int] = set()
    stack = [(root, 1, False)]
    while stack:
        node, depth, is_left = stack.pop()
        if is_left:
            open_.discard(id(node))
            sizes[id(node)] = 1 + sum(sizes[id(child)] for child in _children(node))
            if sizes[id(node)] > NODES_MAX:
                raise error_at(node, f"more than {NODES_MAX} values; split the document")
        elif id(node) in open_:
            raise error_at(node, "an alias refers to what contains it")
        elif depth > DEPTH_MAX:
            raise error_at(node, f"nested more than {DEPTH_MAX} levels deep")
        elif id(node) not in sizes:
            open_.add(id(node))
            stack.append((node, depth, True))
            stack += [(child, depth + 1, False) for child in _children(node)]


def _children(node: Any) -> list[Any]:
    match node:
        case yaml.MappingNode():
            return [child for pair in node.value for child in pair]
        case yaml.SequenceNode():
            return list(node.value)
        case _:
            return []


def _report(loader: Any, node: Any, problem: str) -> None:
    """Note an error of the current document, which is read on: one attempt shows the first ones of a kind."""
    if len(loader.errors) < ERRORS_NOTED_MAX:
        loader.errors.append(YamlError(node.start_mark.line + 1, problem))
