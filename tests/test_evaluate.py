"""The protocol: what a model is given, what is scored, which rows stand beside it, and what the numbers mean."""

from __future__ import annotations

import csv
import gc
import hashlib
import json
import weakref
from pathlib import Path

import cv2
import numpy as np
import PIL.Image
import pytest
from click.testing import CliRunner
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from colorcapsnet import color, evaluate, metrics, pictures, report
from colorcapsnet.cli import main
from colorcapsnet.colorizer import Colorizer
from colorcapsnet.errors import DataError, ModelError, OutputError, PictureError
from colorcapsnet.evaluate import Protocol, evaluate_models, evaluate_outputs
from tests.tiny import write_model, write_photograph_model

SAMPLES = Path(__file__).parents[1] / "samples"
BSDS = Path(__file__).parents[2] / "shared" / "data" / "bsds500"


def save(path, array):
    path.parent.mkdir(parents=True, exist_ok=True)
    PIL.Image.fromarray(array).save(path)
    return path


def load(path):
    return np.asarray(PIL.Image.open(path).convert("RGB"))


@pytest.fixture(scope="module")
def photographs(tmp_path_factory):
    """Six small photographs of different sizes, one muted, one in a folder below."""
    folder = tmp_path_factory.mktemp("photographs")
    names = ["astronaut.png", "chelsea.png", "coffee.png", "flower.jpg", "rocket.jpg", "china.jpg"]
    for number, name in enumerate(names):
        size = (64 + 8 * number, 60)
        small = cv2.resize(load(SAMPLES / name), size, interpolation=cv2.INTER_AREA)
        if name == "rocket.jpg":
            small = small // 3 + color.gray(small)[..., None] // 3 * 2
        save(folder / ("below" if number == 5 else "") / Path(name).with_suffix(".png"), small)
    return folder


def sepia(gray):
    return np.stack([gray, (gray * 0.9).astype(np.uint8), (gray * 0.7).astype(np.uint8)], axis=-1)


class Cheat:
    """Knows the photographs by their gray, and fades their color."""

    sha256 = "c0ffee"

    def __init__(self, folder, strength=1.0):
        self.strength = strength
        self.known = {color.gray(load(file)).tobytes(): load(file) for file in folder.rglob("*.png")}

    def colorize(self, gray):
        lab = color.srgb_to_lab(self.known[gray.tobytes()])
        return color.quantize(color.lab_to_srgb(lab * np.float32([1, self.strength, self.strength])))

    def round_trip(self, rgb):
        return color.quantize(color.lab_to_srgb(color.decode(color.encode(color.srgb_to_lab(rgb)))))


@pytest.fixture(scope="module")
def evaluation(photographs):
    models = {"sepia": sepia, "cheat": Cheat(photographs), "faded": Cheat(photographs, 0.5)}
    return evaluate_models(photographs, models, command="colorcapsnet evaluate")


def rows_of(evaluation, model):
    return [row for row in evaluation["rows"] if row["model"] == model]


def scores(evaluation, model, score):
    return np.array([row[score] for row in rows_of(evaluation, model)])


# What is scored


def test_baselines_come_first_then_round_trips_then_the_models(evaluation):
    baselines, round_trips = ["gray", "tint", "picture mean"], ["round trip cheat", "round trip faded"]
    assert list(evaluation["summary"]) == [*baselines, *round_trips, "sepia", "cheat", "faded"]
    assert len(evaluation["rows"]) == 6 * 8


def test_a_model_is_given_rec601_gray_of_8_bits_at_full_size_and_nothing_else(photographs):
    given = []
    evaluate_models([photographs / "coffee.png"], {"spy": lambda gray: sepia(given.append(gray) or gray)})
    assert len(given) == 1 and given[0].dtype == np.uint8
    assert np.array_equal(given[0], color.gray(load(photographs / "coffee.png")))


