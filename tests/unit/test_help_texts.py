"""Help texts: docstrings below fields as running text, and the first lines of --help."""

from dataclasses import dataclass, field, fields

from dynsim.config import Config
from dynsim.help_texts import MOST_USED, attribute_docs, described, preset_text, running_text, set_help


@dataclass(frozen=True)
class Part:
    """A part."""

    size: int = 1
    """How large it is, in a sentence that
    goes on in the next line."""
    bare: int = 2


@dataclass(frozen=True)
class Whole:
    """A whole."""

    part: Part = field(default_factory=Part)
    kind: str = "a"
    """What is run.
    - a: one, which takes
    long
    - b: two"""


@dataclass(frozen=True)
class Larger(Whole):
    """A whole with a field of its own."""

    kind: str = "b"
    """Something else."""


def test_docstrings_below_fields_by_hand():
    assert attribute_docs(Part) == {"size": "How large it is, in a sentence that goes on in the next line."}
    assert attribute_docs(Whole) == {"kind": "What is run.\n- a: one, which takes long\n- b: two"}
    assert attribute_docs(Larger) == {"kind": "Something else."}


def test_running_text():
    assert running_text("a -\n    b\n  c - d") == "a - b c - d"
    assert running_text("a\n- b\n  - c\n d") == "a\n- b\n- c d"


def test_set_help_reaches_the_parts():
    set_help(Whole)
    assert [one.metadata.get("help") for one in fields(Part)] == [attribute_docs(Part)["size"], None]
    assert fields(Whole)[1].metadata["help"].startswith("What is run.\n- a")
    assert fields(Whole)[0].metadata["help"] == Part.__doc__  # it has no text of its own


def test_every_field_of_the_configuration_has_its_text():
    for section in fields(Config):
        docs = attribute_docs(type(getattr(Config(), section.name)))
        assert set(docs) == {one.name for one in fields(getattr(Config(), section.name))}
        assert not [text for text in docs.values() if "\n" in text]


def test_presets_by_hand():
    text = preset_text({"a": "small; seconds", "b": "large; hours"})
    assert text.splitlines()[1:] == ["- a: small; seconds", "- b: large; hours"]


def test_the_first_lines_are_broken_where_the_terminal_ends(monkeypatch):
    monkeypatch.setenv("COLUMNS", "31")
    about = "A question\nthat goes on?\n\nTime:     one two three four five six\n          seven"
    assert described(about) == ("A question that goes on?\n\nTime:     one two three four\n          five six seven")


def test_the_settings_changed_most_often():
    lines = described("What?", Config()).splitlines()
    assert lines[:2] == ["What?", ""] and len(lines) == 3 + len(MOST_USED)
    assert lines[3].split()[:2] == ["--data.minority-ratio", "0.7"]
