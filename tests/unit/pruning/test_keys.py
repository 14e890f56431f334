"""Keys of the runs of the comparison of pruning: their labels name the files of finished parts."""

from pathlib import Path

import pytest

from dynsim.study import part_path
from experiments.pruning import runs as table
from experiments.pruning.keys import DimensionKey, FactorKey, RunKey, number_text
from experiments.pruning_comparison import PRESETS, all_runs


@pytest.mark.parametrize(
    ("key", "label", "file"),
    [
        (RunKey("main", "dense"), "main/dense", "main_dense.nc"),
        (RunKey("main", "weights", "random_fixed"), "main/weights random_fixed", "main_weights_random_fixed.nc"),
        (RunKey("small", "dense", ratio=0.7), "small/dense r=0.7", "small_dense_r_0_7.nc"),
        (RunKey("small", "neurons", ratio=1.0), "small/neurons r=1", "small_neurons_r_1.nc"),
        (RunKey("small", "weights", implicit=True), "small/weights implicit", "small_weights_implicit.nc"),
        (
            RunKey("small", "neurons", "random_fixed", released=True),
            "small/neurons random_fixed released",
            "small_neurons_random_fixed_released.nc",
        ),
        (RunKey("small", "negatives x 3"), "small/negatives x 3", "small_negatives_x_3.nc"),
        (FactorKey("refresh", "50 steps"), "factor/refresh/50 steps", "factor_refresh_50_steps.nc"),
        (DimensionKey(16), "d=16/dense", "d_16_dense.nc"),
    ],
)
def test_labels_and_files_are_those_that_earlier_studies_have(key, label, file):
    assert key.label == label
    assert part_path(Path(), key.label).name == file


@pytest.mark.parametrize("preset", list(PRESETS))
def test_no_two_runs_share_a_file(preset):
    named = all_runs(PRESETS[preset])
    assert len({key.label for key in named}) == len(named)
    files = [part_path(Path(), key.label) for key in table.unique(list(named.items())).values()]
    assert len(set(files)) == len(files)


@pytest.mark.parametrize(
    ("number", "text"), [(1.0, "1"), (0.85, "0.85"), (1, "1"), (0.1 + 0.2, "0.30000000000000004"), (10.0, "10")]
)
def test_the_text_of_a_number_stands_for_no_other(number, text):
    assert number_text(number) == text and float(text) == number