def test_a_model_cannot_spoil_the_truth(photographs, evaluation):
    def vandal(picture):
        out = sepia(picture)
        picture[:] = 0
        return out

    class Vandal:
        colorize = staticmethod(vandal)

        @staticmethod
        def round_trip(rgb):
            rgb[:] = 0
            return rgb

    spoiled = evaluate_models(photographs, {"first": Vandal(), "sepia": sepia})
    for model, same in (("first", "sepia"), ("sepia", "sepia"), ("gray", "gray")):
        assert spoiled["summary"][model]["psnr"] == evaluation["summary"][same]["psnr"]


def test_scores_are_taken_on_8_bit_rgb_picture_by_picture(photographs, evaluation):
    for row in rows_of(evaluation, "sepia"):
        truth = load(photographs / row["picture"])
        output = sepia(color.gray(truth))
        assert row["psnr"] == pytest.approx(peak_signal_noise_ratio(truth, output))
        assert row["ssim"] == pytest.approx(structural_similarity(truth, output, channel_axis=2))
        assert (row["height"], row["width"]) == truth.shape[:2]


def test_the_gray_row_is_three_equal_channels(photographs, evaluation):
    for row in rows_of(evaluation, "gray"):
        truth = load(photographs / row["picture"])
        gray = np.asarray(PIL.Image.fromarray(truth).convert("L").convert("RGB"))
        assert row["psnr"] == pytest.approx(peak_signal_noise_ratio(truth, gray), abs=0.02)
        assert row["colorfulness"] == row["chroma"] == row["skill"] == 0


def test_tint_is_one_constant_color_at_the_inputs_lightness(tmp_path):
    rgb = np.random.default_rng(0).integers(90, 170, (40, 50, 3)).astype(np.uint8)
    lab = color.srgb_to_lab(np.repeat(color.gray(rgb)[..., None], 3, axis=-1)) + np.float32([0, -2.96, 10.64])
    expected = metrics.psnr(rgb, color.quantize(color.lab_to_srgb(lab)))
    (row,) = rows_of(evaluate_models([save(tmp_path / "a.png", rgb)], {}), "tint")
    assert row["psnr"] == pytest.approx(expected, abs=1e-6)
    assert row["chroma"] == pytest.approx(np.hypot(-2.96, 10.64), abs=0.3)


def test_picture_mean_knows_one_color(tmp_path):
    """On a picture of one color there is nothing else to know."""
    rgb = np.full((20, 20, 3), (150, 120, 100), np.uint8)
    evaluation = evaluate_models([save(tmp_path / "a.png", rgb)], {})
    (row,) = rows_of(evaluation, "picture mean")
    assert row["delta_e"] < 1.5  # the gray of a color is not its L
    assert row["chroma"] == pytest.approx(row["true_chroma"], abs=0.5)


def test_the_truth_itself_scores_the_most_there_is(evaluation):
    best = evaluation["summary"]["cheat"]
    assert best["psnr"] == {"value": 100, "low": 100, "high": 100}
    assert best["ssim"]["value"] == pytest.approx(1)
    assert (best["delta_e"]["value"], best["auc"]["value"], best["better_than_gray"]["value"]) == (0, 1, 1)
    assert best["colorfulness_ratio"]["value"] == pytest.approx(1)
    assert best["slope"]["value"] == pytest.approx(1)


def test_l_as_the_input_gives_the_truths_own_lightness(photographs):
    class Spy:
        given = None

        def colorize(self, gray):
            Spy.given = gray
            return sepia(gray)

    evaluate_models([photographs / "coffee.png"], {"spy": Spy()}, Protocol(gray="l"))
    truth = color.srgb_to_lab(load(photographs / "coffee.png"))[..., 0]
    assert np.abs(color.lightness(Spy.given) - truth).max() < 0.35  # half a code


def test_resize_stretches_every_picture_to_one_square(photographs):
    evaluation = evaluate_models(photographs, {"sepia": sepia}, Protocol(resize=32))
    assert {(row["width"], row["height"]) for row in evaluation["rows"]} == {(32, 32)}
    (row,) = [row for row in rows_of(evaluation, "gray") if row["picture"] == "coffee.png"]
    small = cv2.resize(load(photographs / "coffee.png"), (32, 32), interpolation=cv2.INTER_AREA)
    assert row["psnr"] == pytest.approx(metrics.psnr(small, np.repeat(color.gray(small)[..., None], 3, axis=-1)))


