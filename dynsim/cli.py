"""What the command lines of all experiments share: presets, one-line errors, the folder for results, JAX settings.

Every field of `Config` is an option. A preset is a named, complete set of options; options on the command line change
single ones. A wrong option ends the program with a one-line message and exit code 2, before anything is computed.
"""

import contextlib
import io
import itertools
import os
import re
import shutil
import sys
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, make_dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import tyro

from dynsim.config import Config
from dynsim.config.checks import MAX_SEED, ConfigError, did_you_mean, positive_int, require
from dynsim.help_texts import described, preset_text, set_help

Options = TypeVar("Options")
HELP_COLUMNS = 110
LONGEST_NAME = 100  # characters in the longest file name that is used in the folder for results


@dataclass(frozen=True)
class RunOptions:
    """Options of an experiment: the configuration, and how often, where and on what it is run."""

    config: Annotated[Config, tyro.conf.arg(name="")] = field(default_factory=Config)
    seeds: int = 10
    """Number of seeds."""
    seed: int = 0
    """First seed; the others follow it."""
    out: Path = Path("results")
    """Folder for results; each configuration gets its own folder in it."""
    redraw: bool = False
    """Draw the figures again from the saved results, without simulating."""
    device: Literal["auto", "cpu", "gpu", "tpu"] = "auto"
    """Device to run on; auto takes the fastest that JAX finds."""

    def __post_init__(self) -> None:
        positive_int("seeds", self.seeds)
        is_int = isinstance(self.seed, int) and not isinstance(self.seed, bool)
        require(is_int and self.seed >= 0, "seed", "an integer of at least 0", self.seed)
        last = self.seed + self.seeds - 1
        require(last < MAX_SEED, "seed", "seeds below 2^32", last)


class Refused(SystemExit):
    """Ends the program with exit code 2, after one line on stderr: "program: error: message"."""

    def __init__(self, program: str, message: str) -> None:
        print(f"{program}: error: {' '.join(message.split())}", file=sys.stderr)
        super().__init__(2)


def _take_preset(arguments: list[str], presets: Collection[str], program: str) -> tuple[str, list[str]]:
    rest, name = [], next(iter(presets))
    words = iter(arguments)
    for word in words:
        if word == "--preset":
            name = next(words, "")
        elif word.startswith("--preset="):
            name = word.partition("=")[2]
        else:
            rest.append(word)
    if name not in presets:
        near = did_you_mean(name, presets)
        raise Refused(program, f"--preset: wanted one of {', '.join(presets)}, got {name!r}{near}")
    return name, rest


def parse(
    presets: Mapping[str, Options],
    arguments: Sequence[str] | None,
    *,
    program: str,
    description: str,
    about_presets: Mapping[str, str] | None = None,
) -> tuple[str, Options]:
    """Return the name of the chosen preset, and its options as changed by the command line.

    Args:
        presets: options by preset name; the first one is the default.
        arguments: the command line without the program; None stands for that of the process.
        program: name of the program in messages.
        description: first text of --help.
        about_presets: what each preset runs and how long that takes, for --help.

    Errors: `Refused` (exit code 2, one line); --help ends with exit code 0.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    name, rest = _take_preset(words, presets, program)
    kind, told = type(presets[name]), {one: (about_presets or {}).get(one, "") for one in presets}
    set_help(kind)
    preset_type = Annotated[Literal[tuple(presets)], tyro.conf.arg(help=preset_text(told))]  # type: ignore[valid-type]
    options_type = Annotated[kind, tyro.conf.arg(name="", help="")]  # type: ignore[valid-type]
    # a class with --preset before the options: it is for the help alone, since the preset has been chosen already
    both = make_dataclass("Chosen", [("preset", preset_type), ("options", options_type)])
    default = both(preset=name, options=presets[name])
    return name, _parse(both, rest, default, program, description).options


def check_out(out: Path, words: Sequence[str] = ()) -> None:
    """Refuse a folder for results that cannot be created or written to.

    To test it, the folder is created and a small file written to it, whose name is as long as the longest that a study
    uses. The file is removed again, and so are folders that did not exist before.

    Args:
        out: the folder.
        words: the command line, in which an empty name is recognised; as a path it would be the current folder.

    Errors: `ConfigError` in one line.
    """
    empty = "--out=" in words or any(pair == ("--out", "") for pair in itertools.pairwise(words))
    require(not empty, "out", "the name of a folder, which may be new", "", "leave it out for results/")
    new: list[Path] = []
    probe = out / ("." + "x" * LONGEST_NAME)
    try:
        new += [folder for folder in (out, *out.parents) if not folder.exists()]
        out.mkdir(parents=True, exist_ok=True)
        probe.write_bytes(b"x")
        probe.unlink()
    except (OSError, ValueError) as error:  # ValueError: a zero byte in the name
        reason = getattr(error, "strerror", None) or str(error)
        advice = f"({reason}); name another one"
        raise ConfigError(f"out: wanted a folder that can be written to, got {_short(str(out))} {advice}") from None
    finally:
        for folder in new:
            with contextlib.suppress(OSError, ValueError):  # it was not made, or something else uses it by now
                folder.rmdir()


def _short(text: str) -> str:
    return text if len(text) <= 80 else text[:80] + "..."


def parse_plain(kind: type[Options], arguments: Sequence[str] | None, *, program: str, description: str) -> Options:
    """Return the options of a program without presets; arguments and errors as for `parse`."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    set_help(kind)
    return _parse(kind, words, kind(), program, description)


