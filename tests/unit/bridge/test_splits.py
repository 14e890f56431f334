"""Long-tailed sets: their sizes, how they lie in each other, and the released ones."""

import gzip
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dynsim.bridge.data.groups import CLASS_GROUPS, groups_by_rank, groups_by_size
from dynsim.bridge.data.images import DataError
from dynsim.bridge.data.profiles import PROFILES, class_counts, exponential_counts, pareto_counts
from dynsim.bridge.data.source import data_folder
from dynsim.bridge.data.splits import Split, make_split, nested_sets, released_split

CIFAR10 = np.random.default_rng(0).permutation(np.repeat(np.arange(10), 5000))
CIFAR100 = np.random.default_rng(0).permutation(np.repeat(np.arange(100), 500))


def real(file: str) -> Path:
    path = data_folder() / file
    if not path.exists():
        pytest.skip(f"{path}: not there; set DYNSIM_DATA to a folder with the image data to run this test")
    return path


def real_labels(name: str) -> np.ndarray:
    with np.load(real(f"{name}_train.npz")) as arrays:
        return arrays["label"]


# ----- profiles


def test_the_published_sizes_of_cifar_lt():
    assert exponential_counts(10, 4500, 100).tolist() == [4500, 2697, 1617, 969, 581, 348, 208, 125, 75, 45]
    totals = [
        *[(10, 4500, 100, 11_165), (100, 450, 100, 9_754), (10, 4500, 10, 18_388), (100, 450, 10, 17_614)],
        *[(10, 4500, 50, 12_596), (100, 450, 50, 11_349), (10, 5000, 10, 20_431), (100, 500, 10, 19_573)],
        *[(10, 5000, 50, 13_996), (100, 500, 50, 12_608), (10, 5000, 100, 12_406), (100, 500, 100, 10_847)],
    ]
    for n_classes, n_max, factor, total in totals:
        counts = exponential_counts(n_classes, n_max, factor)
        assert counts.sum() == total
        # the form in which supervised work writes it
        assert counts.tolist() == [int(n_max * (1 / factor) ** (i / (n_classes - 1.0))) for i in range(n_classes)]


def test_the_pareto_profile_is_that_of_the_released_imagenet_lists():
    path = real("sdclr_splits/imagenet-100/imageNet_100_LT_train.txt.gz")
    labels = [int(line.split()[1]) for line in gzip.decompress(path.read_bytes()).splitlines()]
    released = np.sort(np.bincount(labels))[::-1]
    counts = pareto_counts(100, 1280, 1280 / 6)
    far = np.abs(counts - released) > 1 + 0.1 * released
    assert far.sum() <= 1 and abs(counts.sum() / released.sum() - 1) < 0.03
    assert abs(pareto_counts(1000, 1280, 256).sum() / 115_846 - 1) < 0.04  # ImageNet-LT
    assert exponential_counts(100, 1280, 1280 / 6).sum() > 1.8 * released.sum()  # which is another profile


sizes = st.tuples(st.sampled_from(sorted(PROFILES)), st.integers(2, 200), st.integers(1, 6000))


@pytest.mark.parametrize("profile", PROFILES)
def test_rounding_takes_no_image_from_a_whole_number(profile):
    assert class_counts(profile, 2, 161, 161).tolist() == [161, 1]  # 161 * 161**-1.0 is a little below 1


@given(sizes, st.data())
def test_laws_of_the_profiles(size, data):
    profile, n_classes, n_max = size
    factor = data.draw(st.floats(1, n_max) | st.integers(1, n_max))
    counts = class_counts(profile, n_classes, n_max, factor)
    assert counts.shape == (n_classes,) and counts[0] == n_max and (np.diff(counts) <= 0).all()
    assert n_max / factor - 1 < counts[-1] <= n_max / factor + 1e-9 and counts[-1] >= 1
    assert (class_counts(profile, n_classes, n_max, 1) == n_max).all()


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (("pareta", 10, 100, 10), "did you mean pareto"),
        (("pareto", 1, 100, 10), "at least 2"),
        (("exponential", 10, 100, 0.5), "from 1 to"),
        (("exponential", 10, 100, 101), "from 1 to"),
        (("pareto", 10, 100, float("nan")), "from 1 to"),
    ],
)
def test_profiles_that_are_none(arguments, word):
    with pytest.raises(DataError, match=word) as caught:
        class_counts(*arguments)
    assert "\n" not in str(caught.value)


# ----- splits