def test_other_windows_and_forms_are_those_of_the_metrics(photographs):
    evaluation = evaluate_models(photographs, {"sepia": sepia}, Protocol(ssim="gaussian", colorfulness="absolute"))
    for row in rows_of(evaluation, "sepia"):
        truth = load(photographs / row["picture"])
        output = sepia(color.gray(truth))
        assert row["ssim"] == metrics.ssim(truth, output, "gaussian")
        assert row["colorfulness"] == metrics.colorfulness(output, "absolute")
        assert row["true_colorfulness"] == metrics.colorfulness(truth, "absolute")


# What the summary means


def test_every_mean_is_over_pictures_with_its_bootstrap_interval(evaluation):
    for model, summary in evaluation["summary"].items():
        for score in ("psnr", "ssim", "skill", "delta_e", "delta_e_p90", "auc", "colorfulness"):
            interval = metrics.bootstrap(scores(evaluation, model, score))
            assert summary[score] == {"value": interval.value, "low": interval.low, "high": interval.high}
            assert summary[score]["value"] == pytest.approx(scores(evaluation, model, score).mean())


def test_skill_is_what_a_picture_gains_over_its_gray(evaluation):
    summary = evaluation["summary"]["sepia"]
    skill = scores(evaluation, "sepia", "psnr") - scores(evaluation, "gray", "psnr")
    assert scores(evaluation, "sepia", "skill") == pytest.approx(skill)
    assert summary["skill_p10"] == pytest.approx(np.percentile(skill, 10))
    assert summary["better_than_gray"]["value"] == np.mean(skill > 0)
    muted = scores(evaluation, "sepia", "true_chroma") < 10
    assert summary["muted"]["pictures"] == muted.sum() > 0
    assert summary["muted"]["skill"]["value"] == pytest.approx(skill[muted].mean())


def test_differences_are_paired(evaluation):
    apart = metrics.bootstrap(scores(evaluation, "sepia", "psnr") - scores(evaluation, "tint", "psnr"))
    assert evaluate.difference(evaluation, "sepia", "tint") == apart
    assert evaluation["summary"]["sepia"]["over_tint"]["low"] == apart.low
    assert evaluate.difference(evaluation, "cheat", "gray", "delta_e").high < 0
    with pytest.raises(DataError, match="there is no row 'sepai': choose one of gray, tint, "):
        evaluate.difference(evaluation, "sepai", "gray")


def test_any_row_can_be_compared_with_in_pairs(photographs):
    models = {"sepia": sepia, "faded": Cheat(photographs, 0.5)}
    compared = evaluate_models(photographs, models, against=["sepia", "gray"])
    for name, summary in compared["summary"].items():
        assert list(summary["over"]) == ["sepia", "gray"]
        apart = metrics.bootstrap(scores(compared, name, "psnr") - scores(compared, "sepia", "psnr"))
        assert summary["over"]["sepia"] == {"value": apart.value, "low": apart.low, "high": apart.high}
        assert summary["over"]["gray"]["value"] == pytest.approx(summary["skill"]["value"])
    with pytest.raises(DataError, match="there is no row 'sepai': choose one of gray, tint, "):
        evaluate_models(photographs, models, against=["sepai"])


def test_colorfulness_ratio_is_a_ratio_of_means(evaluation):
    ratio = scores(evaluation, "sepia", "colorfulness").mean() / scores(evaluation, "sepia", "true_colorfulness").mean()
    assert evaluation["summary"]["sepia"]["colorfulness_ratio"]["value"] == pytest.approx(ratio)


