"""Colors of a film hold from frame to frame, fall where a shot does, and go where things go."""

from __future__ import annotations

import numpy as np
import pytest

from colorcapsnet import Colorizer, color, scale
from colorcapsnet.errors import HintError, ModelError
from colorcapsnet.hints import Candidate, Capsule, Hints, Point
from colorcapsnet.pictures import Picture
from colorcapsnet.steady import Shot, Steady, agrees, beginnings, colorize_frames, flow
from tests.tiny import write_model, write_photograph_model

SIZE = (120, 160)


@pytest.fixture(scope="module")
def colorizer(tmp_path_factory):
    return Colorizer(str(write_photograph_model(tmp_path_factory.mktemp("model"), size=128)), threads=1)


def scene(seed, size=(160, 240)):
    """Soft blobs: something that flow can follow."""
    noise = np.random.default_rng(seed).uniform(0, 255, (8, 12)).astype(np.float32)
    return np.clip(scale.fit(noise, *size), 0, 255).astype(np.uint8)


def pan(seed, count, step=2, grain=0.0):
    """A camera that moves to the right over a scene."""
    whole, rng = scene(seed), np.random.default_rng(seed)
    for number in range(count):
        frame = whole[:120, step * number : step * number + 160]
        yield np.clip(frame + rng.normal(0, grain or 1e-9, frame.shape), 0, 255).astype(np.uint8)


def followed(frames, colorizer, **options):
    return [shot for _, shot in Steady(colorizer, **options).frames(frames)]


def alone(frames, colorizer):
    return [colorizer.open(Picture(frame)).ab() for frame in frames]


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_every_gray_code_of_every_frame_is_kept(colorizer, dtype):
    frames = [frame.astype(dtype) * (257 if dtype == np.uint16 else 1) for frame in pan(0, 4)]
    for frame, rgb in zip(frames, colorize_frames(frames, colorizer), strict=True):
        assert rgb.dtype == dtype
        assert np.array_equal(color.gray_of(rgb), frame)


def test_the_first_frame_is_colored_as_a_picture_is(colorizer):
    frame = next(pan(1, 1))
    assert np.array_equal(next(colorize_frames([frame], colorizer)), colorizer.colorize(frame))


def test_frames_in_color_are_made_gray_first(colorizer):
    rgb = np.dstack([scene(2), scene(3), scene(4)])
    assert np.array_equal(next(colorize_frames([rgb], colorizer)), next(colorize_frames([color.gray(rgb)], colorizer)))


def test_grain_changes_the_colors_of_a_still_scene_by_less_than_a_third_as_much(colorizer):
    frames = list(pan(5, 30, step=0, grain=8))
    steady = np.array([shot.ab for shot in followed(frames, colorizer)])[10:]
    single = np.array(alone(frames, colorizer))[10:]
    assert np.abs(np.diff(steady, axis=0)).mean() < np.abs(np.diff(single, axis=0)).mean() / 3
    assert np.hypot(*steady.T).mean() == pytest.approx(np.hypot(*single.T).mean(), rel=0.03)


def test_colors_move_with_the_picture(colorizer):
    frames = list(pan(6, 16, step=4))
    last = followed(frames, colorizer)[-1]
    assert last.age.mean() > 6
    assert np.abs(last.ab - alone(frames, colorizer)[-1]).mean() < 1.0


def test_a_cut_begins_anew(colorizer):
    frames = [*pan(7, 6), *pan(8, 6)]
    shots = followed(frames, colorizer)
    assert [round(float(shot.age.max())) for shot in shots] == [1, 2, 3, 4, 5, 6, 1, 2, 3, 4, 5, 6]
    assert np.array_equal(shots[6].ab, alone(frames, colorizer)[6])


def test_a_change_of_exposure_is_no_cut(colorizer):
    frames = [np.clip(next(pan(9, 1)) * np.float32(gain), 0, 255).astype(np.uint8) for gain in (0.7, 0.75, 0.7, 0.8)]
    assert followed(frames, colorizer)[-1].age.mean() > 2


def test_flow_finds_a_shift():
    before, after = (scale.fit(frame, 96, 128) for frame in list(pan(10, 2, step=5)))
    found = flow(after, before, (24, 32))[4:-4, 4:-8]
    assert np.abs(found[..., 0] - 5 * 0.8 / 4).mean() < 0.1
    assert np.abs(found[..., 1]).mean() < 0.1


