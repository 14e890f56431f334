"""The command line: every field is an option, and bad input ends with one line and exit code 2 before any work."""

import os
import re
import subprocess
import sys
from functools import partial
from pathlib import Path

import jax
import pytest

from dynsim import cli, experiment
from dynsim.cli import RunOptions, option_names, parse, parse_plain, run_main
from dynsim.config import Config
from dynsim.config.checks import ConfigError
from dynsim.config.differences import differing_numbers
from dynsim.engine import simulate
from dynsim.results.sealed import ResultError
from experiments import make_figures, stage_tracking
from tests.bad_input import TABLE, VALID

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def jax_settings_stay():
    names = ("jax_enable_x64", "jax_platforms", "jax_default_matmul_precision", "jax_compilation_cache_dir")
    before = {name: getattr(jax.config, name) for name in names}
    yield
    for name, value in before.items():
        jax.config.update(name, value)


@pytest.fixture
def refused(monkeypatch, capsys, tmp_path):
    """Return a function that gives the one line with which a command line is refused, with nothing done."""
    monkeypatch.setattr(simulate, "program", lambda *a, **o: pytest.fail("bad input got as far as compiling"))
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", str(jax.config.jax_compilation_cache_dir or tmp_path))
    monkeypatch.chdir(tmp_path)
    before = sorted(tmp_path.rglob("*"))

    def call(words, main=stage_tracking.main):
        with pytest.raises(SystemExit) as stopped:
            main(words)
        printed = capsys.readouterr()
        assert stopped.value.code == 2, (words, printed)
        lines = printed.err.splitlines()
        assert len(lines) == 1 and printed.out == "", printed
        assert re.match(r"\w+\.py: error: \S", lines[0]), lines[0]
        assert len(lines[0]) < 600 and "Traceback" not in lines[0], lines[0]
        assert sorted(path for path in tmp_path.rglob("*") if path.name != "a_file") == before
        return lines[0]

    return call


# ----- the table of bad configurations, as words of a command line

NOT_ON_THE_COMMAND_LINE = {
    "list for a word": "one word is a word",
    "one for a flag": "a flag takes no value, and the line names the value alone",
    "text for a flag": "the same",
    "list for a vector": "words are words: a list and a tuple look the same",
    "text in a vector": "words that are numbers are numbers",
    "learning rate of many digits": "becomes inf, which has a row of its own",
}
ROWS = [row for row in TABLE if "seeds" not in row.changes and row.name not in NOT_ON_THE_COMMAND_LINE]


def as_words(changes):
    words = []
    for name, value in changes.items():
        option = "--" + name.replace("_", "-")
        if isinstance(value, bool) and name in BOOLEANS:
            section, _, field = option.rpartition(".")
            words.append(option if value else f"{section}.no-{field}")
        else:
            flat = [value] if not isinstance(value, tuple | list) else [w for v in value for w in _several(v)]
            words += [option, *(str(word) for word in flat)]
    return words


def _several(value):
    return value if isinstance(value, tuple) else [value]


BOOLEANS = [
    name
    for name in option_names(Config())
    if isinstance(getattr(getattr(Config(), name.split(".")[0]), name.split(".")[1]), bool)
]
BASE = {
    name: getattr(getattr(VALID, name.split(".")[0]), name.split(".")[1]) for name in differing_numbers(VALID, Config())
}


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_bad_configurations_are_refused(row, refused):
    line = refused(as_words(BASE | row.changes))
    assert row.word.rpartition(".")[2].split()[0].replace("_", "-") in line.replace("_", "-"), line


# ----- what only a command line can get wrong