def _parse(kind: type[Options], words: list[str], default: Options, program: str, about: str) -> Options:
    caught = io.StringIO()
    try:
        with contextlib.redirect_stderr(caught), _at_most_columns(HELP_COLUMNS):
            text = described(about, getattr(getattr(default, "options", default), "config", None))
            found = tyro.cli(kind, args=words, default=default, prog=program, description=text)
        own = getattr(found, "options", found)
        if isinstance(out := getattr(own, "out", None), Path):
            check_out(out, words)
        return found
    except SystemExit as stop:
        if stop.code in (0, None):
            raise
        raise Refused(program, _one_line(caught.getvalue())) from None
    except BrokenPipeError:  # the help goes to a program that has read enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(0) from None
    except ConfigError as error:
        raise Refused(program, str(error)) from None


@contextlib.contextmanager
def _at_most_columns(most: int) -> Iterator[None]:
    """Keep tyro from setting the sections of a help text side by side, as it does on a wide terminal."""
    before = os.environ.get("COLUMNS")
    os.environ["COLUMNS"] = str(min(most, shutil.get_terminal_size().columns))
    try:
        yield
    finally:
        if before is None:
            del os.environ["COLUMNS"]
        else:
            os.environ["COLUMNS"] = before


def _one_line(boxed: str) -> str:
    """Return a framed message of tyro as one line, without frame, title and help texts, with what may be meant."""
    plain = re.sub(r"\x1b\[[0-9;]*m", "", boxed)
    # on a terminal without box characters the frame consists of dashes
    lines = [re.sub(r"^([│╭╰─╮╯\s]|-{3,})+|([│╭╰─╮╯\s]|-{3,})+$", "", line) for line in plain.strip().splitlines()]
    text = " ".join(line for line in lines[1:] if line)  # the first line is the title
    if ours := _value_refused(text):
        return ours
    text, _, meant = text.partition("Perhaps you meant:")
    text = re.sub(r"^Error parsing (?:options\.)?config\.(\w+): ", r"\1.", text)
    text = re.sub(r"^Error parsing [\w.]+: ", "", text)
    text = re.sub(r"\s*(For full helptext, (see|run)|Argument helptext:) .*$", "", text).strip()
    options = re.findall(r"--[\w.-]+", meant.partition("For full helptext")[0])[:3]
    if options:
        return f"{text}; did you mean {', '.join(options)}?"
    if choice := re.match(r"invalid choice '(.*)' for argument '(--[\w.-]+)'. Expected one of \((.*)\)", text):
        word, option, names = choice[1], choice[2], re.findall(r"'([^']*)'", choice[3])
        return f"{option}: wanted one of {', '.join(names)}, got {word!r}{did_you_mean(word, names)}"
    return f"{text}; --help lists all options" if text.startswith("Unrecognized options") else text


