"""Reads the pickles of the official CIFAR archives without unpickling anything.

A pickle is a program for a small stack machine, and Python's own reader lets that program call any function. Here
`pickletools` of the standard library only splits the file into its instructions, which executes nothing, and `read`
goes through them with a stack of its own. It knows the few instructions that build lists, dicts, text, bytes, whole
numbers and NumPy arrays; each other one, and each name of anything else than those arrays, ends in an error.
"""

import math
import pickletools
import re
from collections.abc import Callable
from typing import Any

import numpy as np

from dynsim.bridge.data.images import DataError

MOST_ITEMS = 10_000_000  # instructions in a file; the longest official one has about 200,000
RECONSTRUCT = {"numpy.core.multiarray _reconstruct", "numpy._core.multiarray _reconstruct"}
NAMES = {name: "array" for name in RECONSTRUCT} | {"numpy ndarray": "ndarray", "numpy dtype": "dtype"}
NAMES |= {"_codecs encode": "encode"}  # how Python 3 writes bytes in the older formats
DTYPE = re.compile(r"[|<>=]?[uif][1248]|[|]?b1")
VALUES = (list, dict, str, bytes, int, np.ndarray)
INTEGERS = {"BININT", "BININT1", "BININT2", "LONG1", "LONG4"}
TEXTS = {"BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8"}
BYTES = {"BINBYTES", "SHORT_BINBYTES", "BINBYTES8"}
OLD_TEXTS = {"BINSTRING", "SHORT_BINSTRING"}  # the bytes of Python 2, of which pickletools makes Latin-1 text
CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
EMPTY: dict[str, Callable[[], Any]] = {"EMPTY_LIST": list, "EMPTY_DICT": dict, "EMPTY_TUPLE": tuple}
TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}


class _Name:
    """A function or class that the file names; it stands for itself and is never looked up."""

    def __init__(self, kind: str) -> None:
        self.kind = kind


class _Mark:
    """Where the items of a list, dict or tuple begin on the stack."""


class _Draft:
    """An array or the type of one, which the file makes first and fills in later."""

    def __init__(self, kind: str, code: str = "") -> None:
        self.kind, self.code = kind, code
        self.value: Any = None


def read(data: bytes, where: str) -> Any:
    """Return the list, dict, text, bytes, whole number or array in a pickle.

    Text written by Python 2 comes back as bytes.

    Args:
        data: content of the file.
        where: the file, which begins the message of an error.

    Errors: `DataError` in one line for anything that is not such a value, or a damaged file. Nothing has been executed.
    """
    machine = _Machine()
    position = 0
    try:
        for count, (opcode, argument, place) in enumerate(pickletools.genops(data)):
            position = place or 0
            if count > MOST_ITEMS:
                raise ValueError(f"more than {MOST_ITEMS:,} instructions")
            machine.do(opcode.name, argument)
        return machine.result()
    except (ValueError, IndexError, KeyError, TypeError, OverflowError, MemoryError) as error:
        reason = " ".join(str(error).split())[:120] or type(error).__name__
        raise DataError(
            f"{where}: wanted a pickle of lists, dicts, text, whole numbers and arrays only, got {reason} (byte"
            f" {position:,}); nothing in it was executed; use the official archive"
        ) from None