def test_slope_is_pooled_over_the_pixels_of_the_set_and_shows_the_timid(photographs, evaluation):
    truths, predictions = [], []
    for file in photographs.rglob("*.png"):
        truth = load(file)
        truths.append(color.srgb_to_lab(truth)[..., 1:].astype(float).ravel())
        predictions.append(color.srgb_to_lab(sepia(color.gray(truth)))[..., 1:].astype(float).ravel())
    truth, predicted = np.concatenate(truths), np.concatenate(predictions)
    expected = (truth @ predicted) / (predicted @ predicted)
    assert evaluation["summary"]["sepia"]["slope"]["value"] == pytest.approx(expected, rel=1e-5)
    assert evaluation["summary"]["faded"]["slope"]["value"] == pytest.approx(2, rel=0.02)
    assert evaluation["summary"]["gray"]["slope"] is None


def test_bins_are_fifths_of_the_pictures_by_the_chroma_that_was_predicted(evaluation):
    bins = evaluation["summary"]["cheat"]["bins"]
    assert [part["pictures"] for part in bins] == [2, 1, 1, 1, 1]
    order = np.argsort(scores(evaluation, "cheat", "chroma"))
    assert bins[0]["skill"]["value"] == pytest.approx(scores(evaluation, "cheat", "skill")[order[:2]].mean())
    assert bins[4]["chroma"] == [scores(evaluation, "cheat", "chroma").max()] * 2
    assert evaluation["summary"]["gray"]["bins"] == []


# Sets