def check(split: Split, labels: np.ndarray) -> None:
    """Check what holds for every split."""
    n_classes = len(split.counts)
    assert np.array_equal(np.bincount(labels[split.long_tailed], minlength=n_classes), split.counts)
    for images in split[1:]:
        assert len(np.unique(images)) == len(images)
    assert not np.intersect1d(split.train, split.validation).size
    for images in (split.long_tailed, split.balanced, split.few_shot):
        assert np.isin(images, split.train).all()
        assert (np.diff(labels[images]) >= 0).all()
    assert set(np.bincount(labels[split.balanced], minlength=n_classes)) == {len(split.long_tailed) // n_classes}
    for label in range(n_classes):
        lists = [images[labels[images] == label] for images in (split.long_tailed, split.balanced, split.few_shot)]
        longest = max(lists, key=len)
        assert all(np.array_equal(one, longest[: len(one)]) for one in lists)


@pytest.mark.parametrize(("labels", "n_max", "total"), [(CIFAR10, 4500, 11_165), (CIFAR100, 450, 9_754)])
def test_the_convention_of_sdclr(labels, n_max, total):
    split, other = (make_split(labels, seed=seed) for seed in (1, 2))
    check(split, labels)
    assert (len(split.train), len(split.validation), len(split.long_tailed)) == (45_000, 5_000, total)
    assert split.counts.max() == n_max and set(np.bincount(labels[split.few_shot])) == {n_max // 100}
    np.testing.assert_array_equal(split.validation, other.validation)
    assert not np.array_equal(split.counts, other.counts) and not np.array_equal(split.long_tailed, other.long_tailed)
    again = make_split(labels, seed=1)
    assert all(np.array_equal(one, two) for one, two in zip(split, again, strict=True))


@pytest.mark.parametrize(("labels", "n_max", "total"), [(CIFAR10, 5000, 12_406), (CIFAR100, 500, 10_847)])
def test_the_convention_of_supervised_work(labels, n_max, total):
    split = make_split(labels, seed=0, held_out=0, shuffled=False)
    check(split, labels)
    assert len(split.validation) == 0 and len(split.train) == 50_000 and len(split.long_tailed) == total
    assert split.counts[0] == n_max and (np.diff(split.counts) <= 0).all()
    # the usual generator: one seed, then each class is shuffled in turn and its first images are taken
    random, expected = np.random.RandomState(0), []
    for label, n in enumerate(split.counts):
        images = np.where(labels == label)[0]
        random.shuffle(images)
        expected.append(images[:n])
    np.testing.assert_array_equal(split.long_tailed, np.concatenate(expected))


@settings(max_examples=30)
@given(
    st.integers(2, 12),
    st.integers(20, 60),
    st.integers(0, 2**32 - 1),
    st.floats(1, 10),
    st.sampled_from(sorted(PROFILES)),
    st.sampled_from([0, 0.1, 0.25]),
    st.booleans(),
)
def test_laws_of_the_splits(n_classes, n, seed, factor, profile, held_out, shuffled):
    labels = np.random.default_rng(seed).permutation(np.repeat(np.arange(n_classes), n))
    options = {"imbalance_factor": factor, "profile": profile, "held_out": held_out, "shuffled": shuffled}
    split = make_split(labels, seed=seed, few_shot=0.1, **options)
    check(split, labels)
    n_out = len(split.validation) // n_classes
    by_rank = class_counts(profile, n_classes, n - n_out, factor)
    np.testing.assert_array_equal(np.sort(split.counts)[::-1], by_rank)
    assert shuffled or np.array_equal(split.counts, by_rank)


def test_a_tail_smaller_than_the_few_shot_set():
    split = make_split(CIFAR10, seed=3, imbalance_factor=1000)
    check(split, CIFAR10)
    assert split.counts.min() == 4 and set(np.bincount(CIFAR10[split.few_shot])) == {45}


def test_lists_that_are_too_short():
    with pytest.raises(DataError, match="class 1: wanted 4 images, got 3"):
        nested_sets([np.arange(5), np.arange(3)], np.array([5, 3]), 1)


@pytest.mark.parametrize(
    ("labels", "options", "word"),
    [
        (np.array([0, 0, 1]), {}, "equally many"),
        (np.zeros(4, int), {}, "equally many"),
        (CIFAR10, {"held_out": 1.0}, "held out"),
        (CIFAR10, {"few_shot": 1.5}, "few-shot"),
        (CIFAR10, {"seed": -1}, "seed"),
        (CIFAR10, {"imbalance_factor": 5000.0}, "imbalance factor"),
    ],
)
def test_splits_that_are_none(labels, options, word):
    with pytest.raises(DataError, match=word) as caught:
        make_split(labels, **({"seed": 0} | options))
    assert "\n" not in str(caught.value)


# ----- the released splits

OVERLAP = {"cifar10": 5_699, "cifar100": 5_204}
FEW = {"cifar10": 45, "cifar100": 4}


@pytest.mark.parametrize("name", ["cifar10", "cifar100"])
@pytest.mark.parametrize("number", range(1, 6))
def test_the_rule_gives_the_released_splits(name, number):
    """From the released list of each class, the rule makes the three released sets, index by index."""
    folder, labels = real("sdclr_splits"), real_labels(name)
    split = released_split(name, number, labels, folder)
    n_classes = len(split.counts)
    by_rank = exponential_counts(n_classes, 45_000 // n_classes, 100)
    np.testing.assert_array_equal(np.sort(split.counts)[::-1], by_rank)
    ranked = np.argsort(-split.counts)
    counts = np.zeros_like(by_rank)
    counts[ranked] = by_rank
    class_lists = []
    for label in range(n_classes):
        lists = [images[labels[images] == label] for images in (split.long_tailed, split.balanced)]
        class_lists.append(max(lists, key=len))
    made = nested_sets(class_lists, counts, FEW[name])
    for one, released in zip(made, split[3:], strict=True):
        np.testing.assert_array_equal(one, released)
    assert len(np.intersect1d(split.long_tailed, split.balanced)) == OVERLAP[name]
    assert not np.isin(np.concatenate(split[3:]), split.validation).any()
    if name == "cifar10":
        check(split, labels)
        assert len(split.train) == 45_000
    else:  # "train" lacks 5,000 images, which the sets were drawn from all the same
        assert len(split.train) == 40_000 and 0.08 < np.mean(~np.isin(split.long_tailed, split.train)) < 0.14


def test_a_released_split_that_is_not_there(tmp_path):
    with pytest.raises(DataError, match=r"trainIdxList\.npy: wanted the indices") as caught:
        released_split("cifar10", 1, CIFAR10, tmp_path)
    assert "\n" not in str(caught.value)
    with pytest.raises(DataError, match="wanted 1 to 5, got 6"):
        released_split("cifar10", 6, CIFAR10, tmp_path)


def write_split(folder: Path, **changed: np.ndarray) -> None:
    for file in ("cifar10/trainIdxList", "cifar10/valIdxList"):
        path = folder / f"{file}.npy"
        path.parent.mkdir(exist_ok=True)
        np.save(path, np.arange(5) if "train" in file else np.arange(5, 8))
    (folder / "cifar10_imbSub_with_subsets").mkdir(exist_ok=True)
    for one in ("D_i", "D_b", "S_b"):
        path = folder / "cifar10_imbSub_with_subsets" / f"split1_{one}.npy"
        np.save(path, changed.get(one, np.arange(3)))


@pytest.mark.parametrize("wrong", [np.array([0, 50_000]), np.array([-1]), np.array([1, 1]), np.array([0.5])])
def test_released_files_with_other_numbers(tmp_path, wrong):
    write_split(tmp_path)
    assert released_split("cifar10", 1, CIFAR10, tmp_path).long_tailed.tolist() == [0, 1, 2]
    write_split(tmp_path, D_b=wrong)
    with pytest.raises(DataError, match="none twice, got others") as caught:
        released_split("cifar10", 1, CIFAR10, tmp_path)
    assert "\n" not in str(caught.value)


def test_released_files_are_checked_by_their_digests(tmp_path):
    write_split(tmp_path)
    digests = tmp_path / "SHA256SUMS"
    digests.write_text(f"{'0' * 64}  x/cifar10/valIdxList.npy\n")
    with pytest.raises(DataError, match=r"valIdxList\.npy: wanted the digest 000"):
        released_split("cifar10", 1, CIFAR10, tmp_path)


# ----- groups


def test_groups_of_ten_and_a_hundred_classes():
    counts = exponential_counts(10, 4500, 100)
    order = np.array([6, 8, 4, 1, 7, 0, 3, 2, 5, 9])  # ranks of the first split of SDCLR
    mixed = np.zeros_like(counts)
    mixed[order] = counts
    groups = groups_by_rank(mixed)
    assert groups[order].tolist() == ["many"] * 4 + ["medium"] * 3 + ["few"] * 3
    hundred = groups_by_rank(exponential_counts(100, 450, 100))
    assert [int((hundred == group).sum()) for group in CLASS_GROUPS] == [34, 33, 33]
    assert (exponential_counts(100, 450, 100)[[0, 33, 34, 66, 67, 99]] == [450, 96, 92, 20, 19, 4]).all()


@given(st.lists(st.integers(1, 6), min_size=3, max_size=40))
def test_laws_of_the_groups(counts):
    counts = np.array(counts)
    groups = groups_by_rank(counts)
    many, medium, few = (counts[groups == group] for group in CLASS_GROUPS)
    assert len(few) == len(medium) == len(counts) // 3
    assert many.min() >= medium.max() and medium.min() >= few.max()


def test_groups_by_size():
    assert groups_by_size(np.array([1280, 101, 100, 20, 19, 5])).tolist() == ["many"] * 2 + ["medium"] * 2 + ["few"] * 2
    with pytest.raises(DataError, match="at least 3 classes"):
        groups_by_rank(np.array([2, 1]))
