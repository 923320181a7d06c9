"""The main job: same kind out as in, lightness kept to the last code, the paper's manner by a switch."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import PIL.Image
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from colorcapsnet import Colorizer, Picture, color, paint, pictures, scale
from colorcapsnet.errors import HintError, ModelError, PictureError
from colorcapsnet.hints import NOTHING, Candidate, Capsule, Hints, Point, ab_of
from tests.tiny import COLOR, write_model, write_photograph_model

SAMPLES = Path(__file__).parents[1] / "samples"


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    return str(write_model(tmp_path_factory.mktemp("model")))


@pytest.fixture(scope="module")
def paper():
    return Colorizer("paper")


@pytest.fixture(scope="module")
def photo(tmp_path_factory):
    """A tiny network that sees whole photographs."""
    return Colorizer(str(write_photograph_model(tmp_path_factory.mktemp("photo"))))


@pytest.fixture(params=["tiny", "photo"])
def either(request):
    """A network of each kind."""
    given_ = request.getfixturevalue(request.param)
    return given_ if isinstance(given_, Colorizer) else Colorizer(given_)


def chroma(rgb):
    return np.hypot(*np.moveaxis(color.srgb_to_lab(rgb)[..., 1:], -1, 0))


def random_gray(height, width, dtype=np.uint8):
    return np.random.default_rng(0).integers(0, np.iinfo(dtype).max + 1, (height, width)).astype(dtype)


def test_a_path_or_bytes_give_a_picture(either):
    path = SAMPLES / "chelsea.png"
    for given_ in (path, str(path), path.read_bytes()):
        result = either.colorize(given_)
        assert isinstance(result, Picture)
        assert result.array.shape == (300, 451, 3)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_an_array_gives_an_array_of_its_depth(either, dtype):
    gray = random_gray(20, 31, dtype)
    result = either.colorize(gray)
    assert result.shape == (20, 31, 3)
    assert result.dtype == dtype


def test_alpha_comes_along(either):
    rgba = np.dstack([random_gray(12, 10)] * 3 + [random_gray(12, 10)])
    assert np.array_equal(either.colorize(rgba)[..., 3], rgba[..., 3])


def test_what_travels_beside_the_pixels_comes_along(either, tmp_path):
    image = PIL.Image.fromarray(random_gray(20, 30))
    exif = image.getexif()
    exif[270], exif[274] = "grandmother, 1931", 6  # description; orientation: turned by a quarter
    image.save(tmp_path / "a.jpg", exif=exif, dpi=(300, 300))
    either.colorize(tmp_path / "a.jpg").save(tmp_path / "b.jpg")
    with PIL.Image.open(tmp_path / "b.jpg") as colored:
        assert colored.size == (20, 30)
        assert (colored.getexif()[270], colored.getexif()[274]) == ("grandmother, 1931", 1)
        assert colored.info["dpi"] == (300, 300)


def test_a_pil_image_gives_a_pil_image(either):
    image = PIL.Image.fromarray(random_gray(20, 31))
    result = either.colorize(image)
    assert isinstance(result, PIL.Image.Image)
    assert (result.size, result.mode) == (image.size, "RGB")


def test_a_color_picture_is_made_gray_first(paper):
    rgb = cv2.cvtColor(cv2.imread(str(SAMPLES / "chelsea.png")), cv2.COLOR_BGR2RGB)[:60, :80]
    assert np.array_equal(paper.colorize(rgb), paper.colorize(color.gray(rgb)))


@settings(max_examples=25)
@given(st.data())
def test_every_gray_code_comes_back_from_the_result(paper, photo, data):
    dtype = data.draw(st.sampled_from([np.uint8, np.uint16]))
    shape = data.draw(st.tuples(st.integers(1, 30), st.integers(1, 30)))
    strength = data.draw(st.sampled_from([0.0, 1.0, 2.0]))
    gray = data.draw(arrays(dtype, shape))
    for colorizer in (paper, photo):
        assert np.array_equal(color.gray_of(colorizer.colorize(gray, None, strength)), gray)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_strength_runs_from_gray_to_vivid(either, dtype):
    gray = pictures.read(SAMPLES / "chelsea.png").gray.astype(dtype) * (np.iinfo(dtype).max // 255)
    steps = [either.colorize(gray, strength=strength) for strength in (0, 0.5, 1, 1.5, 2)]
    assert np.array_equal(steps[0], np.dstack([gray] * 3).astype(dtype))
    assert np.array_equal(steps[2], either.colorize(gray))
    means = [chroma(rgb).mean() for rgb in steps]
    assert means == sorted(means)
    assert means[4] > means[2] > means[0] + 1


@pytest.mark.parametrize("strength", [-0.1, 2.1, float("nan")])
def test_an_impossible_strength_is_refused(either, strength):
    with pytest.raises(ValueError, match=r"strength is 0 \(gray\) to 2 \(vivid\)"):
        either.colorize(random_gray(9, 9), strength=strength)


def test_the_published_manner_has_no_strength():
    with pytest.raises(ValueError, match="1 as published, not 2"):
        Colorizer("paper", as_published=True).colorize(random_gray(9, 9), strength=2)


def test_the_model_gives_the_color(tiny):
    gray = np.full((20, 20), 128, np.uint8)
    lab = color.srgb_to_lab(Colorizer(tiny).colorize(gray))
    assert np.abs(lab[..., 1:] - (np.array(COLOR) - 128)).max() < 1


@pytest.mark.parametrize("stride", [1, 2, 4, 9])
def test_the_stride_changes_nothing_where_patches_agree(tiny, stride):
    gray = random_gray(25, 33)
    assert np.array_equal(Colorizer(tiny, stride=stride).colorize(gray), Colorizer(tiny, stride=9).colorize(gray))


def test_as_published_is_the_papers_manner_written_out(paper):
    """Zeros beyond the border, patches side by side, 8-bit Lab redrawn by the network, clipped to sRGB."""
    gray = cv2.imread(str(SAMPLES / "chelsea.png"), cv2.IMREAD_GRAYSCALE)[:40, :50]
    padded = np.zeros((45, 54), np.uint8)
    padded[:40, :50] = gray
    code = np.zeros((45, 54, 3), np.uint8)
    for y in range(0, 45, 9):
        for x in range(0, 54, 9):
            patch = padded[None, y : y + 9, x : x + 9].astype(np.float32) / 255
            code[y : y + 9, x : x + 9] = np.rint(paper.network(patch)[0] * 255)
    expected = color.quantize(color.lab_to_srgb(color.decode(code[:40, :50])))
    result = Colorizer("paper", as_published=True).colorize(gray)
    assert np.abs(result.astype(int) - expected).max() <= 1  # a code at the edge of rounding
    assert (result != expected).mean() < 1e-3


def test_a_large_picture_is_colored_like_its_parts(paper):
    """Bands, batches and joins leave no trace: far from the cut, a part is colored as in the whole."""
    gray = random_gray(40, 1000)
    whole, part = paper.colorize(gray), paper.colorize(gray[:, 90:630])
    assert np.abs(whole[:, 99:600].astype(int) - part[:, 9:510]).max() <= 1


def test_progress_adds_up_to_one_picture(paper, photo):
    for colorizer, size in ((paper, (100, 500)), (photo, (600, 1000))):
        shares = []
        colorizer.colorize(random_gray(*size), shares.append)
        assert len(shares) > 3
        assert sum(shares) == pytest.approx(1)


def test_the_round_trip_keeps_lightness_and_nearly_all_color(paper, photo):
    rgb = cv2.cvtColor(cv2.imread(str(SAMPLES / "chelsea.png")), cv2.COLOR_BGR2RGB)
    for colorizer, lost in ((paper, 1), (photo, 5)):  # of the photograph, 16 × 16 cells are left
        back = colorizer.round_trip(rgb)
        assert np.array_equal(color.gray_of(back), color.gray(rgb))
        assert np.abs(color.srgb_to_lab(back) - color.srgb_to_lab(rgb))[..., 1:].mean() < lost


def test_the_same_picture_gives_the_same_bytes(paper):
    gray = random_gray(50, 60)
    assert np.array_equal(paper.colorize(gray), Colorizer("paper").colorize(gray))


@pytest.mark.parametrize("stride", [0, -1, 10])
def test_an_impossible_stride_is_refused(tiny, stride):
    with pytest.raises(ValueError, match=f"the stride is 1 to 9 .*, not {stride}"):
        Colorizer(tiny, stride=stride)


def test_what_is_no_picture_is_refused(tiny):
    with pytest.raises(PictureError, match="shape"):
        Colorizer(tiny).colorize(np.zeros((3, 4, 5), np.uint8))
    with pytest.raises(PictureError, match="float32"):
        Colorizer(tiny).colorize(np.zeros((3, 4), np.float32))
    with pytest.raises(ModelError, match="no model 'deepest'"):
        Colorizer("deepest")


def test_a_picture_saved_as_png_keeps_every_code(paper, tmp_path):
    gray = random_gray(30, 30, np.uint16)
    Picture(paper.colorize(gray)).save(tmp_path / "out.png")
    back = cv2.imread(str(tmp_path / "out.png"), cv2.IMREAD_UNCHANGED)[..., ::-1]
    assert np.array_equal(color.gray_of(np.ascontiguousarray(back)), gray)


# Networks that see whole photographs


@pytest.mark.parametrize(
    "shape", [(1, 1), (1, 300), (300, 1), (64, 64), (31, 33), (40, 3000), (3000, 40), (1400, 2040)], ids=str
)
def test_pictures_of_any_shape_are_colored(photo, shape):
    gray = random_gray(*shape)
    rgb = photo.colorize(gray)
    assert rgb.shape == (*shape, 3)
    assert np.array_equal(color.gray_of(rgb), gray)


def test_the_main_job_step_by_step(photo):
    """Gray, small, think, paint, large, merge: written out at once, without strips and threads."""
    rgb = pictures.read(SAMPLES / "coffee.png").array
    gray = color.gray(rgb)
    small = scale.fit(gray, *scale.working_shape(*gray.shape, 64))
    known = photo.network.know(small.astype(np.float32) / 255)
    ab = paint.color(known, 0.8)
    height, width = ab.shape[:2]
    cells = scale.fit(color.lightness(small), height, width)
    large = scale.Enlarged(ab, cells, *gray.shape).rows(slice(0, len(gray)), color.lightness(gray))
    expected = color.merge(gray, large).astype(int)
    assert np.abs(photo.colorize(rgb, strength=0.8) - expected).max() <= 1  # a code at the edge of rounding


def test_a_picture_that_was_opened_gives_what_colorize_gives(photo):
    path = SAMPLES / "chelsea.png"
    canvas = photo.open(path)
    for strength in (0, 1, 2):
        asked = canvas.color(strength)
        assert np.array_equal(asked.array, photo.colorize(path, strength=strength).array)
        assert np.array_equal(asked.array, canvas.render(canvas.ab(strength)).array)


def test_all_that_colorize_takes_can_be_opened(photo):
    path = SAMPLES / "chelsea.png"
    picture = pictures.read(path)
    given_ = [path, str(path), path.read_bytes(), picture, picture.array, picture.gray, picture.pil()]
    first, *others = [photo.open(each).color().array for each in given_]
    assert all(np.array_equal(first, other) for other in others)


def test_a_canvas_tells_what_the_network_knows_of_the_picture(photo):
    picture = Picture(pictures.read(SAMPLES / "chelsea.png").array[:200])
    canvas = photo.open(picture)
    assert canvas.picture is picture
    assert canvas.card is photo.card
    assert canvas.lightness.shape == canvas.known.coupling.shape[1:] == canvas.confidence().shape == (8, 24)
    means = cv2.resize(color.lightness(picture.gray), (24, 8), interpolation=cv2.INTER_AREA)
    assert np.abs(canvas.lightness - means).max() < 2
    assert np.array_equal(canvas.ab(), paint.color(canvas.known))


def test_eight_and_sixteen_bits_of_a_picture_are_seen_alike(photo):
    gray = pictures.read(SAMPLES / "chelsea.png").gray
    eight, sixteen = photo.open(gray), photo.open(gray.astype(np.uint16) * 257)
    assert np.abs(eight.ab() - sixteen.ab()).max() < 1
    assert np.abs(eight.color().array - sixteen.color().array / 257).max() < 3


def test_candidates_are_pictures_unlike_in_hue_and_the_same_for_a_seed(photo):
    canvas = photo.open(SAMPLES / "chelsea.png")
    four = canvas.candidates(4)
    assert [candidate.array.shape for candidate in four] == [(300, 451, 3)] * 4
    assert all(np.array_equal(color.gray_of(candidate.array), canvas.gray) for candidate in four)
    assert all(np.array_equal(a.array, b.array) for a, b in zip(four, canvas.candidates(4), strict=True))
    ab = [color.srgb_to_lab(candidate.array)[..., 1:].mean(axis=(0, 1)) for candidate in four]
    assert max(np.abs(a - b).max() for a in ab for b in ab) > 5


def test_confidence_follows_the_cards_curve(tmp_path, photo):
    curve = [[0, 1], [0.25, 0.75]]
    card = {"curve": curve, "gain": 1.5, "anneal": 4.0}
    measured = Colorizer(str(write_photograph_model(tmp_path, "measured", paint=card)))
    raw, curved = (colorizer.open(SAMPLES / "chelsea.png") for colorizer in (photo, measured))
    assert np.abs(curved.confidence() - (0.25 + 0.5 * raw.confidence())).max() < 1e-6
    assert np.array_equal(curved.ab(2), paint.color(raw.known, 2, anneal=4.0, gain=1.5))
    assert np.array_equal(curved.ab(1), raw.ab(1))


@pytest.mark.parametrize(
    ("x", "y", "cell"), [(0, 0, (0, 0)), (449, 199, (7, 23)), (224, 99, (3, 11)), (225, 100, (4, 12))]
)
def test_a_pixel_lies_in_its_cell(photo, x, y, cell):
    """Of 8 × 24 that cover the picture."""
    assert photo.open(random_gray(200, 450)).cell(x, y) == cell


@pytest.mark.parametrize(("x", "y"), [(-1, 0), (450, 0), (0, 200), (0, -1)])
def test_a_pixel_outside_the_picture_has_no_cell(photo, x, y):
    with pytest.raises(ValueError, match=f"the pixel {x}, {y} is outside the picture of 450×200"):
        photo.open(random_gray(200, 450)).cell(x, y)


def test_colors_of_another_size_are_refused(photo):
    with pytest.raises(ValueError, match=r"the colors are \(3, 4, 2\), and the cells \(8, 24\)"):
        photo.open(random_gray(200, 450)).render(np.zeros((3, 4, 2), np.float32))


def test_colors_that_are_given_arrive(photo):
    canvas = photo.open(np.full((90, 120), 128, np.uint8))
    lab = color.srgb_to_lab(canvas.render(np.full_like(canvas.ab(), (22, -18))).array)
    assert np.abs(lab[..., 1:] - (22, -18)).max() < 1


def test_many_threads_color_at_once(photo):
    grays = [random_gray(60 + 7 * k, 90) for k in range(8)]
    expected = [photo.colorize(gray) for gray in grays]
    with ThreadPoolExecutor(8) as pool:
        for got, gray in zip(pool.map(photo.colorize, grays * 4), expected * 4, strict=True):
            assert np.array_equal(got, gray)


def test_one_thread_gives_what_many_give(tmp_path):
    gray, path = random_gray(700, 900), str(write_photograph_model(tmp_path))
    one, many = (Colorizer(path, threads=threads).colorize(gray) for threads in (1, 4))
    assert np.array_equal(one, many)


def test_the_mirrored_picture_is_colored_as_the_mirror_of_the_picture(photo):
    gray = pictures.read(SAMPLES / "coffee.png").gray
    difference = np.abs(photo.colorize(gray[:, ::-1])[:, ::-1].astype(int) - photo.colorize(gray))
    assert difference.mean() < 0.1
    assert difference.max() <= 8


def test_a_network_of_patches_cannot_be_opened_and_one_of_photographs_has_no_patches(tiny, tmp_path):
    with pytest.raises(ModelError, match="tiny sees patches, not photographs"):
        Colorizer(tiny).open(random_gray(9, 9))
    path = str(write_photograph_model(tmp_path))
    for options in ({"as_published": True}, {"stride": 3}):
        with pytest.raises(ValueError, match="tiny-photo sees whole photographs"):
            Colorizer(path, **options)


# What a person decides


def ab_at(picture, x, y):
    return color.srgb_to_lab(picture.array)[y, x, 1:]


@pytest.fixture(scope="module")
def cat(photo):
    return photo.open(SAMPLES / "chelsea.png")


points = st.lists(
    st.builds(
        Point, st.floats(0, 1), st.floats(0, 1), st.tuples(st.floats(-60, 60), st.floats(-60, 60)), st.just(True)
    ),
    max_size=4,
)
recolors = st.lists(st.builds(Capsule, st.integers(0, 2), st.just("#a03020")), max_size=2)


@settings(max_examples=40)
@given(points, recolors, st.floats(0, 2), st.floats(0, 1))
def test_decisions_are_taken_in_their_order(cat, given_points, recolored, strength, threshold):
    """Recolors, strength, do-no-harm, points: written out in the arithmetic of paint."""
    known = cat.known
    for each in recolored:
        known = paint.recolor(known, each.number, ab_of(each.color))
    sure = paint.confidence(known, paint.color(known))
    ab = paint.fade(known, paint.color(known, strength), sure, threshold)
    cells = [cat.cell(*point.pixel(451, 300)) for point in given_points]
    ab = paint.hint(known, ab, cat.lightness, cells, [point.color for point in given_points])
    hints = Hints(points=given_points, recolor=recolored, strength=strength, do_no_harm=threshold)
    assert np.abs(cat.ab(hints=hints) - ab).max() < 1e-3
    assert np.array_equal(cat.ab(strength, hints), cat.ab(hints=hints))


@settings(max_examples=15)
@given(points, recolors, st.floats(0, 2), st.floats(0, 1))
def test_whatever_is_decided_every_gray_code_stays(cat, given_points, recolored, strength, threshold):
    hints = Hints(points=given_points, recolor=recolored, strength=strength, do_no_harm=threshold)
    assert np.array_equal(color.gray_of(cat.color(hints=hints).array), cat.gray)


def test_colorize_takes_hints_for_every_kind_of_picture(photo, cat):
    hints = Hints(points=[Point(100, 100, "#a03020")], recolor=[Capsule(1, (20, -20))], strength=1.5)
    expected = cat.color(hints=hints).array
    picture = pictures.read(SAMPLES / "chelsea.png")
    assert np.array_equal(photo.colorize(picture, hints=hints).array, expected)
    assert np.array_equal(photo.colorize(picture.array, hints=hints), expected)
    assert np.array_equal(np.array(photo.colorize(picture.pil(), hints=hints)), expected)
    assert not np.array_equal(photo.colorize(picture.array), expected)


def test_deciding_nothing_changes_nothing(cat):
    assert np.array_equal(cat.ab(hints=NOTHING), cat.ab())
    assert cat.decided(NOTHING) is cat
    waiting = Hints(points=[Point(3, 4, None)])
    assert np.array_equal(cat.ab(hints=waiting), cat.ab())


def test_a_given_color_arrives_as_given_whatever_the_strength(photo):
    canvas = photo.open(np.full((96, 128), 128, np.uint8))
    for hints in (
        Hints(points=[Point(60, 40, (25, -20))], strength=0),
        Hints(points=[Point(60, 40, (25, -20))], strength=2, do_no_harm=1),
    ):
        assert np.abs(ab_at(canvas.color(hints=hints), 60, 40) - (25, -20)).max() < 3


def test_a_whole_capsule_and_a_part_are_recolored(cat):
    mask = paint.region(cat.known, cat.cell(225, 250))
    whole, part = cat.recolor(2, (30, -40)), cat.recolor((225, 250), (30, -40))
    assert np.array_equal(whole.ab(), paint.color(paint.recolor(cat.known, 2, (30, -40))))
    assert np.array_equal(part.ab(), paint.color(paint.recolor_region(cat.known, mask, (30, -40))))
    assert np.abs(part.ab() - (30, -40))[mask == 1].mean() < np.abs(cat.ab() - (30, -40))[mask == 1].mean() / 4
    assert np.where(mask == 0, np.abs(part.ab() - cat.ab()).max(axis=-1), 0).max() < 1e-4
    assert np.array_equal(cat.ab(), paint.color(cat.known))  # the first canvas is as it was


def test_recolors_of_hints_are_those_of_the_canvas(cat):
    hints = Hints(recolor=[Capsule(0, "#a03020"), Point(225, 250, "#2040a0")])
    chained = cat.recolor(0, "#a03020").recolor((225, 250), "#2040a0")
    assert np.array_equal(cat.ab(hints=hints), chained.ab())
    assert len(chained.regions) == 4 and np.abs(chained.regions.sum(axis=0) - 1).max() < 1e-5


def test_a_reference_gives_its_colors_to_what_is_in_both(photo, cat, tmp_path):
    path = SAMPLES / "coffee.png"
    small = scale.fit(pictures.read(path).array, *scale.working_shape(400, 600, 64))
    height, width = photo.open(path).lightness.shape
    ab = scale.fit(color.srgb_to_lab(small)[..., 1:], height, width)
    expected = paint.reference(cat.known, paint.observe(photo.open(path).known, ab))
    for other in (path, str(path), photo.observe(path), pictures.read(path)):
        assert np.array_equal(cat.reference(other).ab(), paint.color(expected))
    assert np.array_equal(cat.ab(hints=Hints(reference=path)), paint.color(expected))
    assert not np.array_equal(paint.color(expected), cat.ab())


def test_a_picture_is_its_own_best_reference(photo, cat):
    true = color.srgb_to_lab(cat.picture.array)[..., 1:]
    apart = [np.abs(color.srgb_to_lab(p.array)[..., 1:] - true).mean() for p in (cat.color(), cat.reference(
        cat.picture).color())]  # fmt: skip
    assert apart[1] < 0.7 * apart[0]


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_a_gray_reference_is_refused(photo, cat, dtype):
    gray = random_gray(60, 80, dtype)
    for other in (gray, np.dstack([gray] * 3), photo.colorize(gray, strength=0)):
        with pytest.raises(PictureError, match="is gray: a reference needs colors to take"):
            cat.reference(other)


def test_unsure_colors_fade_as_more_sureness_is_asked_for(cat):
    chromas = [chroma(cat.color(hints=Hints(do_no_harm=t)).array).mean() for t in (0, 0.3, 0.6, 0.9, 1)]
    assert chromas == sorted(chromas, reverse=True)
    assert chromas[-1] < chromas[0]


def test_candidates_share_what_was_decided(cat):
    hints = Hints(points=[Point(225, 250, (25, -20))], recolor=[Capsule(0, "#2040a0")], strength=1.4)
    decided = cat.recolor(0, "#2040a0")
    cell = [cat.cell(225, 250)]
    drawn = paint.candidates(decided.known, 3, 5)
    for ab, known in zip(cat.candidate_colors(3, 5, hints=hints), drawn, strict=True):
        expected = paint.hint(known, paint.color(known, 1.4), cat.lightness, cell, [(25, -20)])
        assert np.abs(ab - expected).max() < 1e-4
    assert [p.array.shape for p in cat.candidates(2, strength=2.0, hints=hints)] == [(300, 451, 3)] * 2


@pytest.mark.parametrize(("seed", "of", "number"), [(0, 4, 0), (1, 4, 2), (7, 1, 0), (3, 128, 127)])
def test_a_chosen_candidate_is_the_one_that_was_shown(cat, seed, of, number):
    hints = Hints(points=[Point(225, 250, (25, -20))], strength=1.4)
    shown = cat.candidate_colors(of, seed, hints=hints)[number]
    chosen = replace(hints, candidate=Candidate(seed, of, number))
    assert np.array_equal(cat.ab(hints=chosen), shown)


def test_a_candidate_is_chosen_after_the_reference_and_before_recolors(cat):
    hints = Hints(reference=SAMPLES / "coffee.png", candidate=Candidate(1, 4, 2), recolor=[Capsule(0, "#2040a0")])
    known = paint.candidates(cat.reference(SAMPLES / "coffee.png").known, 4, 1)[2]
    expected = paint.color(paint.recolor(known, 0, ab_of("#2040a0")))
    assert np.array_equal(cat.ab(hints=hints), expected)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_a_preview_is_the_picture_made_small(photo, dtype):
    """Coloring a small gray and making the colored picture small agree, but for what a cell cannot resolve."""
    rgb = pictures.read(SAMPLES / "coffee.png").array
    canvas = photo.open(rgb if dtype == np.uint8 else rgb.astype(np.uint16) * 257)
    hints = Hints(points=[Point(300, 200, "#a03020")], strength=1.5)
    gray = canvas.seen(240)
    small = canvas.preview(gray, hints=hints)
    assert gray.shape == (160, 240) and small.shape == (160, 240, 3) and small.dtype == np.uint8
    assert np.array_equal(color.gray_of(small), gray)
    expected = scale.fit(color.eight_bits(canvas.color(hints=hints).array), 160, 240)
    apart = np.abs(color.srgb_to_lab(small) - color.srgb_to_lab(expected))[..., 1:]
    assert np.median(apart) < 1.5 and apart.mean() < 3


def test_a_preview_of_the_whole_size_is_the_picture(cat):
    assert np.array_equal(cat.preview(cat.seen()), cat.color().array)
    assert np.array_equal(cat.seen(10_000), cat.gray)


def test_the_capsule_at_a_pixel_is_the_strongest_of_its_cell(cat):
    for x, y in ((0, 0), (450, 299), (225, 150)):
        number, share = cat.capsule_at(x, y)
        row, column = cat.cell(x, y)
        assert number == cat.regions[:, row, column].argmax()
        assert share == pytest.approx(cat.regions[number, row, column]) and 1 / 3 <= share <= 1
    with pytest.raises(HintError, match="the pixel 451, 0 is outside"):
        cat.capsule_at(451, 0)


def test_the_reach_of_hints_is_the_cards(tmp_path, photo):
    kernel = {"everywhere": 0.0, "wide": 0.0, "near_reach": 0.02}
    narrow = Colorizer(str(write_photograph_model(tmp_path, "narrow", paint={"kernel": kernel})))
    hints = Hints(points=[Point(100, 100, (60, 0))])
    changed = [
        (np.abs(c.ab(hints=hints) - c.ab()).max(axis=-1) > 1).sum()
        for c in (photo.open(SAMPLES / "chelsea.png"), narrow.open(SAMPLES / "chelsea.png"))
    ]
    assert 0 < changed[1] < changed[0] / 4
    assert narrow.open(SAMPLES / "chelsea.png").kernel == paint.Kernel(**kernel)


def test_maps_have_the_size_of_the_picture(cat):
    assert cat.regions is cat.known.coupling
    shown, sure = cat.region_map(), cat.confidence_map()
    assert (shown.shape, shown.dtype, sure.shape, sure.dtype) == ((300, 451, 3), np.uint8, (300, 451), np.uint8)
    assert sure.mean() / 255 == pytest.approx(cat.confidence().mean(), abs=0.01)
    assert (cat.region_map(100).shape, cat.confidence_map(100).shape) == ((67, 100, 3), (67, 100))
    assert cat.confidence_map(100).mean() == pytest.approx(sure.mean(), abs=2)


@settings(max_examples=40)
@given(st.integers(1, 90), st.integers(1, 90), st.integers(1, 20))
def test_suggestions_lie_in_the_picture_and_in_their_cells(photo, height, width, n):
    canvas = photo.open(random_gray(height, width))
    suggested = canvas.suggest(n)
    assert 1 <= len(suggested) <= n and len(set(suggested)) == len(suggested)
    cells = paint.suggest(canvas.known, canvas.lightness, min(n, canvas.lightness.size)).tolist()
    if height >= canvas.lightness.shape[0] and width >= canvas.lightness.shape[1]:
        assert [list(canvas.cell(x, y)) for x, y in suggested] == cells
    else:
        assert all(0 <= x < width and 0 <= y < height for x, y in suggested)


def test_what_is_known_is_not_suggested_again(cat):
    first = cat.suggest(1)
    hints = Hints(points=[Point(*first[0], "#a03020")])
    assert first[0] not in cat.suggest(5, hints)
    assert cat.suggest(3)[0] == first[0]


@pytest.mark.parametrize(
    ("hints", "message"),
    [
        (Hints(points=[Point(451, 0, "#a03020")]), "the point 451, 0 is outside the picture of 451×300"),
        (Hints(recolor=[Point(0, 300, "#a03020")]), "the point 0, 300 is outside the picture of 451×300"),
        (Hints(recolor=[Capsule(3, "#a03020")]), "there is no capsule 3: they are 0 to 2"),
        (Hints(size=(300, 451)), "the hints are for a picture of 300×451 pixels, and this one is 451×300"),
    ],
)
def test_decisions_that_do_not_fit_the_picture_are_refused(photo, cat, hints, message):
    for ask in (
        lambda: cat.color(hints=hints),
        lambda: photo.colorize(cat.picture, hints=hints),
        lambda: cat.candidates(2, hints=hints),
        lambda: cat.suggest(2, hints),
    ):
        with pytest.raises(HintError, match=message):
            ask()


def test_a_canvas_refuses_what_is_no_color_or_place(cat):
    for where, wanted in ((0, "red"), (-1, "#a03020"), ((-1, 0), "#a03020"), (0, (200, 0))):
        with pytest.raises(HintError):
            cat.recolor(where, wanted)
    with pytest.raises(ValueError, match="1 to 128 candidates"):
        cat.candidates(0)


def test_a_network_of_patches_takes_the_strength_of_hints_and_nothing_else(tiny):
    gray, colorizer = random_gray(20, 20), Colorizer(tiny)
    assert np.array_equal(colorizer.colorize(gray, hints=Hints(strength=0.5)), colorizer.colorize(gray, strength=0.5))
    with pytest.raises(ModelError, match="tiny sees patches"):
        colorizer.colorize(gray, hints=Hints(do_no_harm=0.5))


def test_many_threads_share_a_canvas(cat):
    decisions = [Hints(recolor=[Capsule(n % 3, (n, -n))], points=[Point(n, n, "#a03020")]) for n in range(16)]
    expected = [cat.color(hints=hints).array for hints in decisions]
    with ThreadPoolExecutor(8) as pool:
        for got, one in zip(pool.map(lambda hints: cat.color(hints=hints), decisions), expected, strict=True):
            assert np.array_equal(got.array, one)