_HELP = r"(?: Argument helptext:.*| For full helptext.*|)$"
NOT_READ = {
    r"Error parsing (--[\w.-]+): invalid literal for int\(\) with base 10: (.*?)" + _HELP: (
        "an integer, got {1}; type digits alone, such as {0} 3"
    ),
    r"Error parsing (--[\w.-]+): could not convert string to float: (.*?)" + _HELP: (
        "a number, got {1}; type it with a decimal point, such as {0} 0.5"
    ),
    r"Missing value for argument '(--[\w.-]+)'": "a value after it, got none; add one, or leave the option out",
    r"Error parsing (--[\w.-]+): Could not find valid parse for arguments: \[(.*?)\] .*Argument helptext: --[\w.-]+ "
    r"\[([^\[]*(?:\[[^\]]*\])?)\]": "{2}, got {1}; STR is a word, FLOAT a number, INT an integer",
}
"""What tyro and Python say of values that cannot be read, and what dynsim says instead: wanted, got, what to do."""


def _value_refused(text: str) -> str:
    """Return a message of `NOT_READ` in the words of dynsim, or nothing if it is none of them."""
    for pattern, words in NOT_READ.items():
        if found := re.match(pattern, text):
            return f"{found[1]}: wanted {words.format(*found.groups())}"
    return ""


PLATFORMS = {"gpu": "cuda,cpu", "tpu": "tpu,cpu"}
"""What JAX is told to start for an accelerator. The first platform computes. A CPU of JAX is needed beside it where the
host computes a part of a program (the assignment of TSC) or cuts images out of files. Where JAX cannot start the first
platform it stops, or, on a machine without a GPU, goes on without it; `set_up_jax` refuses both."""


def set_up_jax(device: str, precision: str, program: str) -> None:
    """Set device and precision, and switch on the persistent compilation cache; call it before making any array.

    Errors: `Refused` if JAX finds no such device.
    """
    import jax

    if precision == "float64":
        jax.config.update("jax_enable_x64", True)
    if device != "auto":
        jax.config.update("jax_platforms", PLATFORMS.get(device, device))
    # accelerators may round matrix products to fewer bits than float32 has, too few for comparisons with theory
    jax.config.update("jax_default_matmul_precision", "highest")
    cache = os.environ.get("JAX_COMPILATION_CACHE_DIR") or str(Path.home() / ".cache" / "dynsim" / "jax")
    jax.config.update("jax_compilation_cache_dir", cache)
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    try:
        jax.devices(None if device == "auto" else device)
    except (RuntimeError, AssertionError) as error:  # the latter if JAX_PLATFORMS is cuda and there is no GPU
        # JAX advises to change JAX_PLATFORMS, which does nothing where the option decides
        said = re.sub(r" \(set JAX_PLATFORMS=.*?\)", "", (str(error).splitlines() or [""])[0])
        reason = f" ({said})" if said else ""
        advice = "choose cpu" if device == "auto" else "leave it out to take what there is"
        raise Refused(program, f"--device: wanted {device}, but JAX found none{reason}; {advice}") from None


def run_main(body: Callable[[], object], program: str) -> None:
    """Call `body`; errors that a user can fix end with one line and exit code 2, Ctrl-C with exit code 130."""
    from dynsim.results.sealed import ResultError

    try:
        body()
    except (ConfigError, ResultError, OSError) as error:  # OSError: no space left, no permission
        raise Refused(program, str(error)) from None
    except KeyboardInterrupt:
        print(f"{program}: stopped by hand; run the same command again to go on", file=sys.stderr)
        raise SystemExit(130) from None


def option_names(options: Any) -> list[str]:
    """Return the names of all options, such as "data.n_features", for help texts and tests."""
    from dataclasses import fields, is_dataclass

    names = []
    for part in fields(options):
        value = getattr(options, part.name)
        if is_dataclass(value):
            names += [f"{part.name}.{name}" for name in option_names(value)]
        else:
            names.append(part.name)
    return names