WORDS = {
    "unknown option": (["--nonsense", "3"], "nonsense"),
    "misspelt option": (["--data.n-feature", "5"], "data.n-feature"),
    "option without its section": (["--n-features", "5"], "n-features"),
    "section twice": (["--config.data.n-features", "5"], "config.data"),
    "one dash": (["-seeds", "3"], "-seeds"),
    "capital letter": (["--Seeds", "3"], "Seeds"),
    "a word without an option": (["quick"], "quick"),
    "an empty word": ([""], ""),
    "section for an option": (["--data", "3"], "--data"),
    "unknown preset": (["--preset", "huge"], "huge"),
    "unknown preset after a known one": (["--preset", "quick", "--preset", "huge"], "huge"),
    "preset without a name": (["--preset"], "--preset"),
    "preset with an empty name": (["--preset="], "--preset"),
    "missing value": (["--seeds"], "--seeds"),
    "missing value before an option": (["--seeds", "--seed", "3"], "--seeds"),
    "missing folder": (["--out"], "--out"),
    "two values": (["--data.n-features", "5", "6"], "6"),
    "text for an integer": (["--data.n-features", "many"], "many"),
    "text for an integer after =": (["--data.n-features=ten"], "ten"),
    "hexadecimal": (["--data.n-features", "0x10"], "0x10"),
    "fraction for an integer": (["--seeds", "1.5"], "1.5"),
    "power for an integer": (["--train.n-steps", "1e3"], "1e3"),
    "text for a number": (["--data.minority-ratio", "half"], "half"),
    "decimal comma": (["--data.minority-ratio", "0,5"], "0,5"),
    "not a number": (["--data.minority-ratio", "nan"], "minority_ratio"),
    "too large for a float": (["--optimizer.learning-rate", "1e400"], "learning_rate"),
    "value for a flag": (["--loss.symmetric", "maybe"], "maybe"),
    "value for a flag of the experiment": (["--controls", "yes"], "yes"),
    "unknown choice": (["--threshold.rule", "none"], "none"),
    "unknown device": (["--device", "quantum"], "quantum"),
    "unknown precision": (["--train.precision", "float16"], "float16"),
    "good and then bad": (["--data.n-features", "5", "--data.n-features", "x"], "x"),
    "no seeds": (["--seeds", "0"], "seeds"),
    "negative number of seeds": (["--seeds", "-3"], "seeds"),
    "negative seed": (["--seed", "-1"], "seed"),
    "seed of 33 bits": (["--seed", "4294967296"], "2^32"),
    "last seed of 33 bits": (["--seed", "4294967290", "--seeds", "10"], "2^32"),
    "argument without its number": (["--optimizer.arguments", "momentum"], "arguments"),
    "argument with a text": (["--optimizer.arguments", "momentum", "much"], "much"),
    "vector with a text": (["--data.keep-probability", "1", "x"], "x"),
    "given profile without numbers": (["--data.frequency-profile", "given"], "relative_frequency"),
    "record too short for stages": (["--train.n-records", "2"], "n_records"),
    "run too short for stages": (["--train.n-steps", "1"], "n_records"),
    "redraw of nothing": (["--redraw"], "redraw"),
}


@pytest.mark.parametrize("name", WORDS)
def test_bad_words_are_refused(name, refused):
    words, wanted = WORDS[name]
    line = refused(words)
    assert wanted in line, line


@pytest.mark.parametrize("below", ["", "results"])
def test_a_file_for_a_folder_is_refused(below, refused, tmp_path):
    (tmp_path / "a_file").write_text("mine")
    line = refused(["--out", str(tmp_path / "a_file" / below)])
    assert "out: wanted a folder that can be written to" in line and "name another one" in line
    assert (tmp_path / "a_file").read_text() == "mine"


@pytest.mark.parametrize("name", ["x" * 300, "/".join(["y" * 200] * 30), "/proc/none/here", "a\0b"])
def test_a_folder_that_cannot_be_made_is_refused(name, refused, tmp_path):
    line = refused(["--out", name if name.startswith("/") else str(tmp_path / name)])
    assert line.count("out: wanted a folder that can be written to") == 1 and len(line) < 300
    assert not list(tmp_path.iterdir())


def test_an_empty_name_is_refused_and_a_new_folder_taken_away(refused, tmp_path):
    for words in (["--out", ""], ["--out="]):
        assert "out: wanted the name of a folder" in refused(words)
    parse(stage_tracking.PRESETS, ["--out", str(tmp_path / "a" / "b")], program="p.py", description="")
    assert not list(tmp_path.iterdir())
    (tmp_path / "mine").mkdir()
    parse(stage_tracking.PRESETS, ["--out", str(tmp_path / "mine" / "b")], program="p.py", description="")
    assert list(tmp_path.iterdir()) == [tmp_path / "mine"] and not list((tmp_path / "mine").iterdir())


