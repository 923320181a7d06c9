"""What keeps the server standing: rooms that fill, waits that end."""

from __future__ import annotations

import asyncio
import threading

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from colorcapsnet.serve.bounds import Budget, Busy, Gallery, Lane, Limits


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


@pytest.fixture(scope="module")
def canvas(colorizer):
    return colorizer.open(np.zeros((32, 32), np.uint8))


def test_a_picture_is_found_by_its_id_alone(canvas):
    gallery = Gallery(Limits())
    key = gallery.add(canvas)
    assert gallery.get(key) is canvas
    assert gallery.get(key[:-1]) is gallery.get("") is gallery.get(key + "a") is None
    gallery.drop(key)
    gallery.drop(key)
    assert gallery.get(key) is None


def test_a_picture_that_nobody_asks_about_is_forgotten(canvas):
    clock = Clock()
    gallery = Gallery(Limits(), clock)
    kept, left = gallery.add(canvas), gallery.add(canvas)
    clock.now = 1000
    assert gallery.get(kept) is canvas
    clock.now = 1900
    assert gallery.get(left) is None and gallery.get(kept) is canvas
    clock.now = 9000
    gallery.sweep()
    assert len(gallery) == 0


def test_a_full_gallery_makes_room_from_what_was_not_used_for_longest_and_else_refuses(canvas):
    clock = Clock()
    gallery = Gallery(Limits(pictures=2), clock)
    first, second = gallery.add(canvas), gallery.add(canvas)
    with pytest.raises(Busy, match="try again in 60 s"):
        gallery.add(canvas)
    clock.now = 200
    gallery.get(first)
    clock.now = 300
    third = gallery.add(canvas)
    assert [gallery.get(key) is canvas for key in (first, second, third)] == [True, False, True]


def test_pixels_are_counted_over_all_pictures(canvas):
    gallery = Gallery(Limits(pixels=512))  # two of 1,024 pixels are within four times that
    gallery.add(canvas), gallery.add(canvas)
    with pytest.raises(Busy, match="as many pictures are open"):
        gallery.add(canvas)


@given(st.lists(st.integers(0, 60), max_size=20))
def test_no_more_is_taken_from_a_budget_than_there_is(wanted):
    budget, taken = Budget(100), []
    for count in wanted:
        try:
            budget.take(count)
            taken.append(count)
        except Busy:
            assert sum(taken) + count > 100
    assert sum(taken) + budget.left == 100
    for count in taken:
        budget.give(count)
    assert budget.left == 100


def test_a_lane_answers_in_turn_and_sends_away_who_comes_when_it_is_full(monkeypatch):
    monkeypatch.setattr("os.cpu_count", lambda: 1)
    gate = threading.Event()

    async def crowd():
        lane = Lane(Limits(waiting=3))
        asked = [asyncio.create_task(lane.run(lambda n=n: gate.wait(30) and n)) for n in range(4)]
        await asyncio.sleep(0.01)
        with pytest.raises(Busy, match="too many requests are waiting: try again in 5 s"):
            await lane.run(lambda: None)
        gate.set()
        return await asyncio.gather(*asked)

    assert asyncio.run(crowd()) == [0, 1, 2, 3]


def test_a_lane_sends_away_who_waited_too_long_and_goes_on_after_a_failure(monkeypatch):
    monkeypatch.setattr("os.cpu_count", lambda: 1)
    gate = threading.Event()

    async def crowd():
        lane = Lane(Limits(wait_seconds=0.05))
        first = asyncio.create_task(lane.run(lambda: gate.wait(30)))
        await asyncio.sleep(0.01)
        with pytest.raises(Busy, match="take too long"):
            await lane.run(lambda: None)
        gate.set()
        await first
        with pytest.raises(ZeroDivisionError):
            await lane.run(lambda: 1 // 0)
        return await lane.run(lambda: "on")

    assert asyncio.run(crowd()) == "on"