def test_gray_in_color_is_left_out_counted_and_named(photographs, tmp_path):
    gray = np.random.default_rng(0).integers(0, 256, (20, 20)).astype(np.uint8)
    files = [save(tmp_path / "gray.png", gray), save(tmp_path / "faint.png", sepia(gray) // 40 + 100)]
    good = save(tmp_path / "good.png", load(photographs / "coffee.png"))
    evaluation = evaluate_models([*files, good], {})
    assert evaluation["set"]["pictures"] == 1
    assert set(evaluation["set"]["left_out"]) == {"gray.png", "faint.png"}
    assert evaluation["set"]["left_out"]["gray.png"] == 0 < evaluation["set"]["left_out"]["faint.png"] < 3
    assert {row["picture"] for row in evaluation["rows"]} == {"good.png"}
    with pytest.raises(DataError, match="all 2 pictures are gray"):
        evaluate_models(files, {})


def test_a_16_bit_truth_is_scored_at_8_bits(tmp_path, photographs):
    rgb = load(photographs / "coffee.png")
    pictures.write(pictures.Picture.from_array(rgb.astype(np.uint16) * 257 + 100), tmp_path / "deep.png")
    deep = evaluate_models(tmp_path, {"sepia": sepia})["summary"]["sepia"]
    assert deep["psnr"] == evaluate_models([photographs / "coffee.png"], {"sepia": sepia})["summary"]["sepia"]["psnr"]


def test_alpha_is_refused_by_name(tmp_path):
    save(tmp_path / "glass.png", np.zeros((20, 20, 4), np.uint8))
    with pytest.raises(PictureError, match=r"glass.png has an alpha channel"):
        evaluate_models(tmp_path, {})


def test_folders_without_pictures_are_refused(tmp_path):
    (tmp_path / "notes.txt").write_text("none")
    (tmp_path / ".thumbnails").mkdir()
    save(tmp_path / ".thumbnails" / "a.png", np.zeros((9, 9, 3), np.uint8))
    with pytest.raises(DataError, match="there are no pictures in"):
        evaluate_models(tmp_path, {})
    with pytest.raises(DataError, match="nowhere is not a folder"):
        evaluate_models(tmp_path / "nowhere", {})
    with pytest.raises(DataError, match="there are no pictures to score"):
        evaluate_models([], {})


def test_the_manifest_is_the_hash_of_what_sha256sum_prints(photographs, evaluation):
    lines = [
        f"{hashlib.sha256(file.read_bytes()).hexdigest()}  {file.relative_to(photographs).as_posix()}\n"
        for file in sorted(photographs.rglob("*.png"), key=lambda file: file.relative_to(photographs).as_posix())
    ]
    assert evaluation["set"]["manifest"] == hashlib.sha256("".join(lines).encode()).hexdigest()


def test_the_manifest_is_the_sets_wherever_it_lies_and_changes_with_a_byte_or_a_name(photographs, tmp_path):
    def manifest(folder, name, extra=b""):
        save(tmp_path / folder / name, load(photographs / "coffee.png"))
        (tmp_path / folder / name).write_bytes((tmp_path / folder / name).read_bytes() + extra)
        return evaluate_models(tmp_path / folder, {})["set"]["manifest"]

    here = manifest("here", "a.png")
    assert manifest("there", "a.png") == here
    assert manifest("renamed", "b.png") != here
    assert manifest("changed", "a.png", b"\0") != here


def test_one_picture_is_held_at_a_time(photographs, monkeypatch):
    alive, most = [], []
    read = pictures.read

    def watched(path):
        gc.collect()
        most.append(sum(reference() is not None for reference in alive))
        picture = read(path)
        alive.append(weakref.ref(picture.array))
        return picture

    monkeypatch.setattr(pictures, "read", watched)
    evaluate_models(photographs, {"sepia": sepia})
    assert most == [0] * 6


def test_threads_change_nothing_but_the_time(photographs, evaluation):
    models = {"sepia": sepia, "cheat": Cheat(photographs), "faded": Cheat(photographs, 0.5)}
    threaded = evaluate_models(photographs, models, jobs=3)

    def timeless(rows):
        return [{key: value for key, value in row.items() if key != "seconds"} for row in rows]

    assert timeless(threaded["rows"]) == timeless(evaluation["rows"])


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_broken_picture_ends_the_evaluation_by_name(tmp_path, photographs, jobs):
    save(tmp_path / "good.png", load(photographs / "coffee.png"))
    (tmp_path / "torn.png").write_bytes((photographs / "coffee.png").read_bytes()[:200])
    with pytest.raises(PictureError, match=r"torn\.png"):
        evaluate_models(tmp_path, {}, jobs=jobs)


# Several sets


@pytest.fixture(scope="module")
def two_sets(photographs):
    sets = {"all": photographs, "below": photographs / "below"}
    return evaluate.evaluate_sets(sets, {"sepia": sepia}, against=["tint"], command="colorcapsnet")


def test_each_set_is_an_evaluation_of_its_own(two_sets, photographs):
    for name, folder in (("all", photographs), ("below", photographs / "below")):
        alone = evaluate_models(folder, {"sepia": sepia}, against=["tint"])
        assert two_sets["sets"][name]["set"] == alone["set"]
        assert [row["psnr"] for row in two_sets["sets"][name]["rows"]] == [row["psnr"] for row in alone["rows"]]
    assert two_sets["command"] == "colorcapsnet" and two_sets["protocol"]["gray"] == "rec601"


def test_means_over_sets_count_every_set_alike(two_sets):
    for model, means in two_sets["means"].items():
        summaries = [one["summary"][model] for one in two_sets["sets"].values()]
        for score in ("psnr", "skill", "ssim", "delta_e", "better_than_gray", "colorfulness_ratio"):
            assert means[score] == pytest.approx(np.mean([summary[score]["value"] for summary in summaries]))
        assert means["skill_p10"] == pytest.approx(np.mean([summary["skill_p10"] for summary in summaries]))


def test_the_files_of_several_sets_say_which_is_which(two_sets, tmp_path):
    evaluate.save_json(two_sets, tmp_path / "e.json")
    assert evaluate.load_json(tmp_path / "e.json")["means"] == two_sets["means"]
    evaluate.to_csv(two_sets, tmp_path / "e.csv")
    with (tmp_path / "e.csv").open(newline="") as file:
        lines = list(csv.DictReader(file))
    assert [line["set"] for line in lines] == ["all"] * 24 + ["below"] * 4
    evaluate.to_markdown(two_sets, tmp_path / "e.md")
    text = (tmp_path / "e.md").read_text()
    for name, one in two_sets["sets"].items():
        assert f"## {name}\n\n{report.markdown(one)}" in text
    assert "## Means over 2 sets" in text


def test_sets_are_called_by_their_folder_and_its_parent(tmp_path):
    folders = [tmp_path / "bsds500" / "val", tmp_path / "held" / "val"]
    assert evaluate.name_sets(folders) == {"bsds500/val": folders[0], "held/val": folders[1]}
    with pytest.raises(DataError, match="two of 2 sets have the same name"):
        evaluate.name_sets([tmp_path / "a" / "b", tmp_path / "c" / ".." / "a" / "b"])


@pytest.mark.parametrize(("content", "message"), [("{", "cannot be read as JSON"), ("[1]", "holds no JSON object")])
def test_what_is_no_json_of_ours_is_refused(tmp_path, content, message):
    (tmp_path / "e.json").write_text(content)
    with pytest.raises(DataError, match=message):
        evaluate.load_json(tmp_path / "e.json")
    with pytest.raises(DataError, match="cannot be read as JSON"):
        evaluate.load_json(tmp_path / "nowhere.json")


# Vivid rows


def test_vivid_colors_are_a_row_of_the_same_model(photographs, tmp_path):
    model = Colorizer(str(write_photograph_model(tmp_path)), threads=1)
    vivid = evaluate.AtStrength(model, 2.0)
    evaluation = evaluate_models(photographs, {"tiny": model, "tiny, vivid": vivid})
    assert evaluation["models"] == {"tiny": model.sha256, "tiny, vivid": model.sha256}
    assert "round trip tiny" in evaluation["summary"] and "round trip tiny, vivid" not in evaluation["summary"]
    for row in rows_of(evaluation, "tiny, vivid"):
        truth = load(photographs / row["picture"])
        assert row["psnr"] == metrics.psnr(truth, model.colorize(color.gray(truth), strength=2.0))


# The command


def command(*arguments, code=0):
    done = CliRunner().invoke(main, [*map(str, arguments)])
    assert done.exit_code == code, done.output
    return done.output


@pytest.mark.medium
def test_the_command_scores_sets_and_what_capsules_are_for(photographs, tmp_path):
    model = write_photograph_model(tmp_path)
    told = command(
        *("evaluate", photographs, "--also", photographs / "below", "--model", model, "--against", "tiny-photo"),
        *("--jobs", 2, "--json", tmp_path / "s.json", "--csv", tmp_path / "s.csv", "--md", tmp_path / "s.md"),
        *("--uses", tmp_path / "u.json"),
    )
    sets = evaluate.load_json(tmp_path / "s.json")["sets"]
    name = evaluate.set_name(photographs)
    assert list(sets) == [name, f"{photographs.name}/below"]
    assert list(sets[name]["summary"])[-2:] == ["tiny-photo", "tiny-photo, vivid"]
    assert sets[name]["summary"]["tiny-photo, vivid"]["over"]["tiny-photo"]["value"] != 0
    assert told.startswith((tmp_path / "s.md").read_text()) and "what capsules are for" in told
    uses = evaluate.load_json(tmp_path / "u.json")["uses"]
    assert list(uses) == [name] and list(uses[name]) == ["tiny-photo"]
    assert uses[name]["tiny-photo"]["summary"]["skill"] == sets[name]["summary"]["tiny-photo"]["skill"]


def test_the_command_refuses_what_does_not_go_together(photographs, tmp_path):
    for option in (["--also", photographs], ["--against", "tint"], ["--uses", tmp_path / "u.json"]):
        assert "need --model NAME" in command("evaluate", photographs, photographs, *option, code=2)
    asked = ["--uses", tmp_path / "u.json", "--segments", tmp_path / "nowhere.tar"]
    told = command("evaluate", photographs, "--model", write_photograph_model(tmp_path), *asked, code=1)
    assert "nowhere.tar cannot be read as a tar of segmentations" in told
    told = command("evaluate", photographs, "--model", write_model(tmp_path), *asked[:2], code=2)
    assert "--uses needs a network that sees whole photographs" in told


# Models that do not fit


@pytest.mark.parametrize("output", [lambda gray: gray, lambda gray: sepia(gray)[1:], lambda gray: sepia(gray) / 255])
def test_a_model_that_gives_something_else_is_refused(photographs, output):
    with pytest.raises(ModelError, match=r"odd makes .* of coffee.png: a model must give \(60, 80, 3\) uint8 for it"):
        evaluate_models([photographs / "coffee.png"], {"odd": output})


def test_a_model_may_not_take_a_baselines_name(photographs):
    with pytest.raises(ModelError, match="'tint' is the name of a baseline"):
        evaluate_models(photographs, {"tint": sepia})
    with pytest.raises(ModelError, match="'gray' is the name of a baseline"):
        evaluate_outputs(photographs, photographs, name="gray")


# Outputs in a folder


@pytest.fixture
def outputs(photographs, tmp_path):
    for file in photographs.rglob("*.png"):
        save(tmp_path / file.relative_to(photographs), sepia(color.gray(load(file))))
    return tmp_path


def test_outputs_score_as_the_model_that_made_them(photographs, outputs, evaluation):
    scored = evaluate_outputs(str(photographs), str(outputs), name="theirs")
    assert list(scored["summary"]) == ["gray", "tint", "picture mean", "theirs"]
    for score in ("psnr", "ssim", "delta_e", "slope", "colorfulness_ratio", "over_tint"):
        assert scored["summary"]["theirs"][score] == evaluation["summary"]["sepia"][score]
    assert scored["models"] == {"theirs": None}


def test_outputs_match_by_name_whatever_their_suffix(photographs, outputs):
    for file in list(outputs.rglob("*.png")):
        save(file.with_suffix(".TIFF"), load(file))
        file.unlink()
    save(outputs / "other.png", np.zeros((9, 9, 3), np.uint8))
    assert evaluate_outputs(photographs, outputs)["set"]["pictures"] == 6


def test_pictures_to_show_go_from_the_best_by_skill_to_the_worst(photographs):
    """Outputs between gray (skill 0) and the truth (no error), in known order."""
    named = evaluate.photographs(photographs)
    shares = dict(zip(named, np.random.default_rng(0).permutation(len(named)) / len(named), strict=True))

    def colorize(name, gray):
        mixed = shares[name] * load(named[name]).astype(float) + (1 - shares[name]) * gray[..., None]
        return np.rint(mixed).astype(np.uint8)

    by_share = sorted(named, key=shares.get, reverse=True)
    shown = evaluate.spread_by_skill(named, colorize, 3)
    assert shown == [by_share[0], by_share[round((len(named) - 1) / 2)], by_share[-1]]
    assert evaluate.spread_by_skill(named, colorize, 99) == by_share


def test_pairs_are_the_photographs_and_their_outputs(photographs, outputs):
    names = ["astronaut.png", "below/china.png", "chelsea.png", "coffee.png", "flower.png", "rocket.png"]
    assert evaluate.pairs(photographs, outputs) == [(name, photographs / name, outputs / name) for name in names]


def test_an_output_of_the_same_suffix_comes_before_another(photographs, outputs):
    before = evaluate_outputs(photographs, outputs)["summary"]["outputs"]["psnr"]
    save(outputs / "coffee.webp", np.zeros((9, 9, 3), np.uint8))
    assert evaluate_outputs(photographs, outputs)["summary"]["outputs"]["psnr"] == before
    (outputs / "coffee.png").rename(outputs / "coffee.tif")
    with pytest.raises(DataError, match=r"has coffee.tif and coffee.webp for coffee.png: keep the one"):
        evaluate_outputs(photographs, outputs)


def test_missing_outputs_are_counted_and_named(photographs, outputs):
    (outputs / "below" / "china.png").unlink()
    with pytest.raises(DataError, match=r"lacks 1 of 6 pictures \(below/china.png\): colorize these too"):
        evaluate_outputs(photographs, outputs)
    for name in ("astronaut", "chelsea", "coffee"):
        (outputs / f"{name}.png").unlink()
    with pytest.raises(DataError, match=r"lacks 4 of 6 pictures \(astronaut.png, below/china.png, chelsea.png, …\)"):
        evaluate_outputs(photographs, outputs)


def test_an_output_of_another_size_is_refused_unless_both_are_resized(photographs, outputs):
    save(outputs / "coffee.png", cv2.resize(load(outputs / "coffee.png"), (48, 48)))
    with pytest.raises(PictureError, match=r"coffee.png is 48×48 and its photograph 80×60: color it at full size"):
        evaluate_outputs(photographs, outputs)
    assert evaluate_outputs(photographs, outputs, Protocol(resize=48))["set"]["pictures"] == 6


def test_a_gray_output_scores_as_gray(photographs, outputs):
    for file in outputs.rglob("*.png"):
        gray = color.gray(load(photographs / file.relative_to(outputs)))
        save(file, gray)
    summary = evaluate_outputs(photographs, outputs)["summary"]
    assert summary["outputs"]["psnr"] == summary["gray"]["psnr"]


# Files


def test_the_json_says_how_it_was_made_and_comes_back_equal(evaluation, tmp_path):
    evaluate.save_json(evaluation, tmp_path / "e.json")
    back = json.loads((tmp_path / "e.json").read_text())
    assert back["command"] == "colorcapsnet evaluate"
    assert back["models"] == {"sepia": None, "cheat": "c0ffee", "faded": "c0ffee"}
    assert back["versions"]["numpy"] == np.__version__ and back["seconds"] > 0
    assert back["protocol"] == {
        "gray": "rec601",
        "resize": None,
        "ssim": "uniform",
        "colorfulness": "signed",
        "tint": [-2.96, 10.64],
        "psnr_ceiling": 100.0,
        "resamples": 10_000,
    }
    assert back["rows"] == evaluation["rows"] and back["summary"] == evaluation["summary"]
    assert report.markdown(back) == report.markdown(evaluation)


def test_the_csv_has_a_line_for_each_picture_and_row(evaluation, tmp_path):
    evaluate.to_csv(evaluation, tmp_path / "e.csv")
    with (tmp_path / "e.csv").open(newline="") as file:
        lines = list(csv.DictReader(file))
    assert len(lines) == len(evaluation["rows"])
    assert lines[5]["picture"] == "astronaut.png" and lines[5]["model"] == "sepia"
    assert float(lines[5]["psnr"]) == evaluation["rows"][5]["psnr"]


def test_the_markdown_is_the_reports(evaluation, tmp_path):
    evaluate.to_markdown(evaluation, tmp_path / "e.md")
    assert (tmp_path / "e.md").read_text() == report.markdown(evaluation)


@pytest.mark.parametrize("write", [evaluate.save_json, evaluate.to_csv, evaluate.to_markdown])
def test_files_replace_older_ones_and_leave_nothing_half_written(evaluation, tmp_path, write):
    for _ in range(2):
        write(evaluation, tmp_path / "out")
    assert [file.name for file in tmp_path.iterdir()] == ["out"]
    (tmp_path / "folder").mkdir()
    for place in (tmp_path / "nowhere" / "out", tmp_path / "folder"):
        with pytest.raises(OutputError, match="cannot be written"):
            write(evaluation, place)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["folder", "out"]


# The check on real photographs


@pytest.mark.medium
@pytest.mark.skipif(not BSDS.is_dir(), reason="needs ../shared/data/bsds500")
def test_gray_and_tint_score_what_is_known_of_them_on_bsds500_validation():
    evaluation = evaluate_models(BSDS / "val", {}, jobs=2)
    gray, tint = evaluation["summary"]["gray"], evaluation["summary"]["tint"]
    assert evaluation["set"]["pictures"] == 100 and not evaluation["set"]["left_out"]
    assert round(gray["psnr"]["value"], 2) == 23.07 and round(gray["ssim"]["value"], 3) == 0.952
    assert round(tint["psnr"]["value"], 2) == 24.03
    assert evaluate.difference(evaluation, "tint", "gray").excludes_zero