NEAR = {
    "preset": (["--preset", "quik"], "--preset: wanted one of default, quick, harder, large, got 'quik'; did you mean"),
    "option": (["--data.minority-ration", "1"], "did you mean --data.minority-ratio"),
    "option without its section": (["--temperature", "2"], "did you mean --loss.temperature"),
    "choice": (["--threshold.rule", "norm_traking"], "got 'norm_traking'; did you mean norm_tracking?"),
    "choice of the experiment": (["--device", "gpuu"], "--device: wanted one of auto, cpu, gpu, tpu, got 'gpuu'; did"),
    "nothing like it": (["--xyzzy", "2"], "--xyzzy, 2; --help lists all options"),
}


@pytest.mark.parametrize("name", NEAR)
def test_near_misses_suggest_the_right_word(name, refused):
    words, said = NEAR[name]
    line = refused(words)
    assert said in line, line


HOUSE_STYLE = {
    "no integer": (["--seeds", "x"], "--seeds: wanted an integer, got 'x'; type digits alone, such as --seeds 3"),
    "a fraction": (["--train.n-steps", "1.5"], "--train.n-steps: wanted an integer, got '1.5'; type digits alone"),
    "no number": (["--data.minority-ratio", "half"], "--data.minority-ratio: wanted a number, got 'half'; type it"),
    "nothing": (["--data.minority-ratio="], "--data.minority-ratio: wanted a number, got ''; type it with a decimal"),
    "a quotation mark": (["--seeds", "it's"], '--seeds: wanted an integer, got "it\'s"; type digits'),
    "no value": (["--seeds"], "--seeds: wanted a value after it, got none; add one, or leave the option out"),
    "name without number": (
        ["--optimizer.arguments", "b1", "x"],
        "--optimizer.arguments: wanted STR FLOAT [STR FLOAT ...], got 'b1', 'x'; STR is a word, FLOAT a number",
    ),
    "a word among numbers": (
        ["--data.keep-probability", "1", "x"],
        "--data.keep-probability: wanted FLOAT [FLOAT ...], got '1', 'x'; STR is a word, FLOAT a number",
    ),
}


@pytest.mark.parametrize("name", HOUSE_STYLE)
def test_a_value_of_another_kind_is_refused_in_our_own_words(name, refused):
    words, said = HOUSE_STYLE[name]
    line = refused(words)
    assert said in line and "literal" not in line and "Error parsing" not in line, line


def test_the_figure_maker_refuses_too(refused):
    assert "--only: wanted one of stage_tracking" in refused(["--only", "nonsense"], make_figures.main)
    assert "--nonsense" in refused(["--nonsense"], make_figures.main)


def test_there_are_at_least_sixty_kinds():
    assert len(ROWS) + len(WORDS) >= 60


def run(*words, **more):
    env = os.environ | {"PYTHONPATH": str(ROOT)}
    return subprocess.run([sys.executable, *words], capture_output=True, text=True, timeout=100, env=env, **more)


def test_a_real_process_ends_with_one_line(tmp_path):
    done = run(ROOT / "experiments" / "stage_tracking.py", "--data.minority-ratio", "1.5", cwd=tmp_path)
    assert done.returncode == 2 and done.stdout == ""
    assert done.stderr == ("stage_tracking.py: error: data.minority_ratio: wanted a finite number in (0, 1], got 1.5\n")
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(jax.default_backend() != "cpu", reason="this machine has an accelerator")
def test_a_device_that_is_not_there(tmp_path):
    done = run(ROOT / "experiments" / "stage_tracking.py", "--device", "gpu", "--out", tmp_path)
    lines = [line for line in done.stderr.splitlines() if "stage_tracking.py" in line]
    assert done.returncode == 2 and done.stdout == "" and not list(tmp_path.iterdir())
    assert len(lines) == 1 and "--device: wanted gpu, but JAX found none" in lines[0], done.stderr
    assert "Traceback" not in done.stderr


# ----- what is accepted


def parsed(*words):
    return parse(stage_tracking.PRESETS, words, program="p.py", description="")


def test_presets_are_overridden_by_options():
    name, options = parsed("--data.n-features", "20", "--preset", "quick", "--seeds", "2", "--loss.symmetric")
    assert name == "quick" and options.seeds == 2
    quick = stage_tracking.PRESETS["quick"].config
    assert set(differing_numbers(options.config, quick)) == {"data.n_features", "loss.symmetric"}
    assert options.config.data.n_features == 20 and options.config.loss.symmetric
    assert parsed() == ("default", stage_tracking.StageTracking()) and parsed()[1].config == Config()
    assert parsed("--preset=harder")[1].config.data.minority_ratio == 0.5


