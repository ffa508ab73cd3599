"""Nodes of a YAML document from the events of a parser, however deep the text is.

PyYAML's own composers call themselves for each level: libyaml's ends the process if a text has some ten
thousand. This one keeps a stack, and stops as soon as a document is too deep or too large.
"""

from collections.abc import Iterator
from typing import Any

import yaml

from .contracts.json_depth import DEPTH_MAX

#: Values in one document, aliases written out.
NODES_MAX = 200_000


def compose_documents(loader: Any) -> Iterator[Any]:
    """Yield the root of each document; raises `yaml.MarkedYAMLError` for one that is invalid or too large."""
    while not isinstance(event := loader.get_event(), yaml.StreamEndEvent):
        if isinstance(event, yaml.DocumentStartEvent):
            yield _Composer(loader).document()


def error_at(node: Any, problem: str) -> yaml.MarkedYAMLError:
    """Return an error at the start of a node or event."""
    return yaml.MarkedYAMLError(problem=problem, problem_mark=node.start_mark)


class _Composer:
    """Composes one document."""

    def __init__(self, loader: Any) -> None:
        self._loader = loader
        self._anchors: dict[str, Any] = {}
        #: The collections that are open, each with the values that it has so far.
        self._open: list[tuple[Any, list[Any]]] = []
        self._count = 0

    def document(self) -> Any:
        """Return the root of the document, whose start was read."""
        root = None
        while not isinstance(event := self._loader.get_event(), yaml.DocumentEndEvent):
            node = self._node(event)
            if node is None:
                continue
            if self._open:
                self._open[-1][1].append(node)
            else:
                root = node
        return root

    def _node(self, event: Any) -> Any:
        """Return the node that an event completes; None if it only begins one."""
        match event:
            case yaml.AliasEvent():
                if event.anchor not in self._anchors:
                    raise error_at(event, f"found undefined alias {event.anchor!r}")
                return self._anchors[event.anchor]
            case yaml.ScalarEvent():
                tag = self._tag(yaml.ScalarNode, event, event.value)
                return self._added(
                    yaml.ScalarNode(tag, event.value, event.start_mark, event.end_mark, event.style),  # type: ignore[arg-type]
                    event,
                )
            case yaml.SequenceStartEvent():
                self._begin(yaml.SequenceNode, event)
            case yaml.MappingStartEvent():
                self._begin(yaml.MappingNode, event)
            case yaml.CollectionEndEvent():
                return self._end(event)
        return None

    def _begin(self, kind: Any, event: Any) -> None:
        if len(self._open) >= DEPTH_MAX:
            raise error_at(event, f"nested more than {DEPTH_MAX} levels deep")
        node = kind(self._tag(kind, event, None), [], event.start_mark, None, event.flow_style)
        self._open.append((self._added(node, event), []))

    def _end(self, event: Any) -> Any:
        node, values = self._open.pop()
        node.end_mark = event.end_mark
        is_mapping = isinstance(node, yaml.MappingNode)
        node.value = list(zip(values[::2], values[1::2], strict=True)) if is_mapping else values
        return node

    def _added(self, node: Any, event: Any) -> Any:
        self._count += 1
        if self._count > NODES_MAX:
            raise error_at(event, f"more than {NODES_MAX} values; split the document")
        if event.anchor is not None:
            if event.anchor in self._anchors:
                raise error_at(event, f"found duplicate anchor {event.anchor!r}")
            self._anchors[event.anchor] = node
        return node

    def _tag(self, kind: Any, event: Any, value: str | None) -> str:
        if event.tag is None or event.tag == "!":
            return str(self._loader.resolve(kind, value, event.implicit))
        return str(event.tag)