class _Machine:
    """The stack and the memo of one pickle."""

    def __init__(self) -> None:
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}

    def do(self, name: str, argument: Any) -> None:
        """Carry out one instruction. Errors: `ValueError` for one that is not known here."""
        if name in {"PROTO", "FRAME", "STOP"}:
            return
        if name in INTEGERS | TEXTS | BYTES:
            self.stack.append(argument)
        elif name in OLD_TEXTS:
            self.stack.append(argument.encode("latin-1"))
        elif name in CONSTANTS:
            self.stack.append(CONSTANTS[name])
        elif name in EMPTY:
            self.stack.append(EMPTY[name]())
        elif name in TUPLES:
            self.stack.append(tuple(self.take(TUPLES[name])))
        elif name == "MARK":
            self.stack.append(_Mark())
        elif name in {"BINPUT", "LONG_BINPUT", "MEMOIZE"}:
            self.memo[len(self.memo) if argument is None else argument] = self.stack[-1]
        elif name in {"BINGET", "LONG_BINGET"}:
            self.stack.append(_filled(self.memo[argument]))
        elif name in _ACTIONS:
            _ACTIONS[name](self, argument)
        else:
            raise ValueError(f"the instruction {name}")

    def take(self, n: int) -> list[Any]:
        """Remove and return the `n` last values of the stack."""
        if n > len(self.stack) or any(isinstance(value, _Mark) for value in self.stack[-n:]):
            raise ValueError("an instruction without its values")
        taken, self.stack[-n:] = self.stack[-n:], []
        return [_filled(value) for value in taken]

    def take_marked(self) -> list[Any]:
        """Remove the values down to the last mark and return them."""
        place = next((i for i in reversed(range(len(self.stack))) if isinstance(self.stack[i], _Mark)), None)
        if place is None:
            raise ValueError("items without a beginning")
        taken, self.stack[place:] = self.stack[place + 1 :], []
        return [_filled(value) for value in taken]

    def result(self) -> Any:
        """Return the one value that is left at the end."""
        if len(self.stack) != 1:
            raise ValueError(f"{len(self.stack)} values at the end")
        return _plain(self.take(1)[0])

    def extend(self, items: list[Any]) -> None:
        """Append items to the list on the stack."""
        self.on_top(list).extend(_plain(item) for item in items)

    def update(self, items: list[Any]) -> None:
        """Put keys and values, in turns, into the dict on the stack."""
        keys, values = items[::2], items[1::2]
        if not all(isinstance(key, (str, bytes, int)) for key in keys):
            raise ValueError("a dict with keys that are neither text nor numbers")
        self.on_top(dict).update(zip(keys, map(_plain, values), strict=True))

    def on_top(self, kind: type) -> Any:
        """Return the last value of the stack, which must be of this kind."""
        if not isinstance(self.stack[-1], kind):
            raise ValueError(f"items for something that is no {kind.__name__}")
        return self.stack[-1]

    def name(self, full: str) -> None:
        """Put a name on the stack: one of those in `NAMES` only."""
        if full not in NAMES:
            raise ValueError(f"the name {full.replace(' ', '.')}")
        self.stack.append(_Name(NAMES[full]))

    def call(self) -> None:
        """Make what a name and its arguments stand for: an array, the type of one, or bytes."""
        function, arguments = self.take(2)
        kind = function.kind if isinstance(function, _Name) else "no name"
        match kind, arguments:
            case "array", (_Name(kind="ndarray"), (0,), b"b" | "b"):
                self.stack.append(_Draft("array"))
            case "dtype", (code, *_):
                code = code.decode("ascii") if isinstance(code, bytes) else code
                if not isinstance(code, str) or not DTYPE.fullmatch(code):
                    raise ValueError("an array of something else than numbers")
                self.stack.append(_Draft("dtype", code))
            case "encode", (str(text), "latin1" | "latin-1"):
                self.stack.append(text.encode("latin-1"))
            case _:
                raise ValueError("a call of something that is no array")

    def build(self) -> None:
        """Fill in an array or the type of one."""
        draft, state = self.take(2)
        match draft, state:
            case _Draft(kind="dtype"), (_, order, None, None, None, -1, -1, *_):
                order = order.decode("ascii") if isinstance(order, bytes) else order
                if order not in ("|", "<", ">", "="):
                    raise ValueError("an array of something else than numbers")
                draft.code = order + draft.code.lstrip("|<>=")
            case _Draft(kind="array", value=None), (_, tuple(shape), _Draft(kind="dtype", code=code), by_column, raw):
                draft.value = _array(shape, code, by_column, raw)
            case _:
                raise ValueError("a state of something that is no array")
        self.stack.append(_filled(draft))


def _array(shape: tuple[Any, ...], code: str, by_column: Any, raw: Any) -> np.ndarray:
    """Return the array with this shape, type and content."""
    dtype = np.dtype(code)
    if not isinstance(raw, bytes) or not all(isinstance(size, int) and size >= 0 for size in shape):
        raise ValueError("an array without its bytes")
    if math.prod(shape) * dtype.itemsize != len(raw):
        raise ValueError(f"{len(raw):,} bytes for an array of shape {shape}")
    return np.frombuffer(raw, dtype).reshape(shape, order="F" if by_column else "C")


def _filled(value: Any) -> Any:
    """Return the array of a draft that has been filled in; any other value as it is."""
    return value.value if isinstance(value, _Draft) and value.value is not None else value


def _plain(value: Any) -> Any:
    """Return a value if it is of a kind that the result may hold."""
    if not isinstance(value, VALUES):
        raise ValueError(f"a value of another kind ({type(value).__name__.lstrip('_').lower()})")
    return value


_ACTIONS: dict[str, Callable[[_Machine, Any], None]] = {
    "TUPLE": lambda machine, _: machine.stack.append(tuple(machine.take_marked())),
    "APPEND": lambda machine, _: machine.extend(machine.take(1)),
    "APPENDS": lambda machine, _: machine.extend(machine.take_marked()),
    "SETITEM": lambda machine, _: machine.update(machine.take(2)),
    "SETITEMS": lambda machine, _: machine.update(machine.take_marked()),
    "GLOBAL": lambda machine, name: machine.name(name),
    "STACK_GLOBAL": lambda machine, _: machine.name(" ".join(map(str, machine.take(2)))),
    "REDUCE": lambda machine, _: machine.call(),
    "BUILD": lambda machine, _: machine.build(),
}