def test_tuples_and_none_from_words():
    words = ["--data.n-negatives", "7", "--optimizer.arguments", "momentum", "0.9", "nesterov", "1"]
    config = parsed(*words, "--data.keep-probability", *(["0.5"] * 64))[1].config
    assert config.data.n_negatives == 7 and config.optimizer.arguments == (("momentum", 0.9), ("nesterov", 1.0))
    assert config.data.keep_probability == (0.5,) * 64
    assert parsed("--data.n-negatives", "None")[1].config.data.n_negatives is None


def help_of(main, capsys, *words):
    with pytest.raises(SystemExit) as stopped:
        main([*words, "--help"])
    assert stopped.value.code == 0
    return re.sub(r"\x1b\[[0-9;]*m", "", capsys.readouterr().out)


def test_every_field_is_an_option(capsys):
    text = help_of(stage_tracking.main, capsys)
    shown = set(re.findall(r"--([a-z][a-z0-9.-]*)", text))
    names = option_names(Config()) + [name for name in option_names(stage_tracking.StageTracking()) if "." not in name]
    assert len(names) > 45
    missing = [name for name in names if name.replace("_", "-") not in shown]
    assert not missing, missing


def test_help_shows_a_worked_example_its_time_and_the_presets(capsys):
    text = help_of(stage_tracking.main, capsys)
    assert "python experiments/stage_tracking.py" in text
    assert re.search(r"Time:\s+default about \d+", text) and "Expected:" in text
    assert "--preset {default,quick,harder,large}" in text and "(default: default)" in text
    assert "of majority" not in text  # of another file's help
    quick = help_of(stage_tracking.main, capsys, "--preset", "quick")
    assert "(default: quick)" in quick and "default: 16" in quick
    assert "make figures" in help_of(make_figures.main, capsys)


@pytest.mark.parametrize("one", make_figures.EXPERIMENTS, ids=lambda one: one.name)
def test_every_preset_says_how_long_it_takes(one, capsys):
    text = help_of(partial(experiment.main, one), capsys)
    presets = re.search(r"--preset \{([\w,-]+)\}", text)[1].split(",")
    of_preset = re.sub(r"[│\s]+", " ", text[text.index("--preset {") :])
    for name in presets:
        said = re.search(rf"- {name}: (.*?)(?: - |\(default)", of_preset)[1]
        assert re.search(r"seconds|minutes?|hours?|days", said), (name, said)
    if len(one.presets) > 1:
        assert set(one.about_presets) == set(one.presets) == set(presets)


def test_the_essentials_of_the_help_come_first(capsys, monkeypatch):
    for columns in ("80", "200"):  # on a wide terminal the sections still follow each other
        monkeypatch.setenv("COLUMNS", columns)
        lines = help_of(stage_tracking.main, capsys, "--data.minority-ratio", "0.25").splitlines()
        assert len(max(lines, key=len)) <= min(int(columns), cli.HELP_COLUMNS)
        start = next(k for k, line in enumerate(lines) if re.match(r"\W*options\W*$", line))
        before, boxes = lines[:start], lines[start:]
        options = [match[1] for line in boxes if (match := re.match(r"(?:│| ) ?(--[a-z][\w.-]*)[ ,]", line))]
        assert options[:7] == ["--preset", "--seeds", "--seed", "--out", "--redraw", "--device", "--controls"]
        sections = [one.partition(".")[0] for one in options[7:]]
        assert sections == sorted(sections, key=sections.index) and set(sections) == {
            f"--{name}" for name in ("data", "encoder", "loss", "threshold", "prune", "optimizer", "train")
        }
        assert any(line.startswith("  --data.minority-ratio 0.7") for line in before)
        assert "\n\n\n" not in "\n".join(before)


def test_the_help_goes_by_the_name_that_was_typed(capsys):
    with pytest.raises(SystemExit):
        experiment.main(stage_tracking.EXPERIMENT, ["--help"], program="dynsim run stage_tracking")
    text = capsys.readouterr().out
    assert "Command:  dynsim run stage_tracking" in text and "python experiments" not in text


def test_a_help_that_is_not_read_to_its_end(tmp_path):
    words = f"{sys.executable} {ROOT / 'experiments' / 'stage_tracking.py'} --help | head -1"
    done = subprocess.run(words, shell=True, cwd=tmp_path, capture_output=True, text=True, timeout=100)
    assert done.stdout == "usage: stage_tracking.py [-h] [OPTIONS]\n" and done.stderr == ""


