"""Channels as neurons: planted responses, hand-computed cases, a NumPy reference, and laws of chance."""

import functools
import json

import jax
import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from dynsim.bridge import measure as channels_room
from dynsim.bridge.data import DataError, groups_by_rank
from dynsim.bridge.measure import channels, curves, dataset, plots, probe, stages
from dynsim.bridge.measure.responses import READOUT_RIDGE, measure
from dynsim.config import ConfigError
from dynsim.plots.style import COLOR
from dynsim.theory.specialists import PURITY, purity

N_IMAGES, N_CHANNELS, N_CLASSES = 120, 24, 4
LABELS = np.repeat(np.arange(N_CLASSES), N_IMAGES // N_CLASSES)
SIZES = np.array([500, 100, 40, 5])
READINGS = [(basis, reading) for basis in dataset.BASES for reading in dataset.PURITY_READINGS]
compiled = jax.jit(measure, static_argnums=(2,))  # one shape and one program for all tests


def measured(features: np.ndarray, labels: np.ndarray = LABELS, key: int = 0) -> dict[str, np.ndarray]:
    out = compiled(features, labels, N_CLASSES, jax.random.key(key))
    return {name: np.array(values) for name, values in out.items()}


def one_record(features: np.ndarray, labels: np.ndarray = LABELS) -> xr.Dataset:
    arrays = {name: values[None] for name, values in measured(features, labels).items()}
    return dataset.channel_dataset(arrays, [0], SIZES, groups_by_rank(SIZES), N_IMAGES // N_CLASSES)


def noise(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(N_IMAGES, N_CHANNELS))


DEAD, CONSTANT, LOWEST, TWO = 8, 9, 10, 11


def planted() -> np.ndarray:
    """Channels 0 to 7 stand for the classes 0, 1, 2, 3, 0, ..., one is dead, one constant, one low on class 0."""
    features = np.abs(noise())
    for channel in range(8):
        features[:, channel] = (channel + 1) * (channel % N_CLASSES == LABELS)
    features[:, DEAD] = 0
    features[:, CONSTANT] = 3.1
    features[:, LOWEST] = 2.0 * (LABELS != 0)
    features[:, TWO] = 0.5 * (LABELS <= 1)
    return features


PLANTED = planted()


# ----- the images


def test_a_probe_takes_what_a_rare_class_has_and_fills_up():
    labels = np.repeat([0, 1, 2], 20)
    long_tailed = np.concatenate([np.arange(20), np.arange(20, 28), np.array([45])])
    found = probe.balanced_probe(labels, long_tailed, np.arange(60), n_classes=3, per_class=10, seed=3)
    np.testing.assert_array_equal(found.labels, np.repeat([0, 1, 2], 10))
    np.testing.assert_array_equal(labels[found.images], found.labels)
    np.testing.assert_array_equal(found.preferred, [10, 8, 1])
    assert len(set(found.images.tolist())) == 30
    assert set(range(20, 28)) | {45} <= set(found.images.tolist())
    again = probe.balanced_probe(labels, long_tailed[::-1], np.arange(60), n_classes=3, per_class=10, seed=3)
    np.testing.assert_array_equal(again.images, found.images)


def test_a_class_without_enough_images_is_refused():
    labels = np.repeat([0, 1], 20)
    with pytest.raises(DataError, match="class 1: wanted 25 images to measure on, got 20; take fewer per class"):
        probe.balanced_probe(np.append(labels, [0] * 9), np.arange(9), np.arange(49), n_classes=2, per_class=25, seed=0)


def test_shuffled_labels_have_the_same_counts():
    shuffled = probe.shuffled_labels(LABELS, seed=1)
    assert np.any(shuffled != LABELS)
    np.testing.assert_array_equal(np.bincount(shuffled), np.bincount(LABELS))


# ----- responses, against NumPy


@pytest.mark.parametrize("labels", [LABELS, np.repeat(np.arange(4), [50, 40, 20, 10])], ids=["equal", "unequal"])
def test_responses_agree_with_numpy(labels):
    """Every class has the same weight, also where it has more images than another."""
    features = np.maximum(noise(1) + 0.7 * np.eye(N_CLASSES, N_CHANNELS)[labels], 0)
    found = measured(features, labels)
    counts = np.bincount(labels)
    weights = 1 / (N_CLASSES * counts[labels])
    for c in range(N_CLASSES):
        of_class = features[labels == c]
        np.testing.assert_allclose(found["class_mean"][:, c], of_class.mean(axis=0))
        np.testing.assert_allclose(found["within_variance"][:, c], of_class.var(axis=0))
        np.testing.assert_allclose(found["active_share"][:, c], (of_class > 0).mean(axis=0), rtol=1e-12)
    covariance = np.cov(features.T, aweights=weights, ddof=0)
    np.testing.assert_allclose(found["spectrum"], np.linalg.eigvalsh(covariance), atol=1e-12)
    standard = (features - weights @ features) / np.sqrt(np.diag(covariance))
    indicators = (labels[:, None] == np.arange(N_CLASSES)) - 1 / N_CLASSES
    root = np.sqrt(weights)[:, None]
    # a ridge regression is a least-squares problem with one more row per channel
    rows = np.vstack([root * standard, np.sqrt(READOUT_RIDGE) * np.eye(N_CHANNELS)])
    solution = np.linalg.lstsq(rows, np.vstack([root * indicators, np.zeros((N_CHANNELS, N_CLASSES))]), rcond=None)[0]
    concepts = standard @ solution

    def correlation(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        return (a * weights[:, None]).T @ b / np.sqrt(np.outer(weights @ a**2, weights @ b**2))

    np.testing.assert_allclose(found["concept_cosine"], correlation(standard, concepts), atol=1e-10)
    np.testing.assert_allclose(found["readable"], np.diag(correlation(indicators, concepts)) ** 2)
    inside = root * concepts @ np.linalg.lstsq(root * concepts, root * standard, rcond=1e-8)[0]
    np.testing.assert_allclose(found["concept_share"], np.sum(inside**2, axis=0))
    arrays = {name: values[None] for name, values in found.items()}
    data = dataset.channel_dataset(arrays, [0], SIZES, groups_by_rank(SIZES), 30)
    cosine, share = channels.class_cosines(data)
    np.testing.assert_allclose(cosine[0], correlation(standard, indicators), atol=1e-12)
    explained = root * indicators @ np.linalg.lstsq(root * indicators, root * standard, rcond=1e-8)[0]
    np.testing.assert_allclose(share[0], np.sum(explained**2, axis=0))


@settings(max_examples=8)
@given(scale=st.floats(1e-3, 1e3), shift=st.floats(0, 5), seed=st.integers(0, 99))
def test_the_scale_of_channels_and_their_order_mean_nothing(scale, shift, seed):
    """Channels in other units, and in another order, give the same cosines and specialists in that order."""
    order = np.random.default_rng(seed).permutation(N_CHANNELS)
    scales = np.where(np.arange(N_CHANNELS) % 2, scale, 1.0)
    other = PLANTED * scales
    other[:, 1] += shift  # a shift changes what is zero, and nothing else
    before, after = one_record(PLANTED), one_record(other[:, order])
    for basis in dataset.BASES:
        for a, b in zip(channels.basis_cosines(before, basis), channels.basis_cosines(after, basis), strict=True):
            np.testing.assert_allclose(b, a[:, order], atol=1e-8)
        np.testing.assert_allclose(channels.permuted_level(after, basis), channels.permuted_level(before, basis))
    for a, b in zip(channels.channel_specialists(before), channels.channel_specialists(after), strict=True):
        np.testing.assert_array_equal(b, a[:, order])


# ----- planted channels


@pytest.mark.parametrize(("basis", "reading"), READINGS)
def test_planted_specialists_are_found_and_no_others(basis, reading):
    data = one_record(PLANTED)
    specialists, beyond = channels.channel_specialists(data, basis, reading)
    wanted = np.zeros((1, N_CHANNELS, N_CLASSES), bool)
    wanted[0, np.arange(8), np.arange(8) % N_CLASSES] = True
    np.testing.assert_array_equal(beyond, wanted)
    np.testing.assert_array_equal(specialists[0, :8], wanted[0, :8])
    np.testing.assert_array_equal(specialists[0, DEAD : TWO + 1], np.zeros((4, N_CLASSES), bool))


def test_cosines_of_simple_channels_by_hand():
    """An indicator has the cosine 1, its opposite -1, and a channel for 2 of 4 classes sqrt((4-2) / (2 (4-1)))."""
    cosine, share = (part[0] for part in channels.class_cosines(one_record(PLANTED)))
    np.testing.assert_allclose(cosine[2], [-1 / 3, -1 / 3, 1, -1 / 3])
    np.testing.assert_allclose(cosine[LOWEST, 0], -1)
    np.testing.assert_allclose(cosine[TWO], np.sqrt(1 / 3) * np.array([1, 1, -1, -1]))
    np.testing.assert_allclose(share[[2, LOWEST, TWO]], 1)
    np.testing.assert_array_equal(cosine[[DEAD, CONSTANT]], 0)
    np.testing.assert_array_equal(share[[DEAD, CONSTANT]], 0)


def test_the_snapshot_by_hand():
    """A channel with the class means 3, 1, 1, 1 and the variance 1/4 within each class, active on 3 in 4 images."""
    data = one_record(PLANTED)
    data["class_mean"][0, 0] = [3, 1, 1, 1]
    data["within_variance"][0, 0] = [0.25] * 4
    data["active_share"][0, 0] = [0.75, 0.1, 0.2, 0.3]
    whole, part = (channels.channel_snapshot(data, reading=reading) for reading in dataset.PURITY_READINGS)
    # the means have the variance 3/4, so that the classes explain 3/4 of 1; the deviation within is 1/2
    np.testing.assert_allclose(whole.weight_norm[0, 0], 1 / 0.5)
    np.testing.assert_allclose(part.weight_norm[0, 0], np.sqrt(3))
    assert (whole.residual_norm[0, 0], part.residual_norm[0, 0]) == (1, 0)
    np.testing.assert_allclose(whole.alignment[0, 0], np.sqrt(0.75) / 0.5 * np.array([1, -1 / 3, -1 / 3, -1 / 3]))
    np.testing.assert_allclose(purity(whole.alignment, whole.weight_norm)[0, 0], np.sqrt(0.75))
    np.testing.assert_allclose(purity(part.alignment, part.weight_norm)[0, 0], 1)
    np.testing.assert_allclose([whole.firing[0, 0], whole.false_firing[0, 0]], [0.75, 0.2])
    np.testing.assert_allclose(whole.threshold[0, 0], -1.5 / 0.5)  # the mean of 1.5, in deviations within
    assert whole.firing[0, LOWEST] == 0
    assert whole.weight_norm[0, DEAD] == whole.weight_norm[0, CONSTANT] == 0
    np.testing.assert_allclose(whole.weight_norm**2, whole.residual_norm**2 + part.weight_norm**2)


def test_dead_channels_selectivity_and_rank_by_hand():
    data = one_record(PLANTED)
    assert np.flatnonzero(channels.dead(data)[0]).tolist() == [DEAD]
    index = channels.selectivity(data)[0]
    np.testing.assert_allclose(index[[0, 5, CONSTANT, LOWEST]], [1, 1, 0, (2 - 4 / 3) / (2 + 4 / 3)], atol=1e-12)
    assert np.isnan(index[DEAD])
    for spectrum, rank in (([0, 0, 2, 2], 2), ([0, 0, 0, 7], 1), ([3, 3, 3, 3], 4), ([0, 0, 0, 0], 0)):
        np.testing.assert_allclose(channels.effective_rank(xr.Dataset({"spectrum": (("r", "k"), [spectrum])})), [rank])


def test_separation_has_no_bias_from_few_images():
    """Ten images of classes at the squared distance 6 from the mean, with spreads 1 and 4: 6/12 and 6/48 on average."""
    rng = np.random.default_rng(0)
    n, centre = 10, np.array([1.0, -1.0])
    spread = np.array([1.0, 2.0])
    found = []
    for _ in range(1000):
        images = centre[:, None, None] * np.sqrt(0.5) + spread[:, None, None] * rng.normal(size=(2, n, 12))
        mean, within = images.mean(axis=1).T, images.var(axis=1).T
        dims = ("record", "channel", "class")
        arrays = {"class_mean": (dims, mean[None]), "within_variance": (dims, within[None])}
        value = channels.separation(xr.Dataset(arrays, attrs={"images_per_class": n}))[0]
        found.append(value * within.sum(axis=0))  # the numerator is what has no bias
    mean, error = np.mean(found, axis=0), np.std(found, axis=0) / np.sqrt(1000)
    assert np.all(np.abs(mean - 6.0) < 4 * error), (mean, error)


# ----- chance


@functools.cache
def shuffled_record(seed: int) -> xr.Dataset:
    return one_record(PLANTED, probe.shuffled_labels(LABELS, seed))


@pytest.mark.parametrize(("basis", "reading"), READINGS)
def test_with_shuffled_labels_hardly_anything_is_found(basis, reading):
    """Over 20 orders of the labels: p <= 0.05 for a single informed channel, so 5 or more have p < 0.003."""
    found = []
    for seed in range(20):
        data = shuffled_record(seed)
        specialists, beyond = channels.channel_specialists(data, basis, reading)
        assert not np.any(beyond & ~specialists)
        found.append(channels.informed(data, basis).any())
        assert specialists.sum() <= channels.informed(data, basis).sum()
    assert sum(found) < 5


def test_mixtures_are_as_pure_as_random_directions():
    """Channels that stand for all classes alike span their means evenly: a mixture is a random direction of R^3."""
    features = np.stack([(k % N_CLASSES == LABELS) for k in range(N_CHANNELS)], axis=1).astype(float)
    data = one_record(features)
    counts = channels.mixed_counts(data, reading="class_part")[0]
    corners = np.eye(N_CLASSES) - 1 / N_CLASSES
    directions = np.random.default_rng(0).normal(size=(20_000, N_CLASSES)) @ corners
    corners = corners / np.linalg.norm(corners, axis=1, keepdims=True)
    cosine = directions @ corners.T / np.linalg.norm(directions, axis=1, keepdims=True)
    best = np.abs(cosine).argmax(axis=1)
    own = cosine[np.arange(len(cosine)), best]
    share = np.mean(own >= PURITY)
    n = counts.shape[0] * N_CHANNELS
    assert abs(counts.sum() / n - share) < 4 * np.sqrt(share * (1 - share) / n)
    # without variation within the classes both readings agree
    np.testing.assert_allclose(
        channels.mixed_level(data, reading="whole"), channels.mixed_level(data, reading="class_part")
    )


def test_a_layer_of_mixtures_has_no_more_specialists_than_mixtures_have():
    """The planted layer, turned by a random rotation: as readable as before, but no single channel is special."""
    rotation = np.linalg.qr(np.random.default_rng(5).normal(size=(N_CHANNELS, N_CHANNELS)))[0]
    std = PLANTED.std(axis=0)
    turned = one_record(PLANTED / np.where(std > 1e-9, std, np.inf) @ rotation)
    plain = one_record(PLANTED)
    np.testing.assert_allclose(turned["readable"], plain["readable"], atol=0.01)
    n = {
        name: channels.channel_specialists(data, reading="class_part")[1].sum()
        for name, data in (("p", plain), ("t", turned))
    }
    assert n["p"] == 8
    assert n["t"] <= 2


# ----- stages

EPOCHS = np.arange(0, 101, 2)


def growing(head: float = 20, tail: float = 50, top: float = 0.97) -> xr.Dataset:
    """Return 16 channels on 4 classes: all learn the classes a little around epoch 8, half of them one class later.

    Channels 0 to 7 specialise in the classes 0, 1, 2, 3, 0, ... at the epoch head or, for class 3, tail; the others go
    on with a class share of 0.3.
    """
    steps = EPOCHS[:, None, None]
    own = (np.arange(8) % 4)[:, None] == np.arange(4)
    switch = np.where(np.arange(8) % 4 == 3, tail, head)[None, :, None]
    mixed = np.random.default_rng(0).normal(size=(16, 4))
    mixed -= mixed.mean(axis=1, keepdims=True)
    mixed /= np.linalg.norm(mixed, axis=1, keepdims=True) / 2  # variance 1 between the classes
    pure = 2 * (own - 0.25) / np.sqrt(0.75)
    share = 0.02 + 0.28 / (1 + np.exp(-(steps - 8) / 1.5)) * np.ones((1, 16, 1))
    special = steps >= switch
    share[:, :8] = np.where(special, top, share[:, :8])
    means = np.broadcast_to(mixed, (len(EPOCHS), 16, 4)).copy()
    means[:, :8] = np.where(special, pure, means[:, :8])
    flat = np.ones((len(EPOCHS), 19))
    arrays = {
        "class_mean": 3 + np.sqrt(share) * means,
        "within_variance": np.broadcast_to(1 - share, means.shape).copy(),
        "active_share": np.full(means.shape, 0.9),
        "concept_cosine": np.sqrt(share / 3) * means,
        "concept_share": share[..., 0],
        "readable": np.full((len(EPOCHS), 4), 0.5),
        "permuted_purity": 0.05 * flat[..., None] * np.ones(2),
        "permuted_readable": 0.1 * flat,
        "mixed_purity": np.full((len(EPOCHS), 19, 2, 2), 0.9),
        "mixed_specialists": np.zeros((len(EPOCHS), 19, 2, 2, 4), int),
        "spectrum": np.ones((len(EPOCHS), 16)),
    }
    return dataset.channel_dataset(arrays, EPOCHS, SIZES, groups_by_rank(SIZES), 100)


@pytest.mark.parametrize("basis", dataset.BASES)
def test_stage_ends_of_planted_stages(basis):
    """T1 at half of the growth, T2 at the switch to specialists, head before tail; and no T1 by the theory's rule."""
    data = growing()
    ends = stages.channel_stage_ends(data, basis, t1_rule="saturation")
    assert groups_by_rank(SIZES).tolist() == ["many", "many", "medium", "few"]
    assert {group: ends[group]["T2"].step for group in ends} == {"many": 20, "medium": 20, "few": 50, "all": 50}
    for group, of_group in ends.items():
        assert of_group["T1"].step in (6, 8, 10), (group, of_group)
        assert of_group["T3"].step > of_group["T2"].step
    by_norm = stages.channel_stage_ends(data, basis)
    assert by_norm["many"]["T1"].reason.startswith("the group's energy grew by")
    assert by_norm["many"]["T2"].reason == "no stage 1 before it"


def test_the_norm_rule_finds_t1_where_the_classes_explain_half():
    """With a class share rising to 0.9 for all classes together, the energy gains the norm near a share of one half."""
    data = growing(top=0.99)
    grown = 0.02 + 0.88 * (np.arange(len(EPOCHS)) / 20).clip(0, 1)  # per record; half at epoch 22
    means = data["class_mean"].values
    centred = means - means.mean(axis=-1, keepdims=True)
    unit = centred / np.sqrt(np.square(centred).mean(axis=-1, keepdims=True))
    unit[:, :8] = unit[:, 8:]
    share = grown[:, None, None] * np.ones((1, 16, 1))
    data["class_mean"][:] = 3 + np.sqrt(share) * unit
    data["within_variance"][:] = np.broadcast_to(1 - share, means.shape)
    end = stages.channel_stage_ends(data)["all"]["T1"]
    # squared cosines sum to 4/3 of the share, and the norm at the start is 1 / 0.98: s/(1-s) - 0.02/0.98 >= 0.75 / 0.98
    wanted = 2 * int(np.argmax(grown / (1 - grown) - 0.02 / 0.98 >= 0.75 / 0.98))
    assert end.step == wanted


def test_no_stage_without_growth_or_in_a_diverged_training():
    data = growing()
    data["class_mean"][:] = data["class_mean"][:1]
    data["within_variance"][:] = data["within_variance"][:1]
    ends = stages.channel_stage_ends(data, t1_rule="saturation")
    assert ends["all"]["T1"].reason == "the group's energy grew by a factor of 1 at most, wanted 2"
    data = growing()
    data["class_mean"][30:, 2] = np.nan
    ends = stages.channel_stage_ends(data)
    assert ends["few"]["T3"].reason == "the run diverged: the alignment of neuron 2 is not finite at step 60"
    with np.errstate(all="ignore"):
        assert curves.channel_curves([data])["diverged_step"].values.tolist() == [60]


# ----- curves, summary, figures


def test_curves_and_summary_of_planted_stages():
    runs = [growing(), growing(tail=70)]
    found = curves.channel_curves(runs, t1_rule="saturation")
    last = found.isel(seed=0, record=-1)
    assert last["specialists"].values.tolist() == [4, 2, 2, 8]
    assert last["coverage"].values.tolist() == [1, 1, 1, 1]
    assert (
        last["purity"].sel(group="few").item() == pytest.approx(np.sqrt(0.97), abs=1e-6) or last["informed"].max() > 8
    )
    np.testing.assert_allclose(last["class_share"].sel(group="all"), (0.97 * 8 + 0.3 * 8) / 16, rtol=1e-5)
    np.testing.assert_allclose(last["effective_rank"], 16)
    assert found["stage_end"].sel(group="few", stage="T2").values.tolist() == [50, 70]
    assert found["stage_end"].sel(group="many", stage="T2").values.tolist() == [20, 20]
    text = json.dumps(curves.channel_summary(runs[0]), allow_nan=False)
    summary = json.loads(text)
    assert summary["classes, whole"]["groups"]["few"]["specialists"] == 2
    assert summary["classes, whole"]["stages"]["saturation"]["few"]["T2"]["epoch"] == 50
    assert summary["by_class_size"]["separation"] is not None
    assert summary["n_channels"] == 16


def test_what_does_not_fit_together_is_refused_in_one_line():
    good = growing()
    arrays = {name: good[name].values for name in dataset.ARRAYS}
    groups = groups_by_rank(SIZES)
    cases = [
        (arrays | {"spectrum": arrays["spectrum"][:, :5]}, EPOCHS, SIZES, groups, "spectrum: wanted the shape"),
        ({"spectrum": arrays["spectrum"]}, EPOCHS, SIZES, groups, "none named class_mean"),
        (arrays, EPOCHS[::-1], SIZES, groups, "wanted whole and increasing numbers"),
        (arrays, EPOCHS, SIZES, np.array(["many", "few", "some", "few"]), "with some"),
        (arrays, EPOCHS, SIZES, groups[:3], "for each of 4 classes, got 3"),
    ]
    for one, epochs, sizes, of_class, message in cases:
        with pytest.raises(DataError, match=message) as error:
            dataset.channel_dataset(one, epochs, sizes, of_class, 100)
        assert "\n" not in str(error.value)
    with pytest.raises(DataError, match="wanted at least one, all with the same epochs"):
        curves.channel_curves([good, good.isel(record=slice(0, 9))])
    with pytest.raises(ConfigError, match="basis"):
        channels.channel_snapshot(good, basis="class")
    with pytest.raises(ConfigError, match="t1_rule"):
        stages.channel_stage_ends(good, t1_rule="half")


def test_figures_show_the_groups_in_the_colours_of_the_theory():
    arms = {
        "unpruned": curves.channel_curves([growing(), growing(tail=70)], t1_rule="saturation"),
        "pruned": curves.channel_curves([growing(tail=30)], t1_rule="saturation"),
    }
    figure = plots.channel_stages(arms)
    assert len(figure.axes) == 6
    ax = figure.axes[1]
    lines = {line.get_color(): line.get_ydata() for line in ax.lines if line.get_marker() in ("None", "")}
    assert set(lines) == {COLOR["majority"], COLOR["minority"]}
    np.testing.assert_array_equal(lines[COLOR["majority"]], (EPOCHS >= 20) * 1.0)
    np.testing.assert_array_equal(lines[COLOR["minority"]], 0.5 * (EPOCHS >= 50) + 0.5 * (EPOCHS >= 70))
    marked = {line.get_xdata()[0] for line in ax.lines if line.get_marker() == "v"}
    assert marked == {20, 60}
    figure = plots.channel_measures(arms)
    assert [ax.get_ylabel() for ax in figure.axes] == list(plots.MEASURE_PANELS.values())
    assert {line.get_linestyle() for line in figure.axes[0].lines} == {"-", "--"}
    for draw in (plots.channel_stages, plots.channel_measures):
        with pytest.raises(DataError, match="arms: wanted"):
            draw({})


def test_channels_that_are_all_dead_leave_empty_panels_that_say_so():
    dead = growing()
    dead = dead.assign({name: dead[name] * np.nan for name in ("class_mean", "spectrum")})
    arms = {"collapsed": curves.channel_curves([dead], t1_rule="saturation")}
    assert len(plots.channel_stages(arms).axes) == 3
    figure = plots.channel_measures(arms)
    purity = figure.axes[list(plots.MEASURE_PANELS).index("purity")]
    assert [text.get_text() for text in purity.texts] == ["none in any seed"]
    assert np.isfinite([ax.get_ylim() for ax in figure.axes]).all()


def test_the_rooms_names_are_those_it_exports():
    assert all(hasattr(channels_room, name) for name in channels_room.__all__)
