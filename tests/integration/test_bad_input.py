"""Bad input is refused in one line that names the field, before anything is compiled."""

import pytest

from dynsim.config import replace
from dynsim.config.checks import ConfigError
from dynsim.engine import simulate as module
from dynsim.engine.simulate import simulate
from tests.bad_input import TABLE, VALID, VALID_SEEDS, BadInput


@pytest.fixture(autouse=True)
def nothing_compiles(monkeypatch):
    def compiled(*arguments, **own):
        pytest.fail("bad input got as far as compiling")

    monkeypatch.setattr(module, "program", compiled)


@pytest.mark.parametrize("row", TABLE, ids=lambda row: row.name)
def test_bad_input_is_one_line_that_names_the_field(row: BadInput):
    changes = dict(row.changes)
    seeds = changes.pop("seeds", VALID_SEEDS)
    with pytest.raises(ConfigError) as caught:
        simulate(replace(VALID, **changes), seeds)
    message = str(caught.value)
    assert row.word in message
    assert "\n" not in message and len(message) < 500, message


def test_the_table_itself():
    names = [row.name for row in TABLE]
    assert len(names) == len(set(names))
    with pytest.raises(pytest.fail.Exception, match="compiling"):  # what the rows change is valid
        simulate(VALID, VALID_SEEDS)