def test_every_option_has_a_help_text(capsys):
    text = re.sub(r"[│\s]+", " ", help_of(stage_tracking.main, capsys))
    for sentence in ("tau.", "Number of seeds.", "tokens per sample.", "eta.", "kappa: factor on the rule's value"):
        assert sentence in text, sentence


# ----- what run_main turns into exit codes


@pytest.mark.parametrize(
    "error", [ConfigError("x: wanted y"), ResultError("x: wanted y"), OSError(28, "No space left on device")]
)
def test_errors_that_a_user_can_mend(error, capsys):
    def body():
        raise error

    with pytest.raises(SystemExit) as stopped:
        run_main(body, "p.py")
    assert stopped.value.code == 2
    assert capsys.readouterr().err == f"p.py: error: {error}\n"


def test_ctrl_c_says_how_to_go_on(capsys):
    def body():
        raise KeyboardInterrupt

    with pytest.raises(SystemExit) as stopped:
        run_main(body, "p.py")
    assert stopped.value.code == 130
    line = capsys.readouterr().err
    assert line.count("\n") == 1 and "run the same command again to go on" in line


def test_our_own_mistakes_keep_their_traceback():
    with pytest.raises(ZeroDivisionError):
        run_main(lambda: 1 / 0, "p.py")


@pytest.mark.parametrize("rule", ["─", "-"])
def test_a_frame_of_any_kind_is_taken_off(rule):
    frame = [f"╭{rule} Value error {rule * 20}╮", "│ Error parsing config.data: x:   │", "│ wanted --y   │"]
    if rule == "-":  # an ASCII terminal
        frame = ["Value error " + rule * 20, "Error parsing config.data: x:  ", "wanted --y", rule * 32]
    help_lines = ["Perhaps you meant:", "--data.n-features INT", "d: number", "For full helptext, see x --help"]
    assert cli._one_line("\n".join(frame)) == "data.x: wanted --y"
    assert cli._one_line("\n".join(frame + help_lines)) == "data.x: wanted --y; did you mean --data.n-features?"


def test_settings_of_jax(monkeypatch):
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", str(jax.config.jax_compilation_cache_dir))
    with jax.enable_x64(False):
        pass
    jax.config.update("jax_enable_x64", False)
    cli.set_up_jax("cpu", "float64", "p.py")
    assert jax.config.jax_enable_x64 and jax.config.jax_platforms == "cpu"
    assert jax.config.jax_default_matmul_precision == "highest"


@pytest.mark.parametrize(
    ("device", "platforms"), [("gpu", "cuda,cpu"), ("tpu", "tpu,cpu"), ("cpu", "cpu"), ("auto", None)]
)
def test_beside_an_accelerator_jax_has_the_cpu(device, platforms, monkeypatch):
    """What the host computes from within a program, and files that it reads, need a CPU of JAX."""
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", str(jax.config.jax_compilation_cache_dir))
    jax.config.update("jax_platforms", None)
    asked = []
    monkeypatch.setattr(jax, "devices", asked.append)
    cli.set_up_jax(device, "float64", "p.py")
    assert jax.config.jax_platforms == platforms and asked == [None if device == "auto" else device]


def test_what_jax_says_of_a_device_is_told_without_advice_that_does_not_help(monkeypatch, capsys):
    """The option decides, so that JAX_PLATFORMS in the environment would change nothing."""

    def refuse(device):
        raise RuntimeError(
            "Unable to initialize backend 'tpu': no libtpu.so (set JAX_PLATFORMS='' to automatically choose an "
            "available backend)\nmore"
        )

    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", str(jax.config.jax_compilation_cache_dir))
    monkeypatch.setattr(jax, "devices", refuse)
    with pytest.raises(SystemExit):
        cli.set_up_jax("tpu", "float64", "p.py")
    found = "JAX found none (Unable to initialize backend 'tpu': no libtpu.so); leave it out to take what there is"
    assert capsys.readouterr().err == f"p.py: error: --device: wanted tpu, but {found}\n"


def test_parse_plain(capsys):
    assert parse_plain(RunOptions, ["--seed", "4"], program="p.py", description="").seed == 4
    with pytest.raises(SystemExit):
        parse_plain(RunOptions, ["--seeds", "0"], program="p.py", description="")
    assert capsys.readouterr().err.startswith("p.py: error: seeds: wanted an integer of at least 1, got 0")
