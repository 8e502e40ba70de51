"""JSON Patch (RFC 6902).

The `jsonpatch` library makes the changes. What it leaves open is decided before it is called: whether the whole
patch is well-formed, what an array index may look like, and that 1 is not true.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from copy import deepcopy
from typing import Final, NoReturn

import jsonpatch
import jsonpointer
import msgspec
from msgspec import Struct

from patchwire.delivery.json_values import ContentRefusedError, Fault, Json, equal

MAX_COPIED: Final = 16_777_216
"""Bytes that the `copy` operations of one patch may add: copying the root into itself doubles it each time."""

_array_index = re.compile(r"0|[1-9][0-9]{0,17}").fullmatch
_CHANGES: Final[Mapping[str, type[jsonpatch.PatchOperation]]] = {
    "add": jsonpatch.AddOperation,
    "remove": jsonpatch.RemoveOperation,
    "replace": jsonpatch.ReplaceOperation,
    "copy": jsonpatch.CopyOperation,
}


class _Operation(Struct, frozen=True):
    """One operation, known to be well-formed. `path` and `source` are the unescaped reference tokens."""

    name: str
    path: tuple[str, ...]
    source: tuple[str, ...]
    members: dict[str, Json]


def json_patch(document: Json, operations: Json) -> Json:
    """A new document with all `operations` applied in order (RFC 6902); the arguments stay as they are.

    Raises ContentRefusedError, and then nothing is applied (section 5). A malformed operation is found before the
    first one is applied, wherever it stands.
    """
    if not isinstance(operations, list):
        raise ContentRefusedError(Fault.MALFORMED, "a JSON Patch document is an array (RFC 6902 section 3)")
    checked = [_operation(index, members) for index, members in enumerate(operations)]
    result = deepcopy(document)
    copied = 0
    for index, operation in enumerate(checked):
        try:
            copied += _check_place(result, operation)
            if copied > MAX_COPIED:
                _refuse(Fault.NOT_APPLICABLE, f"this patch copies more than {MAX_COPIED} bytes")
            if operation.name == "move":
                result = _moved(result, operation)
            elif operation.name != "test":
                result = _CHANGES[operation.name](operation.members).apply(result)
        except _OperationError as error:
            raise ContentRefusedError(error.fault, error.detail, index) from None
    return result


class _OperationError(Exception):
    """A fault of an operation whose index the raiser does not know."""

    def __init__(self, fault: Fault, detail: str) -> None:
        super().__init__(detail)
        self.fault = fault
        self.detail = detail


def _refuse(fault: Fault, detail: str) -> NoReturn:
    raise _OperationError(fault, detail)


def _operation(index: int, members: Json) -> _Operation:
    """The operation, well-formed on its own (RFC 6902 sections 3 and 4). Members it does not need are left out."""
    try:
        if not isinstance(members, dict):
            _refuse(Fault.MALFORMED, "an operation is an object")
        name = members.get("op")
        if not isinstance(name, str) or name not in (*_CHANGES, "move", "test"):
            _refuse(Fault.MALFORMED, f"'op' must be one of {', '.join(_CHANGES)}, move, test")
        needed: dict[str, Json] = {"op": name, "path": members.get("path")}
        path = _tokens(members, "path")
        source: tuple[str, ...] = ()
        if name in ("move", "copy"):
            source = _tokens(members, "from")
            needed["from"] = members["from"]
        elif name != "remove":
            if "value" not in members:
                _refuse(Fault.MALFORMED, f"{name!r} needs a 'value'")
            # Later operations may change what this one has put into the document.
            needed["value"] = deepcopy(members["value"])
    except _OperationError as error:
        raise ContentRefusedError(error.fault, error.detail, index) from None
    return _Operation(name, path, source, needed)


def _tokens(members: dict[str, Json], name: str) -> tuple[str, ...]:
    pointer = members.get(name)
    if not isinstance(pointer, str):
        _refuse(Fault.MALFORMED, f"{name!r} must be a JSON Pointer")
    try:
        return tuple(jsonpointer.JsonPointer(pointer).parts)
    except jsonpointer.JsonPointerException as error:
        _refuse(Fault.MALFORMED, f"{name!r} is no JSON Pointer (RFC 6901 section 3): {error}")


def _check_place(document: Json, operation: _Operation) -> int:
    """How many bytes the operation will copy; _OperationError where the document has no place for it."""
    name, path = operation.name, operation.path
    if name == "test":
        _check_test(document, operation)
        return 0
    if name == "copy":
        copied = _value_at(document, operation.source)
        _check_target(document, path)
        return len(msgspec.json.encode(copied))
    if name == "add":
        _check_target(document, path)
    elif name in ("remove", "replace"):
        if name == "remove" and not path:
            _refuse(Fault.NOT_APPLICABLE, "the whole document cannot be removed")
        _value_at(document, path)
    return 0


def _moved(document: Json, operation: _Operation) -> Json:
    """The document after a move: a removal, then an addition to what that leaves (RFC 6902 section 4.4)."""
    source, path = operation.source, operation.path
    value = _value_at(document, source)
    if path == source:
        return document
    if path[: len(source)] == source:
        _refuse(Fault.NOT_APPLICABLE, "a value cannot move into one of its children (RFC 6902 section 4.4)")
    members = operation.members
    left: Json = jsonpatch.RemoveOperation({"op": "remove", "path": members["from"]}).apply(document)
    _check_target(left, path)
    result: Json = jsonpatch.AddOperation({"op": "add", "path": members["path"], "value": value}).apply(left)
    return result


def _check_test(document: Json, operation: _Operation) -> None:
    try:
        found = _value_at(document, operation.path)
    except _OperationError as error:
        _refuse(Fault.TEST_FAILED, error.detail)
    if not equal(found, operation.members["value"]):
        _refuse(Fault.TEST_FAILED, f"{_pointer(operation.path)} holds another value")


def _check_target(document: Json, path: tuple[str, ...]) -> None:
    """Where a value may be added: to an object, or into an array up to its end; `-` is the end (section 4.1)."""
    if not path:
        return
    container = _value_at(document, path[:-1])
    if isinstance(container, list):
        if path[-1] != "-" and _index(path, path[-1]) > len(container):
            _refuse(Fault.NOT_APPLICABLE, f"{_pointer(path)} lies beyond the end of its array")
    elif not isinstance(container, dict):
        _refuse(Fault.NOT_APPLICABLE, f"{_pointer(path[:-1])} is neither object nor array")


def _value_at(document: Json, path: tuple[str, ...]) -> Json:
    """What the pointer refers to (RFC 6901 section 4); _OperationError where that does not exist."""
    for token in path:
        if isinstance(document, dict) and token in document:
            document = document[token]
        elif isinstance(document, list) and _index(path, token) < len(document):
            document = document[_index(path, token)]
        else:
            _refuse(Fault.NOT_APPLICABLE, f"{_pointer(path)} does not exist")
    return document


def _index(path: tuple[str, ...], token: str) -> int:
    if not _array_index(token):
        _refuse(Fault.NOT_APPLICABLE, f"{_pointer(path)}: {token!r} is no index of an existing element")
    return int(token)


def _pointer(path: tuple[str, ...]) -> str:
    return "the root" if not path else str(jsonpointer.JsonPointer.from_parts(path).path)
