"""Help texts: the docstring below a field of an option class becomes the help of its option, as running text.

The class is told by `Field.metadata`, where tyro looks first. Left to itself tyro would keep the line breaks of the
source, which are in odd places once the terminal has another width.
"""

import ast
import dataclasses
import functools
import inspect
import itertools
import re
import shutil
import textwrap
import types
import typing
from collections.abc import Mapping
from typing import Any

MOST_USED = {
    "data.minority_ratio": "frequency of rare (minority) features, others at 1",
    "data.n_features": "number of features",
    "encoder.n_neurons": "number of neurons",
    "train.n_steps": "training steps",
    "loss.temperature": "temperature of the contrastive loss",
    "prune.kind": "what is masked while training",
    "prune.rate": "share that is masked",
}
"""The settings of a configuration that are changed most often, in a few words."""


@functools.cache
def attribute_docs(kind: type) -> Mapping[str, str]:
    """Return the docstrings below the fields of a class and of its bases, each as running text.

    Lines that begin with a dash stay lines of their own. The source of a class is read once: that takes longest of all
    that happens between the command line and the options.
    """
    found: dict[str, str] = {}
    for one in kind.__mro__[:-1]:
        try:
            body = ast.parse(textwrap.dedent(inspect.getsource(one))).body[0]
        except (OSError, TypeError, SyntaxError):  # made while the program runs: it has no source
            continue
        statements = body.body if isinstance(body, ast.ClassDef) else []
        for field, below in itertools.pairwise(statements):
            if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name) and isinstance(below, ast.Expr):
                text = below.value.value if isinstance(below.value, ast.Constant) else None
                if isinstance(text, str):
                    found.setdefault(field.target.id, running_text(text))
    return types.MappingProxyType(found)


def running_text(text: str) -> str:
    """Return a text without the line breaks of its source, except before a line that begins with a dash."""
    return re.sub(r"\s*\n\s*(?!\s*- )", " ", re.sub(r"\s*\n\s*- ", "\n- ", inspect.cleandoc(text)))


def set_help(kind: type) -> None:
    """Give every field of a dataclass, and of the dataclasses in it, its docstring as help text.

    A field that holds a dataclass and has no docstring takes that of the dataclass. Where every field has a text, tyro
    reads no source.
    """
    docs = attribute_docs(kind)
    hints = typing.get_type_hints(kind)
    for field in dataclasses.fields(kind):
        text = docs.get(field.name)
        if isinstance(inner := hints[field.name], type) and dataclasses.is_dataclass(inner):
            set_help(inner)
            text = text or inspect.getdoc(inner)
        if text is not None:
            field.metadata = types.MappingProxyType({**field.metadata, "help": text})


def preset_text(presets: Mapping[str, str]) -> str:
    """Return the help of --preset: what each one runs and how long it takes."""
    lines = [f"- {name}: {text}" for name, text in presets.items()]
    return "\n".join(["A named set of options; further options change single ones.", *lines])


def described(about: str, config: Any = None) -> str:
    """Return the first text of --help, broken into lines that fit the terminal.

    Args:
        about: paragraphs; one that begins with a word and a colon goes on below what follows them.
        config: a configuration, whose most used settings are listed below.
    """
    width = shutil.get_terminal_size().columns - 1
    parts = []
    for paragraph in inspect.cleandoc(about).split("\n\n"):
        text = " ".join(paragraph.split("\n"))
        label = (re.match(r"\w+: +", text) or [""])[0]
        rest = " ".join(text[len(label) :].split())
        below = " " * (len(label) or 2)  # tyro would join lines that begin with a letter
        parts.append(textwrap.fill(label + rest, width, subsequent_indent=below, break_on_hyphens=False))
    return "\n\n".join(parts if config is None else [*parts, _most_used(config)])


def _most_used(config: Any) -> str:
    """Return the settings of `MOST_USED` with their values in a configuration, one a line."""
    lines = ["The settings changed most often (all others are below, by section):"]
    for name, text in MOST_USED.items():
        section, _, field = name.partition(".")
        option = f"--{name.replace('_', '-')} {getattr(getattr(config, section), field)}"
        lines.append(f"  {option:<28}{text}")
    return "\n".join(lines)
