"""YAML as people mean it: the core schema of YAML 1.2, and an error for whatever could be misread.

PyYAML reads YAML 1.1, in which `NO` is false, `01067` is 567 and `20:30` is 1230. Here only `true`,
`false`, `null` and plain numbers are not text. A number that would lose what its author wrote (`01067`,
`1.10`, `5e10`) is refused with a request for quotes, and so are duplicate keys.

Source: https://yaml.org/spec/1.2.2/#103-core-schema
"""

import re
from collections.abc import Iterator
from typing import Any

import yaml

#: Levels of nesting; the official SDKs fail somewhere past 125.
DEPTH_MAX = 120
#: Values in one document, aliases written out.
NODES_MAX = 200_000

_PREFIX = "tag:yaml.org,2002:"
_TAGS = {f"{_PREFIX}{name}" for name in ("null", "bool", "int", "float", "str", "seq", "map", "merge")}
_SURROGATE = re.compile("[\ud800-\udfff]")
#: libyaml refuses surrogate escapes, which JSON is full of.
_SURROGATE_ESCAPE = re.compile(r"\\u[dD][89a-fA-F]")


class InvalidYaml(ValueError):
    """The text is not YAML, or could be misread; the message has the line, and says what to do."""


def load_yaml(text: str) -> Any:
    """Return the only document of a text; None for an empty text. `InvalidYaml` if there are several."""
    documents = list(load_yaml_documents(text))
    if len(documents) > 1:
        raise InvalidYaml(f"{len(documents)} documents; one is expected")
    return documents[0] if documents else None


def load_yaml_documents(text: str) -> Iterator[Any]:
    """Yield each document of a text as JSON values, in order. `InvalidYaml` at the first error."""
    loader = (_PurePythonLoader if _SURROGATE_ESCAPE.search(text) else _FastLoader)(text)
    try:
        while loader.check_node():
            node = loader.get_node()
            _check_size(node)
            yield loader.construct_document(node)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = f"line {mark.line + 1}: " if mark else ""
        raise InvalidYaml(f"{line}{error.problem or error.context or 'invalid YAML'}") from error
    except (yaml.YAMLError, RecursionError) as error:
        raise InvalidYaml(" ".join(str(error).split())) from error
    finally:
        loader.dispose()


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


class _PurePythonLoader(yaml.SafeLoader):
    """PyYAML's own parser, which takes surrogate escapes."""


def _construct_mapping(loader: Any, node: Any) -> Iterator[dict[str, Any]]:
    """Yield a mapping, then fill it, as PyYAML asks for; raise for keys that are duplicate or not text."""
    _check_keys(node)
    mapping: dict[str, Any] = {}
    yield mapping
    loader.flatten_mapping(node)
    mapping.update(
        (loader.construct_object(key), loader.construct_object(value, deep=True)) for key, value in node.value
    )


def _construct_text(loader: Any, node: Any) -> str:
    """Return a text with its surrogate pairs joined."""
    text = str(node.value)
    if not _SURROGATE.search(text):
        return text
    try:
        return text.encode("utf-16", "surrogatepass").decode("utf-16")
    except UnicodeDecodeError:
        raise _error(node, "half of a surrogate pair (\\ud83d without its second half)") from None


def _construct_int(loader: Any, node: Any) -> int:
    text: str = node.value
    if text.startswith(("0x", "0o")):
        raise _error(node, f"{text} is a number; write {int(text, 0)}, or quote it: {text!r}")
    if str(int(text)) != text:
        raise _error(node, f"{text} would be read as {int(text)}; quote it if it is text: {text!r}")
    return int(text)


def _construct_float(loader: Any, node: Any) -> float:
    text: str = node.value
    if text.lstrip("+-").lower() in (".inf", ".nan"):
        raise _error(node, f"{text} does not exist in JSON")
    if repr(float(text)) != text:
        raise _error(node, f"{text} would be read as {float(text)!r}; quote it if it is text: {text!r}")
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
_CONSTRUCTORS = {
    "map": _construct_mapping,
    "str": _construct_text,
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


def _check_keys(node: Any) -> None:
    """Raise an error for a duplicate key, or for one that is not text."""
    lines: dict[str, int] = {}
    for key, _ in node.value:
        if key.tag == f"{_PREFIX}merge":
            continue
        if key.tag != f"{_PREFIX}str":
            raise _error(key, f"the key {key.value} is not text; quote it")
        if key.value in lines:
            raise _error(key, f"duplicate key {key.value!r} (first at line {lines[key.value]})")
        lines[key.value] = key.start_mark.line + 1


def _check_size(root: Any) -> None:
    """Raise an error for a document that is too deep or too large, aliases written out, or holds itself."""
    sizes: dict[int, int] = {}
    open_: set[int] = set()
    stack = [(root, 1, False)]
    while stack:
        node, depth, is_left = stack.pop()
        children = _children(node)
        if is_left:
            open_.discard(id(node))
            sizes[id(node)] = 1 + sum(sizes[id(child)] for child in children)
            if sizes[id(node)] > NODES_MAX:
                raise _error(node, f"more than {NODES_MAX} values; split the document")
        elif id(node) in open_:
            raise _error(node, "an alias refers to what contains it")
        elif depth > DEPTH_MAX:
            raise _error(node, f"nested more than {DEPTH_MAX} levels deep")
        elif id(node) not in sizes:
            if node.tag not in _TAGS:
                raise _error(node, f"unknown tag {node.tag!r}; leave it out")
            open_.add(id(node))
            stack.append((node, depth, True))
            stack += [(child, depth + 1, False) for child in children]


def _children(node: Any) -> list[Any]:
    match node:
        case yaml.MappingNode():
            return [child for pair in node.value for child in pair]
        case yaml.SequenceNode():
            return list(node.value)
        case _:
            return []


def _error(node: Any, problem: str) -> yaml.MarkedYAMLError:
    return yaml.MarkedYAMLError(problem=problem, problem_mark=node.start_mark)
