"""What capsules are for, each measure against the same thing done slowly, and where it must be 0 or 1."""

from __future__ import annotations

import io
import json
import tarfile
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import PIL.Image
import pytest
from skimage.color import deltaE_ciede2000
from sklearn.metrics import adjusted_rand_score

from colorcapsnet import color, evaluate, metrics, paint, uses
from colorcapsnet.colorizer import Colorizer
from colorcapsnet.errors import DataError, PictureError
from tests.tiny import write_photograph_model

SAMPLES = Path(__file__).parents[1] / "samples"
BSDS = Path(__file__).parents[2] / "shared" / "data" / "bsds500"
NAMES = ["astronaut.png", "chelsea.png", "coffee.png", "flower.jpg", "china.jpg"]
HEIGHT, WIDTH = 60, 80


def load(path):
    return np.asarray(PIL.Image.open(path).convert("RGB"))


@pytest.fixture(scope="module")
def photographs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photographs")
    for name in NAMES:
        small = cv2.resize(load(SAMPLES / name), (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA)
        PIL.Image.fromarray(small).save((folder / name).with_suffix(".png"))
    return folder


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    kernel = {"everywhere": 0.3, "near_reach": 0.2}
    card = {"anneal": 2.0, "gain": 1.2, "kernel": kernel}
    return Colorizer(str(write_photograph_model(tmp_path_factory.mktemp("model"), paint=card)), threads=1)


def packed(people):
    """Name -> label arrays, as a tar of PNG files."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as tar:
        for name, labelings in people.items():
            for number, labels in enumerate(labelings):
                content = io.BytesIO()
                PIL.Image.fromarray(labels.astype(np.uint8)).save(content, "png")
                member = tarfile.TarInfo(f"segments/{name}_{number}.png")
                member.size = len(content.getvalue())
                tar.addfile(member, io.BytesIO(content.getvalue()))
    return stream.getvalue()


def blocks(rows, columns):
    """A picture divided like a chessboard."""
    return np.add.outer(np.arange(HEIGHT) * rows // HEIGHT * columns, np.arange(WIDTH) * columns // WIDTH)


@pytest.fixture(scope="module")
def segments(tmp_path_factory):
    people = {Path(name).stem: [blocks(2, 3), blocks(1, 4), blocks(5, 1)] for name in NAMES}
    path = tmp_path_factory.mktemp("people") / "segments.tar"
    path.write_bytes(packed(people))
    return uses.segmentations(path)


def features(gray):
    """Gray and where: what a division by k-means gets to see here."""
    small = cv2.resize(gray, (20, 15), interpolation=cv2.INTER_AREA).astype(np.float32)
    return np.dstack([small, *np.indices(small.shape, np.float32)])


def superpixels(gray, count):
    return np.minimum(gray.astype(int) * count // 256, count - 1)


@pytest.fixture(scope="module")
def measured(photographs, model, segments):
    return uses.measure(
        photographs, model, segments=segments, features=features, superpixels=superpixels, command="colorcapsnet"
    )


@pytest.fixture(scope="module")
def opened(photographs, model):
    """Name -> photograph and canvas."""
    truths = {file.name: load(file) for file in sorted(photographs.iterdir())}
    return {name: (rgb, model.open(color.gray(rgb))) for name, rgb in truths.items()}


def subject_of(name, rgb, canvas):
    return uses._Subject(evaluate.Truth(name, rgb, color.srgb_to_lab(rgb), color.gray(rgb)), canvas)


def ab_of(rgb):
    return color.srgb_to_lab(rgb)[..., 1:].astype(float)


def delta_e(rgb, output):
    return deltaE_ciede2000(*(color.srgb_to_lab(each).astype(float) for each in (rgb, output))).mean()


# The whole


def test_it_is_an_evaluation_with_a_row_a_picture(measured, model, photographs):
    assert [row["picture"] for row in measured["rows"]] == sorted(Path(name).stem + ".png" for name in NAMES)
    assert (measured["kind"], measured["model"], measured["command"]) == ("uses", model.sha256, "colorcapsnet")
    assert measured["set"] == evaluate.evaluate_models(photographs, {})["set"]
    assert json.loads(json.dumps(measured, allow_nan=False)) == measured


def test_the_mean_scores_as_the_evaluation_says(measured, model, photographs):
    rows = evaluate.evaluate_models(photographs, {"tiny": model})["rows"]
    assert [row["psnr"] for row in measured["rows"]] == [row["psnr"] for row in rows if row["model"] == "tiny"]
    skill = measured["summary"]["skill"]["value"]
    assert skill == pytest.approx(np.mean([row["skill"] for row in rows if row["model"] == "tiny"]))


def test_threads_and_the_place_of_a_picture_change_nothing(measured, model, photographs, segments):
    again = uses.measure(
        sorted(photographs.iterdir())[:2],
        model,
        segments=segments,
        features=features,
        superpixels=superpixels,
        jobs=2,
    )
    assert again["rows"] == measured["rows"][:2]


def test_without_segmentations_there_is_neither_leak_nor_regions(model, photographs):
    found = uses.measure([photographs / "coffee.png"], model)
    for part in (found["rows"][0], found["summary"]):
        assert not {"leak", "regions"} & set(part)


def test_chance_is_a_pictures_own(opened):
    (rgb, canvas), *_ = opened.values()
    one, other = (subject_of(name, rgb, canvas) for name in ("a.png", "b.png"))
    assert np.array_equal(one.places("hints", 9), subject_of("a.png", rgb, canvas).places("hints", 9))
    assert not np.array_equal(one.places("hints", 9), other.places("hints", 9))
    assert not np.array_equal(one.places("hints", 9), one.places("leak", 9))
    places = one.places("hints", HEIGHT * WIDTH + 5)
    assert sorted(map(tuple, places)) == [(x, y) for x in range(WIDTH) for y in range(HEIGHT)]


# Best of five


def test_the_best_of_five_candidates_stands_beside_the_best_of_five_strengths(measured, opened):
    for row in measured["rows"]:
        rgb, canvas = opened[row["picture"]]
        candidates = [delta_e(rgb, picture.array) for picture in canvas.candidates(5)]
        strengths = [delta_e(rgb, canvas.render(canvas.ab() * factor).array) for factor in (0.5, 0.8, 1.1, 1.4, 1.7)]
        assert row["best_of_5"]["candidates"] == pytest.approx(candidates, abs=1e-3)
        assert row["best_of_5"]["strengths"] == pytest.approx(strengths, abs=1e-3)
        vivid = paint.color(paint.candidates(canvas.known, 5)[1], 2.0, anneal=2.0, gain=1.2)
        assert row["best_of_5"]["vivid_candidates"][1] == pytest.approx(
            delta_e(rgb, canvas.render(vivid).array), abs=1e-3
        )


def test_the_difference_of_the_best_is_paired(measured):
    apart = [min(row["best_of_5"]["candidates"]) - min(row["best_of_5"]["strengths"]) for row in measured["rows"]]
    assert measured["summary"]["best_of_5"]["candidates_over_strengths"] == evaluate.interval(apart)


# Hints


def test_a_point_has_the_true_color_of_its_surroundings(opened):
    rgb, canvas = opened["coffee.png"]
    subject, ab = subject_of("coffee.png", rgb, canvas), ab_of(rgb)
    places = np.array([[0, 0], [WIDTH - 1, HEIGHT - 1], [30, 20], [0, 10]])
    for (x, y), found in zip(places, subject.true_colors(places), strict=True):
        near = [
            ab[row, column]
            for row in range(y - 1, y + 2)
            for column in range(x - 1, x + 2)
            if 0 <= row < HEIGHT and 0 <= column < WIDTH
        ]
        assert found == pytest.approx(np.mean(near, axis=0), abs=1e-3)


def test_the_middle_of_a_cell_lies_in_it(opened):
    rgb, canvas = opened["coffee.png"]
    subject = subject_of("coffee.png", rgb, canvas)
    cells = np.argwhere(np.ones(canvas.lightness.shape))
    assert np.array_equal(subject.cells(subject.middles(cells)), cells)


def kernel_in_loops(agreement, lightness, kernel, cells, others):
    """The definition; ``agreement(p, q)`` is s."""
    out = np.empty((len(cells), len(others)))
    for i, p in enumerate(cells):
        for j, q in enumerate(others):
            square = ((p - q) ** 2).sum() / lightness.shape[0] ** 2
            unlike = (lightness[tuple(p)] - lightness[tuple(q)]) / 100
            far = kernel.everywhere + kernel.wide * np.exp(-square / 2 / kernel.wide_reach**2)
            near = kernel.near * np.exp(-square / 2 / kernel.near_reach**2) * np.exp(-(unlike**2) / kernel.lightness)
            out[i, j] = agreement(p, q) ** 2 * far + near
    return out


@pytest.mark.parametrize("line", ["tool", "uncoupled"])
def test_hints_are_regression_over_couplings_or_with_agreement_1_everywhere(measured, opened, line):
    for row in measured["rows"][:2]:
        rgb, canvas = opened[row["picture"]]
        subject = subject_of(row["picture"], rgb, canvas)
        places = subject.places("hints", 50)[:10]
        points, every = subject.cells(places), np.argwhere(np.ones(canvas.lightness.shape))
        coupling = canvas.known.coupling

        def agreement(p, q, coupling=coupling):
            s = np.sqrt(coupling[:, *p] * coupling[:, *q]).sum()
            return s if line == "tool" else 1.0

        kernel = paint.Kernel(everywhere=0.3, near_reach=0.2)
        inner = kernel_in_loops(agreement, canvas.lightness.astype(float), kernel, points, points)
        wrong = subject.true_colors(places) - canvas.ab()[tuple(points.T)]
        alpha = np.linalg.solve(inner + kernel.noise * np.eye(10), wrong)
        spread = kernel_in_loops(agreement, canvas.lightness.astype(float), kernel, every, points)
        ab = canvas.ab() + (spread @ alpha).reshape(canvas.ab().shape)
        expected = metrics.psnr(rgb, canvas.render(ab.astype(np.float32)).array)
        assert row["hints"][line]["psnr"][3] == pytest.approx(expected, abs=0.01)


def test_no_points_leave_the_mean_and_for_levin_gray(measured):
    for row in measured["rows"]:
        assert row["hints"]["tool"]["psnr"][0] == row["hints"]["uncoupled"]["psnr"][0] == row["psnr"]
        assert row["hints"]["levin"]["psnr"][0] == pytest.approx(row["gray_psnr"], abs=1e-9)


def test_suggested_points_are_those_of_paint(measured, opened):
    row = measured["rows"][0]
    rgb, canvas = opened[row["picture"]]
    subject = subject_of(row["picture"], rgb, canvas)
    cells = paint.suggest(canvas.known, canvas.lightness, 5, kernel=subject.kernel)
    colors = subject.true_colors(subject.middles(cells))
    ab = paint.hint(canvas.known, canvas.ab(), canvas.lightness, cells, colors, subject.kernel)
    assert row["hints"]["suggested"]["psnr"][1] == pytest.approx(metrics.psnr(rgb, canvas.render(ab).array))


def test_gains_are_over_no_points_and_differences_paired(measured):
    hints = [row["hints"] for row in measured["rows"]]
    summary = measured["summary"]["hints"]
    assert summary["tool"]["points"] == [0, 1, 5, 10, 50] and summary["suggested"]["points"] == [1, 5, 10]
    for line, zero in (("tool", "tool"), ("levin", "levin"), ("suggested", "tool")):
        gain = [one[line]["psnr"][-1] - one[zero]["psnr"][0] for one in hints]
        assert summary[line]["gain"][-1] == evaluate.interval(gain)
        less = [one[zero]["delta_e"][0] - one[line]["delta_e"][-1] for one in hints]
        assert summary[line]["delta_e_gain"][-1] == evaluate.interval(less)
    apart = [one["tool"]["psnr"][2] - one["uncoupled"]["psnr"][2] for one in hints]
    assert summary["over_uncoupled"][2] == evaluate.interval(apart)
    apart = [one["suggested"]["psnr"][2] - one["tool"]["psnr"][3] for one in hints]
    assert summary["suggested_over_random"][2] == evaluate.interval(apart)
    assert summary["tool"]["gain"][0] == {"value": 0, "low": 0, "high": 0}


# Levin's optimization


def levin_in_loops(lightness, cells, colors):
    """One dense system, filled pixel by pixel as the authors' program does."""
    height, width = lightness.shape
    y, size = lightness.astype(float) / 100, lightness.size
    system, right = np.eye(size), np.zeros((size, 2))
    given = {tuple(cell): ab for cell, ab in zip(cells, colors, strict=True)}
    for row in range(height):
        for column in range(width):
            here = row * width + column
            if (row, column) in given:
                right[here] = given[row, column]
                continue
            near = [
                (r, c)
                for r in range(max(row - 1, 0), min(row + 2, height))
                for c in range(max(column - 1, 0), min(column + 2, width))
            ]
            variance = np.mean([y[at] ** 2 for at in near]) - np.mean([y[at] for at in near]) ** 2
            near.remove((row, column))
            apart = np.array([(y[at] - y[row, column]) ** 2 for at in near])
            spread = max(0.6 * variance, -apart.min() / np.log(0.01), 0.000002)
            weights = np.exp(-apart / spread)
            for (r, c), weight in zip(near, weights / weights.sum(), strict=True):
                system[here, r * width + c] = -weight
    return np.linalg.solve(system, right).reshape(height, width, 2)


@pytest.mark.parametrize("shape", [(7, 5), (5, 8), (1, 6), (9, 2)])
def test_levin_is_the_dense_solution(shape):
    rng = np.random.default_rng(sum(shape))
    lightness = rng.uniform(20, 80, shape).astype(np.float32)
    cells = np.argwhere(rng.random(shape) < 0.2)
    cells = cells if len(cells) else np.array([[0, 0]])
    colors = rng.normal(0, 30, (len(cells), 2))
    found = uses.levin(lightness, cells, colors)
    assert found == pytest.approx(levin_in_loops(lightness, cells, colors), abs=1e-3)


def test_levin_spreads_each_color_over_its_plane_and_stops_at_the_edge():
    lightness = np.where(np.arange(30) < 13, 30, 70) * np.ones((20, 1), np.float32)
    cells, colors = np.array([[3, 2], [15, 25]]), np.array([[40.0, 10], [-20, 30]])
    ab = uses.levin(lightness.astype(np.float32), cells, colors)
    assert np.abs(ab[:, :13] - colors[0]).max() < 1 and np.abs(ab[:, 13:] - colors[1]).max() < 1


def test_levin_of_one_point_is_its_color_everywhere_and_of_none_gray():
    lightness = np.random.default_rng(0).uniform(0, 100, (12, 9)).astype(np.float32)
    assert uses.levin(lightness, np.array([[4, 4]]), np.array([[12.0, -7]])) == pytest.approx(
        np.broadcast_to([12, -7], (12, 9, 2)), abs=1e-3
    )
    assert not uses.levin(lightness, np.empty((0, 2), np.intp), np.empty((0, 2))).any()


def test_levin_takes_the_mean_of_two_colors_at_one_cell_and_stays_between_those_given():
    lightness = np.random.default_rng(1).uniform(0, 100, (10, 10)).astype(np.float32)
    cells, colors = np.array([[2, 2], [2, 2], [8, 8]]), np.array([[0.0, 20], [10, 40], [30, 0]])
    ab = uses.levin(lightness, cells, colors)
    assert ab[2, 2] == pytest.approx([5, 30], abs=1e-4)
    assert ab[..., 0].min() > 5 - 1e-3 and ab[..., 0].max() < 30 + 1e-3


# Leak


def test_what_is_outside_is_what_no_pixel_of_the_segment_holds():
    rng = np.random.default_rng(0)
    energy, labels = rng.random((9, 11)), rng.integers(0, 4, (9, 11))
    inside = sum(energy[at] for at in np.ndindex(9, 11) if labels[at] == labels[5, 3])
    assert uses.outside(energy, labels, 3, 5) == pytest.approx(1 - inside / energy.sum())


def test_the_opposite_hue_has_at_least_a_chroma_of_30():
    assert uses.opposite(np.array([3.0, 4.0])) == pytest.approx([-18, -24])
    assert uses.opposite(np.array([-30.0, 40.0])) == pytest.approx([30, -40])
    assert np.hypot(*uses.opposite(np.zeros(2))) == 30


def test_leak_is_nothing_where_one_segment_is_the_picture_and_nearly_all_where_each_pixel_is_one(opened):
    rgb, canvas = opened["chelsea.png"]
    subject = subject_of("chelsea.png", rgb, canvas)
    whole = uses._leak(subject, [np.zeros((HEIGHT, WIDTH), int)])
    assert whole == pytest.approx({"recolor": 0, "hint": 0, "space": 0}, abs=1e-9)
    alone = uses._leak(subject, [np.arange(HEIGHT * WIDTH).reshape(HEIGHT, WIDTH)])
    assert min(alone.values()) > 0.98


def test_leak_is_the_mean_over_people_then_points(measured, opened):
    row = measured["rows"][0]
    rgb, canvas = opened[row["picture"]]
    subject = subject_of(row["picture"], rgb, canvas)
    people, before, shares = [blocks(2, 3), blocks(1, 4), blocks(5, 1)], ab_of(canvas.color().array), []
    for x, y in subject.places("leak", 8):
        cell = canvas.cell(int(x), int(y))
        changed = paint.recolor_region(canvas.known, paint.region(canvas.known, cell), uses.opposite(canvas.ab()[cell]))
        energy = ((ab_of(canvas.render(paint.color(changed)).array) - before) ** 2).sum(axis=-1)
        shares.append([1 - energy[labels == labels[y, x]].sum() / energy.sum() for labels in people])
    assert row["leak"]["recolor"] == pytest.approx(np.mean(shares), abs=1e-5)


def test_a_change_that_nothing_shows_has_no_leak(model):
    """Black stays black."""
    rgb = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    subject = subject_of("black.png", rgb, model.open(color.gray(rgb)))
    assert uses._leak(subject, [blocks(2, 2)]) == {"recolor": None, "hint": None, "space": None}
    rows = [{"leak": {"recolor": None}}, {"leak": {"recolor": 0.25}}]
    assert uses._table(rows, "leak")["recolor"] == pytest.approx([np.nan, 0.25], nan_ok=True)


# Regions


def test_regions_are_largest_entities_against_each_person(measured, opened):
    people = [blocks(2, 3), blocks(1, 4), blocks(5, 1)]
    for row in measured["rows"]:
        _, canvas = opened[row["picture"]]
        largest = canvas.known.coupling.argmax(axis=0)
        labels = np.empty((HEIGHT, WIDTH), int)
        for y, x in np.ndindex(HEIGHT, WIDTH):
            labels[y, x] = largest[canvas.cell(x, y)]
        scores = [adjusted_rand_score(person.ravel(), labels.ravel()) for person in people]
        assert row["regions"]["entities"] == pytest.approx(np.mean(scores), abs=0.01)
        assert row["regions"]["count"] == len(np.unique(largest))


def test_other_divisions_have_as_many_parts_and_are_compared_in_pairs(measured, opened):
    row = measured["rows"][0]
    rgb, _ = opened[row["picture"]]
    labels = superpixels(color.gray(rgb), row["regions"]["count"])
    scores = [
        adjusted_rand_score(person.ravel(), labels.ravel()) for person in (blocks(2, 3), blocks(1, 4), blocks(5, 1))
    ]
    assert row["regions"]["superpixels"] == pytest.approx(np.mean(scores))
    apart = [one["regions"]["entities"] - one["regions"]["kmeans"] for one in measured["rows"]]
    assert measured["summary"]["regions"]["over_kmeans"] == evaluate.interval(apart)


def test_kmeans_finds_what_is_apart():
    labels = blocks(3, 2)
    features = np.random.default_rng(0).normal(0, 5, (6, 7))[labels] + np.random.default_rng(1).normal(
        0, 0.1, (HEIGHT, WIDTH, 7)
    )
    assert metrics.adjusted_rand(uses.kmeans(features, 6), labels) == 1


# Confidence


def test_confidence_is_pooled_over_pixels_and_judged_by_tenths(measured, opened):
    sure, hit = [], []
    for name, (rgb, canvas) in opened.items():
        x, y = subject_of(name, rgb, canvas).places("confidence", 1000).T
        error = np.linalg.norm(ab_of(rgb) - ab_of(canvas.color().array), axis=-1)
        known = canvas.confidence()
        sure += [known[canvas.cell(int(column), int(row))] for column, row in zip(x, y, strict=True)]
        hit += list(error[y, x] < 15)
    predicted, share = metrics.reliability(sure, hit)
    found = measured["summary"]["confidence"]
    assert found["predicted"] == pytest.approx(predicted) and found["measured"] == pytest.approx(share)
    assert found["largest_gap"] == pytest.approx(np.abs(predicted - share).max())


def test_a_learned_curve_in_the_card_makes_confidence_mean_what_it_says(measured, model, photographs, tmp_path):
    curve = uses.confidence_curve(photographs, model)
    path = write_photograph_model(tmp_path, paint=model.card.paint | {"curve": curve})
    found = uses.measure(photographs, Colorizer(str(path), threads=1))["summary"]["confidence"]
    assert found["largest_gap"] < 0.05 < measured["summary"]["confidence"]["largest_gap"]


# Steadiness


def test_steadiness_compares_the_same_points(measured, opened, model):
    row = measured["rows"][0]
    _, canvas = opened[row["picture"]]
    gray, ab = canvas.gray, ab_of(canvas.color().array)
    mirrored, shifted = ab_of(model.colorize(gray[:, ::-1].copy())), np.empty_like(gray)
    for y, x in np.ndindex(gray.shape):
        shifted[y, x] = gray[abs(y - 8), abs(x - 8)]
    shifted = ab_of(model.colorize(shifted))
    apart = [np.linalg.norm(ab[y, x] - mirrored[y, WIDTH - 1 - x]) for y, x in np.ndindex(gray.shape)]
    assert row["steadiness"]["mirrored"] == pytest.approx(np.mean(apart), abs=1e-4)
    apart = [np.linalg.norm(ab[y, x] - shifted[y + 8, x + 8]) for y, x in np.ndindex(HEIGHT - 8, WIDTH - 8)]
    assert row["steadiness"]["shifted"] == pytest.approx(np.mean(apart), abs=1e-4)
    assert row["steadiness"]["noisy"] > 0


def test_a_picture_smaller_than_the_shift_is_refused(photographs, model, tmp_path):
    PIL.Image.fromarray(load(photographs / "coffee.png")[:8]).save(tmp_path / "strip.png")
    with pytest.raises(PictureError, match=r"strip.png is 80×8: steadiness needs more than 8 pixels on each side"):
        uses.measure(tmp_path, model)


# Without


def test_capsules_are_tested_by_taking_them_away(measured, opened):
    for row in measured["rows"]:
        rgb, canvas = opened[row["picture"]]
        known, modes = canvas.known, (canvas.known.weight[..., None] * canvas.known.mean).sum(axis=1)
        local = 50 * np.einsum("khw,kcr,rhw->hwc", known.coupling, known.mix, known.basis)
        expected = metrics.psnr(rgb, canvas.render(canvas.ab() - local).array)
        assert row["without"]["no_local"] == pytest.approx(expected, abs=0.01)
        everywhere = known.coupling.mean(axis=(1, 2))
        ab = 50 * (everywhere @ modes + np.einsum("k,kcr,rhw->hwc", everywhere, known.mix, known.basis))
        assert row["without"]["averaged"] == pytest.approx(metrics.psnr(rgb, canvas.render(ab).array), abs=0.01)
        orders = [
            known.coupling[list(order)] for order in ([0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0])
        ]
        possible = [
            metrics.psnr(rgb, canvas.render(paint.color(replace(known, coupling=coupling))).array)
            for coupling in orders
        ]
        assert min(abs(row["without"]["permuted"] - each) for each in possible) < 1e-6
    lost = [row["without"]["averaged"] - row["psnr"] for row in measured["rows"]]
    assert measured["summary"]["without"]["averaged"] == evaluate.interval(lost)


# Fréchet distance


def looks(rgb):
    return rgb.reshape(-1, 3).mean(axis=0)


def test_the_frechet_distance_compares_crowds(photographs, model, opened, monkeypatch):
    monkeypatch.setattr(uses, "ENOUGH", 5)
    found = uses.frechet(photographs, model, looks)
    truth = [looks(rgb) for rgb, _ in opened.values()]
    vivid = [looks(canvas.color(2.0).array) for _, canvas in opened.values()]
    assert found["summary"]["vivid"] == pytest.approx(metrics.frechet(vivid, truth))
    assert found["kind"] == "frechet" and found["set"]["pictures"] == 5 and "rows" not in found


def test_few_photographs_have_no_frechet_distance(photographs, model):
    with pytest.raises(DataError, match=r"5 photographs are too few for a Fréchet distance: it needs at least 3,000"):
        uses.frechet(photographs, model, looks)


# Segmentations


def test_segmentations_are_found_by_name_whatever_the_tars_folder(segments):
    assert set(segments) == {Path(name).stem for name in NAMES}
    assert all(len(people) == 3 for people in segments.values())


def test_segmentations_that_do_not_fit_are_refused(photographs, model, tmp_path):
    files = [photographs / "coffee.png"]
    with pytest.raises(DataError, match=r"there is no human segmentation of coffee.png"):
        uses.measure(files, model, segments={"tea": [b""]})
    (tmp_path / "s.tar").write_bytes(packed({"coffee": [blocks(2, 2).T]}))
    with pytest.raises(DataError, match=r"segmentation of coffee.png is damaged, or not of the photograph's size"):
        uses.measure(files, model, segments=uses.segmentations(tmp_path / "s.tar"))
    with pytest.raises(DataError, match=r"segmentation of coffee.png is damaged"):
        uses.measure(files, model, segments={"coffee": [b"no picture"]})


def test_a_tar_without_segmentations_is_refused(tmp_path):
    (tmp_path / "empty.tar").write_bytes(packed({}))
    with pytest.raises(DataError, match=r"empty.tar holds no segmentation"):
        uses.segmentations(tmp_path / "empty.tar")
    (tmp_path / "text.tar").write_text("no tar")
    for name in ("text.tar", "nowhere.tar"):
        with pytest.raises(DataError, match=f"{name} cannot be read as a tar of segmentations"):
            uses.segmentations(tmp_path / name)


@pytest.mark.skipif(not BSDS.is_dir(), reason="needs ../shared/data/bsds500")
def test_peoples_segmentations_of_bsds500_validation_fit_its_photographs():
    people = uses.segmentations(BSDS.parent / "bsds500_val_segments.tar")
    photographs = evaluate.photographs(BSDS / "val")
    assert set(people) == {Path(name).stem for name in photographs} and sum(map(len, people.values())) == 546
    for name in list(photographs)[:5]:
        rgb = evaluate.read(photographs[name])
        truth = evaluate.Truth(name, rgb, color.srgb_to_lab(rgb), color.gray(rgb))
        assert all(len(np.unique(labels)) > 1 for labels in uses._human(people, truth))
