"""Scores against scikit-image, SciPy, Sharma's pairs, direct loops and closed forms."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats
from scipy.linalg import sqrtm
from skimage.color import deltaE_ciede2000
from skimage.metrics import peak_signal_noise_ratio, structural_similarity
from sklearn.isotonic import IsotonicRegression
from sklearn.metrics import adjusted_rand_score

from colorcapsnet import color, metrics
from colorcapsnet.errors import PictureError

pictures = st.tuples(st.integers(11, 16), st.integers(11, 16), st.just(3)).flatmap(
    lambda shape: st.tuples(arrays(np.uint8, shape), arrays(np.uint8, shape))
)
labs = arrays(np.float64, (4, 3), elements=st.floats(-100, 100)).map(lambda lab: lab + np.array([100, 0, 0]))


def random_pair(shape=(61, 83, 3), noise=25):
    rng = np.random.default_rng(1)
    truth = rng.integers(0, 256, shape).astype(np.uint8)
    output = np.clip(truth + rng.normal(0, noise, shape), 0, 255).astype(np.uint8)
    return truth, output


# PSNR


@given(pictures)
def test_psnr_is_scikit_images_and_symmetric(pair):
    truth, output = pair
    with np.errstate(divide="ignore"):
        expected = peak_signal_noise_ratio(truth, output, data_range=255)
    assert metrics.psnr(truth, output) == pytest.approx(expected, abs=1e-9)
    assert metrics.psnr(truth, output) == metrics.psnr(output, truth)


def test_psnr_of_equal_pictures_is_infinite():
    assert metrics.psnr(*[random_pair()[0]] * 2) == math.inf


def test_psnr_of_black_against_white_is_zero_however_large():
    black = np.zeros((1500, 2100, 3), np.uint8)
    assert metrics.psnr(black, ~black) == pytest.approx(0, abs=1e-12)


def test_psnr_of_one_level_everywhere_is_48_13_db():
    gray = np.full((9, 9), 100, np.uint8)
    assert metrics.psnr(gray, gray + 1) == pytest.approx(20 * math.log10(255))


def test_pictures_of_different_sizes_are_refused():
    with pytest.raises(PictureError, match=r"different sizes cannot be compared: 9×12×3 and 12×9×3"):
        metrics.psnr(np.zeros((9, 12, 3), np.uint8), np.zeros((12, 9, 3), np.uint8))


# SSIM

GAUSSIAN = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}


@pytest.mark.parametrize(("window", "options"), [("uniform", {}), ("gaussian", GAUSSIAN)])
@given(pair=pictures)
@settings(max_examples=40)
def test_ssim_is_scikit_images(window, options, pair):
    expected = structural_similarity(*pair, channel_axis=2, data_range=255, **options)
    assert metrics.ssim(*pair, window) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize(("window", "options"), [("uniform", {}), ("gaussian", GAUSSIAN)])
def test_ssim_is_scikit_images_on_one_channel_and_on_flat_areas(window, options):
    truth, output = random_pair((40, 50))
    truth[:20] = output[:20] = 200
    output[5, 5] = 201
    expected = structural_similarity(truth, output, data_range=255, **options)
    assert metrics.ssim(truth, output, window) == pytest.approx(expected, abs=1e-9)


@given(pictures)
@settings(max_examples=30)
def test_ssim_is_1_on_equal_pictures_symmetric_and_at_most_1(pair):
    truth, output = pair
    assert metrics.ssim(truth, truth) == pytest.approx(1)
    assert metrics.ssim(truth, output) == pytest.approx(metrics.ssim(output, truth), abs=1e-12)
    assert -1 <= metrics.ssim(truth, output) <= 1 + 1e-12


@pytest.mark.parametrize(("window", "side"), [("uniform", 7), ("gaussian", 11)])
def test_ssim_needs_a_picture_as_large_as_its_window(window, side):
    picture = np.zeros((side, side, 3), np.uint8)
    assert metrics.ssim(picture, picture, window) == pytest.approx(1)
    with pytest.raises(PictureError, match=f"{side}×{side - 1} pixels are too few for SSIM: it needs at least"):
        metrics.ssim(picture[1:], picture[1:], window)


# CIEDE2000

# Sharma, Wu and Dalal 2005, table 1: L a b, L a b, difference
SHARMA = np.loadtxt(
    """
    50.0000   2.6772 -79.7751  50.0000   0.0000 -82.7485  2.0425
    50.0000   3.1571 -77.2803  50.0000   0.0000 -82.7485  2.8615
    50.0000   2.8361 -74.0200  50.0000   0.0000 -82.7485  3.4412
    50.0000  -1.3802 -84.2814  50.0000   0.0000 -82.7485  1.0000
    50.0000  -1.1848 -84.8006  50.0000   0.0000 -82.7485  1.0000
    50.0000  -0.9009 -85.5211  50.0000   0.0000 -82.7485  1.0000
    50.0000   0.0000   0.0000  50.0000  -1.0000   2.0000  2.3669
    50.0000  -1.0000   2.0000  50.0000   0.0000   0.0000  2.3669
    50.0000   2.4900  -0.0010  50.0000  -2.4900   0.0009  7.1792
    50.0000   2.4900  -0.0010  50.0000  -2.4900   0.0010  7.1792
    50.0000   2.4900  -0.0010  50.0000  -2.4900   0.0011  7.2195
    50.0000   2.4900  -0.0010  50.0000  -2.4900   0.0012  7.2195
    50.0000  -0.0010   2.4900  50.0000   0.0009  -2.4900  4.8045
    50.0000  -0.0010   2.4900  50.0000   0.0010  -2.4900  4.8045
    50.0000  -0.0010   2.4900  50.0000   0.0011  -2.4900  4.7461
    50.0000   2.5000   0.0000  50.0000   0.0000  -2.5000  4.3065
    50.0000   2.5000   0.0000  73.0000  25.0000 -18.0000 27.1492
    50.0000   2.5000   0.0000  61.0000  -5.0000  29.0000 22.8977
    50.0000   2.5000   0.0000  56.0000 -27.0000  -3.0000 31.9030
    50.0000   2.5000   0.0000  58.0000  24.0000  15.0000 19.4535
    50.0000   2.5000   0.0000  50.0000   3.1736   0.5854  1.0000
    50.0000   2.5000   0.0000  50.0000   3.2972   0.0000  1.0000
    50.0000   2.5000   0.0000  50.0000   1.8634   0.5757  1.0000
    50.0000   2.5000   0.0000  50.0000   3.2592   0.3350  1.0000
    60.2574 -34.0099  36.2677  60.4626 -34.1751  39.4387  1.2644
    63.0109 -31.0961  -5.8663  62.8187 -29.7946  -4.0864  1.2630
    61.2901   3.7196  -5.3901  61.4292   2.2480  -4.9620  1.8731
    35.0831 -44.1164   3.7933  35.0232 -40.0716   1.5901  1.8645
    22.7233  20.0904 -46.6940  23.0331  14.9730 -42.5619  2.0373
    36.4612  47.8580  18.3852  36.2715  50.5065  21.2231  1.4146
    90.8027  -2.0831   1.4410  91.1528  -1.6435   0.0447  1.4441
    90.9257  -0.5406  -0.9208  88.6381  -0.8985  -0.7239  1.5381
     6.7747  -0.2908  -2.4247   5.8714  -0.0985  -2.2286  0.6377
     2.0776   0.0795  -1.1350   0.9033  -0.0636  -0.5514  0.9082
    """.splitlines()
)


def test_ciede2000_gives_sharmas_34_differences_to_four_digits_both_ways():
    first, second, expected = SHARMA[:, :3], SHARMA[:, 3:6], SHARMA[:, 6]
    assert np.abs(metrics.ciede2000(first, second) - expected).max() < 6e-5
    assert np.abs(metrics.ciede2000(second, first) - expected).max() < 6e-5


def test_ciede2000_is_scikit_images_on_a_picture():
    truth, output = (color.srgb_to_lab(picture) for picture in random_pair((300, 310, 3)))
    difference = metrics.ciede2000(truth, output)
    assert difference.shape == (300, 310)
    assert np.abs(difference - deltaE_ciede2000(truth.astype(float), output.astype(float))).max() < 1e-4


@given(labs, labs)
def test_ciede2000_is_symmetric_and_zero_between_equal_colors_only(lab, other):
    assert np.all(metrics.ciede2000(lab, lab) == 0)
    assert metrics.ciede2000(lab, other) == pytest.approx(metrics.ciede2000(other, lab), abs=1e-4)
    apart = np.abs(lab - other).max(axis=-1) > 1e-3
    assert np.all(metrics.ciede2000(lab, other)[apart] > 0)


# AuC


@given(
    arrays(np.float32, (5, 4, 2), elements=st.floats(-120, 120, width=32)),
    arrays(np.float32, (5, 4, 2), elements=st.floats(-120, 120, width=32)),
)
def test_auc_is_the_mean_over_thresholds_of_the_share_within(ab, other):
    shares = []
    for threshold in range(151):
        within = 0
        for (a, b), (c, d) in zip(ab.reshape(-1, 2), other.reshape(-1, 2), strict=True):
            within += math.hypot(float(a - c), float(b - d)) <= threshold
        shares.append(within / 20)
    assert metrics.auc(ab, other) == pytest.approx(np.mean(shares), abs=1e-12)


def test_auc_is_1_for_equal_colors_and_0_beyond_every_threshold():
    ab = np.zeros((3, 3, 2), np.float32)
    assert metrics.auc(ab, ab) == 1
    assert metrics.auc(ab, ab + np.float32([150.5, 0])) == 0
    assert metrics.auc(ab, ab + np.float32([150, 0])) == pytest.approx(1 / 151)


# Colorfulness


def test_colorfulness_is_the_published_formula():
    rgb = random_pair()[0].astype(float)
    rg = rgb[..., 0] - rgb[..., 1]
    yb = (rgb[..., 0] + rgb[..., 1]) / 2 - rgb[..., 2]
    for form, change in (("signed", np.asarray), ("absolute", np.abs)):
        deviation = math.sqrt(change(rg).std() ** 2 + change(yb).std() ** 2)
        mean = math.sqrt(change(rg).mean() ** 2 + change(yb).mean() ** 2)
        assert metrics.colorfulness(rgb.astype(np.uint8), form) == pytest.approx(deviation + 0.3 * mean, rel=1e-6)


def test_colorfulness_of_half_red_half_green_by_hand():
    """Signed: rg is ±255 and averages 0. Absolute: rg is 255 everywhere, without deviation. yb is 127.5 in both."""
    rgb = np.zeros((8, 8, 3), np.uint8)
    rgb[:4, :, 0] = rgb[4:, :, 1] = 255
    assert metrics.colorfulness(rgb) == pytest.approx(255 + 0.3 * 127.5)
    assert metrics.colorfulness(rgb, "absolute") == pytest.approx(0.3 * math.hypot(255, 127.5))


@given(arrays(np.uint8, (6, 5)))
def test_colorfulness_and_chroma_of_gray_are_zero(gray):
    rgb = np.repeat(gray[..., None], 3, axis=-1)
    assert metrics.colorfulness(rgb) == metrics.colorfulness(rgb, "absolute") == 0
    assert metrics.chroma(color.srgb_to_lab(rgb)[..., 1:]) == 0


def test_chroma_is_the_mean_distance_from_gray():
    ab = np.float32([[[3, 4], [-6, 8]]])
    assert metrics.chroma(ab) == pytest.approx(7.5)


# Calibration slope


def test_slope_terms_are_those_of_a_regression_through_the_origin():
    rng = np.random.default_rng(0)
    truth, predicted = rng.normal(0, 20, (2, 9, 8, 2)).astype(np.float32)
    top, bottom = metrics.slope_terms(truth, predicted)
    expected = np.linalg.lstsq(predicted.reshape(-1, 1), truth.ravel(), rcond=None)[0].item()
    assert top / bottom == pytest.approx(expected, rel=1e-5)


def test_slope_is_below_1_for_the_too_bold_and_above_1_for_the_too_timid():
    truth = np.random.default_rng(0).normal(0, 20, (5, 5, 2))
    for boldness in (0.5, 1, 2):
        top, bottom = metrics.slope_terms(truth, boldness * truth)
        assert top / bottom == pytest.approx(1 / boldness)


# Fréchet distance


@pytest.mark.parametrize("counts", [(200, 150), (8, 200), (5, 6)], ids=["full rank", "one poor", "both poor"])
def test_frechet_is_the_direct_formula(counts):
    rng = np.random.default_rng(2)
    mixing = rng.normal(size=(12, 12))
    x, y = rng.normal(size=(counts[0], 12)) @ mixing + 0.5, rng.normal(size=(counts[1], 12))
    s, t = np.cov(x.T), np.cov(y.T)
    direct = np.sum((x.mean(0) - y.mean(0)) ** 2) + np.trace(s + t - 2 * sqrtm(s @ t).real)
    assert metrics.frechet(x, y) == pytest.approx(direct, rel=1e-5, abs=1e-5)
    assert metrics.frechet(y, x) == pytest.approx(metrics.frechet(x, y), rel=1e-6, abs=1e-6)


@given(arrays(np.float64, (9, 1), elements=st.floats(-5, 5)), arrays(np.float64, (7, 1), elements=st.floats(-5, 5)))
def test_frechet_in_one_dimension_is_means_and_deviations_apart(x, y):
    expected = (x.mean() - y.mean()) ** 2 + (x.std(ddof=1) - y.std(ddof=1)) ** 2
    assert metrics.frechet(x, y) == pytest.approx(expected, abs=1e-6)


def test_frechet_of_a_shifted_set_is_the_squared_shift_and_of_itself_zero():
    x = np.random.default_rng(3).normal(size=(50, 6))
    assert metrics.frechet(x, x) == pytest.approx(0, abs=1e-6)
    assert metrics.frechet(x, x + np.array([3, 4, 0, 0, 0, 0])) == pytest.approx(25)


# Bootstrap


def test_bootstrap_of_a_mean_agrees_with_scipy():
    values = np.random.default_rng(4).gamma(2, 3, 60)
    ours = metrics.bootstrap(values)
    theirs = stats.bootstrap(
        [values], np.mean, n_resamples=10_000, method="percentile", rng=np.random.default_rng(5)
    ).confidence_interval
    assert ours.value == pytest.approx(values.mean())
    assert [ours.low, ours.high] == pytest.approx([theirs.low, theirs.high], abs=0.05)


def test_bootstrap_of_a_ratio_resamples_whole_pictures():
    rng = np.random.default_rng(6)
    power = rng.gamma(2, 3, 40)
    products = 0.8 * power + rng.normal(0, 1, 40)
    ratios = []
    for _ in range(10_000):
        drawn = rng.integers(0, 40, 40)
        ratios.append(products[drawn].sum() / power[drawn].sum())
    ours = metrics.bootstrap(products, over=power)
    assert ours.value == pytest.approx(products.sum() / power.sum())
    assert [ours.low, ours.high] == pytest.approx(np.percentile(ratios, [2.5, 97.5]), abs=0.01)


@given(arrays(np.float64, st.integers(1, 30), elements=st.floats(-50, 50)), st.floats(-50, 50))
@settings(max_examples=30)
def test_bootstrap_holds_the_mean_moves_with_it_and_repeats_itself(values, shift):
    interval, moved = metrics.bootstrap(values), metrics.bootstrap(values + shift)
    slack = 1e-9
    assert values.min() - slack <= interval.low <= interval.high <= values.max() + slack
    assert moved.low == pytest.approx(interval.low + shift, abs=1e-9)
    assert metrics.bootstrap(values) == interval


def test_paired_differences_show_what_two_intervals_hide():
    """Every picture gains 0.1 to 0.3 dB; pictures differ by 3 dB."""
    rng = np.random.default_rng(7)
    gray = rng.normal(23, 3, 100)
    model = gray + rng.uniform(0.1, 0.3, 100)
    assert metrics.bootstrap(model).low < metrics.bootstrap(gray).high
    gain = metrics.bootstrap(model - gray)
    assert gain.excludes_zero and 0.1 < gain.low < gain.high < 0.3
    assert not metrics.bootstrap(model - rng.permutation(model)).excludes_zero


def test_bootstrap_covers_the_true_mean_about_19_times_in_20():
    rng = np.random.default_rng(8)
    intervals = [metrics.bootstrap(rng.normal(1, 2, 50)) for _ in range(100)]
    assert 88 <= sum(interval.low <= 1 <= interval.high for interval in intervals) <= 99


def test_bootstrap_in_chunks_is_the_same_as_at_once(monkeypatch):
    values = np.random.default_rng(9).normal(size=300)
    in_chunks = metrics.bootstrap(values)
    monkeypatch.setattr(metrics, "_CHUNK", 1 << 30)
    metrics._resamples.cache_clear()
    assert metrics.bootstrap(values) == in_chunks


def test_bootstrap_is_the_mean_of_pictures_drawn_with_replacement():
    values, over = np.random.default_rng(10).uniform(1, 9, (2, 30))
    rng = np.random.default_rng(3)
    ratios = []
    for _ in range(10_000):
        drawn = rng.integers(0, 30, 30)
        ratios.append(values[drawn].sum() / over[drawn].sum())
    found = metrics.bootstrap(values, over, seed=3)
    assert [found.low, found.high] == pytest.approx(np.percentile(ratios, [2.5, 97.5]))


def test_bootstrap_of_nothing_is_nothing():
    assert metrics.bootstrap([]) is None
    assert metrics.bootstrap([1.0, 2.0], over=[0.0, 0.0]) is None
    only = metrics.bootstrap([1.0, 4.0], over=[0.0, 2.0])
    assert (only.value, only.low) == (2.5, 2.0)


# Regions


labelings = st.integers(1, 60).flatmap(
    lambda size: st.tuples(*[arrays(np.int64, size, elements=st.integers(-2, 4))] * 2)
)


@given(labelings)
def test_the_adjusted_rand_index_is_scikit_learns_and_symmetric(pair):
    labels, others = pair
    assert metrics.adjusted_rand(labels, others) == pytest.approx(adjusted_rand_score(labels, others), abs=1e-12)
    assert metrics.adjusted_rand(labels, others) == pytest.approx(metrics.adjusted_rand(others, labels), abs=1e-12)


def test_the_adjusted_rand_index_knows_no_names_and_expects_nothing_of_chance():
    labels = np.random.default_rng(0).integers(0, 5, (200, 300))
    assert metrics.adjusted_rand(labels, np.array([7, 3, 900, -1, 0])[labels]) == 1
    assert abs(metrics.adjusted_rand(labels, np.random.default_rng(1).integers(0, 5, (200, 300)))) < 1e-3


# Calibration

samples = st.integers(1, 40).flatmap(
    lambda size: st.tuples(
        arrays(np.float64, size, elements=st.sampled_from(np.linspace(0, 1, 17).tolist())),
        arrays(np.float64, size, elements=st.floats(0, 1)),
    )
)


@given(samples)
def test_isotonic_regression_is_scikit_learns(pair):
    x, y = pair
    assert metrics.isotonic(x, y) == pytest.approx(IsotonicRegression().fit_transform(x, y), abs=1e-9)


@given(samples, st.integers(1, 9))
def test_a_rising_curve_rises_and_has_few_knots_and_keeps_the_mean(pair, knots):
    xs, ys = metrics.rising_curve(*pair, knots)
    assert len(xs) == len(ys) <= knots
    assert np.all(np.diff(xs) > 0) and np.all(np.diff(ys) >= 0)
    assert min(pair[0]) <= xs[0] and xs[-1] <= max(pair[0]) + 1e-12
    assert min(pair[1]) - 1e-12 <= ys[0] and ys[-1] <= max(pair[1]) + 1e-12


def test_a_rising_curve_finds_the_probability_behind_yes_and_no():
    """Samples that are overconfident by a known rule, and the rule."""
    rng = np.random.default_rng(0)
    predicted = rng.random(200_000)
    xs, ys = metrics.rising_curve(predicted, rng.random(200_000) < predicted**2)
    assert len(xs) == 33
    assert np.abs(np.interp(np.linspace(0.05, 0.95, 50), xs, ys) - np.linspace(0.05, 0.95, 50) ** 2).max() < 0.02


def test_reliability_goes_by_tenths_of_the_samples():
    rng = np.random.default_rng(0)
    predicted = rng.random(5000)
    hit = rng.random(5000) < predicted
    sure, share = metrics.reliability(predicted, hit)
    order = np.argsort(predicted)
    for part in range(10):
        tenth = order[500 * part : 500 * (part + 1)]
        assert (sure[part], share[part]) == (pytest.approx(predicted[tenth].mean()), hit[tenth].mean())
    assert np.abs(sure - share).max() < 0.08


def test_reliability_of_one_answer_for_all_is_the_same_share_throughout():
    """In the order of a list, all hits first, the tenths would be 1 and 0."""
    sure, share = metrics.reliability(np.full(10_000, 0.5), np.repeat([True, False], 5000))
    assert np.all(sure == 0.5) and np.abs(share - 0.5).max() < 0.06


def test_reliability_of_few_samples_has_fewer_parts():
    assert [len(values) for values in metrics.reliability([0.2, 0.9, 0.4], [0, 1, 1])] == [3, 3]