def test_lightness_agrees_with_itself_and_with_itself_brighter():
    lightness = scene(11, (24, 32)).astype(np.float32) / 2.55
    assert agrees(lightness, lightness).min() == 1
    assert agrees(lightness, lightness + 9).min() > 0.999
    assert agrees(lightness, 100 - lightness).mean() < 0.5


def test_what_is_carried_can_be_written_and_gone_on_from(colorizer):
    frames = list(pan(12, 8))
    given = {1: Hints(points=[Point(80, 60, "#a03020")], recolor=[Capsule(1, (30, 30))])}
    whole = list(Steady(colorizer, given=given).frames(frames))
    shot = Shot.from_bytes(whole[4][1].to_bytes())
    rest = list(Steady(colorizer, given=given).frames(frames[5:], shot))
    assert all(np.array_equal(a[0], b[0]) for a, b in zip(whole[5:], rest, strict=True))
    assert rest[-1][1].number == 7


def test_a_point_goes_with_what_it_was_put_on_and_ends_with_the_shot(colorizer):
    frames = [*pan(13, 10, step=4), *pan(14, 3)]
    shots = followed(frames, colorizer, given={0: Hints(points=[Point(100, 60, (40, 40))])})
    (point,) = shots[9].hints.points
    assert (point.x * 160, point.y * 120) == pytest.approx((100.5 - 36, 60.5), abs=3)
    assert shots[10].hints == Hints()
    plain = followed(frames, colorizer)
    row, column = int(point.y * 24), int(point.x * 32)
    assert np.hypot(*(shots[9].ab - plain[9].ab)[row, column]) > 8
    assert np.array_equal(shots[12].ab, plain[12].ab)


def test_a_capsule_that_was_recolored_at_a_frame_is_so_to_the_end_of_the_shot(colorizer):
    frames = [*pan(15, 6), *pan(16, 3)]
    plain, red = (
        followed(frames, colorizer, given=given) for given in ({}, {2: Hints(recolor=[Capsule(2, (60, 40))])})
    )
    differ = [bool(np.abs(a.ab - b.ab).max() > 1) for a, b in zip(plain, red, strict=True)]
    assert differ == [False] * 2 + [True] * 4 + [False] * 3


def test_a_place_in_the_middle_of_a_shot_is_found_where_the_shot_begins():
    frames = [*pan(17, 4), *pan(18, 12, step=3)]
    timed = [Hints(points=[Point(60, 50, "#a03020")], time=1.0), Hints(strength=0.5, time=0.1)]
    given = beginnings(((number / 10, frame) for number, frame in enumerate(frames)), timed, 128)
    assert sorted(given) == [0, 4]
    assert given[0].strength == 0.5
    (point,) = given[4].points
    assert (point.x * 160, point.y * 120) == pytest.approx((60.5 + 18, 50.5), abs=3)


def test_a_time_after_the_end_is_refused():
    with pytest.raises(HintError, match=r"no frame at 3 seconds: the last one is at 0\.300"):
        beginnings(((n / 10, f) for n, f in enumerate(pan(19, 4))), [Hints(strength=0.5, time=3)], 128)


def test_places_for_a_whole_film_are_refused(colorizer):
    with pytest.raises(HintError, match='give the hints a "time"'):
        colorize_frames([], colorizer, hints=Hints(points=[Point(1, 1, "#a03020")]))


def test_candidates_are_refused(colorizer):
    with pytest.raises(HintError, match="frames would differ"):
        colorize_frames([], colorizer, given={3: Hints(candidate=Candidate(1, 4, 2))})


def test_frames_of_another_size_are_refused(colorizer):
    with pytest.raises(ValueError, match="have one size; this one is 80×120"):
        list(colorize_frames([np.zeros((120, 160), np.uint8), np.zeros((120, 80), np.uint8)], colorizer))


def test_a_network_of_patches_is_refused(tmp_path):
    with pytest.raises(ModelError, match="sees patches"):
        list(colorize_frames(pan(20, 2), Colorizer(str(write_model(tmp_path)))))


def test_frames_are_taken_a_few_at_a_time(colorizer):
    taken = []

    def frames():
        for frame in pan(21, 40, step=1):
            taken.append(1)
            yield frame

    colored = colorize_frames(frames(), colorizer)
    next(colored)
    assert len(taken) < 20
    colored.close()


@pytest.mark.parametrize("size", [(1, 1), (8, 8), (33, 47), (2, 90)])
def test_the_smallest_frames_are_colored(colorizer, size):
    frames = [np.full(size, 20 * number, np.uint8) for number in range(4)]
    assert [rgb.shape for rgb in colorize_frames(frames, colorizer)] == [(*size, 3)] * 4
