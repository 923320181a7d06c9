"""The training loop: its arithmetic, its exact resumption, what it writes, what it refuses, and several processes."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from colorcapsnet.errors import DataError, ModelError
from colorcapsnet.learn import checkpoints, train
from colorcapsnet.learn.data import Sampling
from colorcapsnet.learn.paper import PaperConfig
from colorcapsnet.learn.shards import Batches, Preparation, Shards, prepare
from colorcapsnet.learn.train import Schedule
from tests.learn import write_pictures

CONFIG = PaperConfig()
SHORT = Schedule(epochs=2, batch=16)


def small_set(root: Path, pictures: int, patch: int = 9) -> Shards:
    """Six patches a picture."""
    write_pictures(root / "pictures", [f"{number}.png" for number in range(pictures)])
    return prepare(Preparation(((str(root / "pictures"), 0),), Sampling(patch=patch)), root / "shards", jobs=1)


@pytest.fixture(scope="module")
def training(tmp_path_factory) -> Shards:
    """48 patches, three batches of 16 an epoch."""
    return small_set(tmp_path_factory.mktemp("training"), 8)


@pytest.fixture(scope="module")
def validation(tmp_path_factory) -> Shards:
    return small_set(tmp_path_factory.mktemp("validation"), 3)


@pytest.fixture(autouse=True)
def every_step_is_logged(monkeypatch):
    monkeypatch.setattr(train, "LOG_EVERY", 1)


@pytest.fixture(scope="module")
def whole(tmp_path_factory, training, validation) -> Path:
    """Folder of a run that nothing interrupted."""
    folder = tmp_path_factory.mktemp("whole")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(train, "LOG_EVERY", 1)
        train.train("run", CONFIG, SHORT, training, validation, folder)
    return folder


def assert_same_tensors(ours: dict[str, torch.Tensor], theirs: dict[str, torch.Tensor]) -> None:
    assert ours.keys() == theirs.keys()
    assert [name for name in ours if not torch.equal(ours[name], theirs[name])] == []


def largest_difference(ours: dict[str, torch.Tensor], theirs: dict[str, torch.Tensor]) -> float:
    assert ours.keys() == theirs.keys()
    return max((ours[name].double() - theirs[name].double()).abs().max().item() for name in ours)


class Line(torch.nn.Module):
    """Code of a pixel = weight · gray + bias, for each of three channels."""

    def __init__(self) -> None:
        super().__init__()
        self.weight, self.bias = torch.nn.Parameter(torch.ones(3)), torch.nn.Parameter(torch.zeros(3))

    def forward(self, gray: torch.Tensor) -> torch.Tensor:
        return gray[..., None] * self.weight + self.bias


def random_patches(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, 9, 9, 4), np.uint8)


def test_a_step_is_adam_on_the_mean_squared_error_as_it_is_written_in_the_paper_of_adam():
    """Kingma and Ba (2015), algorithm 1, in double precision; the gradient of a line by hand."""
    model = Line()
    optimizer = torch.optim.Adam(model.parameters(), 0.01, fused=True)
    at = np.array([[1.0, 1, 1], [0, 0, 0]])
    first, second = np.zeros_like(at), np.zeros_like(at)
    for number in range(1, 6):
        patches = random_patches(4, number)
        gray, code = patches[..., :1] / 255, patches[..., 1:] / 255
        error = gray * at[0] + at[1] - code
        gradient = np.array([(2 * error * gray).mean(axis=(0, 1, 2)), (2 * error).mean(axis=(0, 1, 2))]) / 3
        first, second = 0.9 * first + 0.1 * gradient, 0.999 * second + 0.001 * gradient**2
        at = at - 0.01 * (first / (1 - 0.9**number)) / (np.sqrt(second / (1 - 0.999**number)) + 1e-8)
        loss = train.step(model, optimizer, patches, bf16=False)
        assert loss == pytest.approx((error**2).mean(), rel=1e-6)
        assert np.abs(model.weight.detach().numpy() - at[0]).max() < 1e-6
        assert np.abs(model.bias.detach().numpy() - at[1]).max() < 1e-6


def test_a_run_is_a_plain_loop_over_the_batches_with_torchs_reference_adam(tmp_path, training):
    config = PaperConfig(batch_norm=False)
    torch.manual_seed(0)
    model = config.build().train()
    optimizer = torch.optim.Adam(model.parameters(), 1e-3, (0.9, 0.999), foreach=False, fused=False)
    losses = []
    for patches in Batches(training, 16).epoch(0):
        values = torch.from_numpy(patches) / 255
        loss = (model(values[..., 0]) - values[..., 1:]).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    end = train.train("run", config, replace(SHORT, epochs=1), training, None, tmp_path)
    assert len(losses) == 3
    assert end.history == [{"epoch": 1, "loss": pytest.approx(np.mean(losses), rel=1e-5)}]
    assert largest_difference(end.model, model.state_dict()) < 1e-5


def test_the_network_learns_eight_patches_by_heart(training):
    torch.manual_seed(0)
    model = CONFIG.build().train()
    optimizer = torch.optim.Adam(model.parameters(), 1e-3, fused=True)
    patches = next(Batches(training, 8).epoch(0))
    losses = [train.step(model, optimizer, patches, bf16=False) for _ in range(45)]
    assert losses[-1] < losses[0] / 100


class Crash(Exception):
    """What no handler is for."""


def interrupt(monkeypatch, at: int, how) -> None:
    """Let something happen in the ``at``-th step from now."""
    plain, steps = train.step, []

    def step(*args, **kwargs):
        steps.append(plain(*args, **kwargs))
        if len(steps) == at:
            how()
        return steps[-1]

    monkeypatch.setattr(train, "step", step)


def crash() -> None:
    raise Crash


@pytest.mark.parametrize(
    ("at", "how", "raised"),
    [
        (2, lambda: signal.raise_signal(signal.SIGTERM), KeyboardInterrupt),
        (3, lambda: signal.raise_signal(signal.SIGINT), KeyboardInterrupt),
        (6, crash, Crash),
    ],
    ids=["terminated in an epoch", "interrupted at the end of an epoch", "crashed"],
)
def test_a_run_that_was_stopped_and_resumed_is_the_uninterrupted_one_to_the_bit(
    tmp_path, training, validation, whole, monkeypatch, at, how, raised
):
    with monkeypatch.context() as patch:
        interrupt(patch, at, how)
        with pytest.raises(raised):
            train.train("run", CONFIG, SHORT, training, validation, tmp_path)
    end = train.train("run", CONFIG, SHORT, training, validation, tmp_path)
    for name in ("last.safetensors", "best.safetensors"):
        ours, theirs = checkpoints.load(tmp_path / name), checkpoints.load(whole / name)
        assert_same_tensors(ours.model, theirs.model)
        assert_same_tensors(ours.adam, theirs.adam)
        assert checkpoints.words(ours) == checkpoints.words(theirs)
    assert end.history == checkpoints.load(whole / "last.safetensors").history
    assert (tmp_path / "losses.jsonl").read_text() == (whole / "losses.jsonl").read_text()
    assert scalars(tmp_path) == scalars(whole)


def test_a_stopped_run_has_saved_the_step_in_which_it_was_asked(tmp_path, training, monkeypatch):
    before = signal.getsignal(signal.SIGTERM)
    interrupt(monkeypatch, 5, lambda: signal.raise_signal(signal.SIGTERM))
    with pytest.raises(KeyboardInterrupt):
        train.train("run", CONFIG, SHORT, training, None, tmp_path)
    loop = checkpoints.load(tmp_path / "last.safetensors").loop
    assert (loop["epoch"], loop["batch"]) == (1, 2)
    assert signal.getsignal(signal.SIGTERM) == before


def test_the_newest_state_is_saved_every_few_minutes(tmp_path, training, monkeypatch):
    saved = []
    monkeypatch.setattr(checkpoints, "save", lambda checkpoint, path: saved.append(checkpoint.loop["batch"]))
    train.train("run", CONFIG, replace(SHORT, epochs=1, checkpoint_minutes=0), training, None, tmp_path / "often")
    assert saved == [1, 2, 3, 0]
    saved.clear()
    train.train("run", CONFIG, replace(SHORT, epochs=1, checkpoint_minutes=60), training, None, tmp_path / "seldom")
    assert saved == [0]


def scalars(folder: Path) -> dict[str, list[tuple[int, float]]]:
    events = EventAccumulator(str(folder / "tensorboard"))
    events.Reload()
    return {tag: [(event.step, event.value) for event in events.Scalars(tag)] for tag in events.Tags()["scalars"]}


def test_losses_are_json_lines_of_steps_and_epochs_and_tensorboard_has_the_same(whole):
    lines = [json.loads(line) for line in (whole / "losses.jsonl").read_text().splitlines()]
    steps = [line for line in lines if "batch" in line]
    epochs = [line for line in lines if "batch" not in line]
    assert [(line["epoch"], line["batch"]) for line in steps] == [(1, 1), (1, 2), (1, 3), (2, 1), (2, 2), (2, 3)]
    assert all(line.keys() == {"epoch", "batch", "step_loss"} for line in steps)
    assert all(line.keys() == {"epoch", "loss", "validation"} for line in epochs)
    for number, line in enumerate(epochs, start=1):
        assert line["epoch"] == number
        assert line["loss"] == pytest.approx(np.mean([step["step_loss"] for step in steps if step["epoch"] == number]))
    assert epochs == checkpoints.load(whole / "last.safetensors").history
    drawn = scalars(whole)
    assert [value for _, value in drawn["loss/step"]] == pytest.approx([line["step_loss"] for line in steps])
    assert [value for _, value in drawn["loss/loss"]] == pytest.approx([line["loss"] for line in epochs])
    assert [value for _, value in drawn["loss/validation"]] == pytest.approx([line["validation"] for line in epochs])
    assert [step for step, _ in drawn["loss/step"]] == [1, 2, 3, 1_000_001, 1_000_002, 1_000_003]


def test_half_a_line_that_a_kill_left_is_dropped(tmp_path, training, whole):
    for name in ("last.safetensors", "losses.jsonl"):
        (tmp_path / name).write_bytes((whole / name).read_bytes())
    with (tmp_path / "losses.jsonl").open("a") as file:
        file.write('{"epoch": 3, "ba')
    train.train("run", CONFIG, SHORT, training, None, tmp_path)
    assert (tmp_path / "losses.jsonl").read_text() == (whole / "losses.jsonl").read_text()


def test_a_run_of_every_step_in_a_hundred_logs_these(tmp_path, training, monkeypatch):
    monkeypatch.setattr(train, "LOG_EVERY", 2)
    train.train("run", CONFIG, replace(SHORT, epochs=1), training, None, tmp_path)
    lines = [json.loads(line) for line in (tmp_path / "losses.jsonl").read_text().splitlines()]
    assert [line.get("batch") for line in lines] == [2, None]


def test_the_best_checkpoint_is_of_the_epoch_with_the_lowest_validation_loss(
    tmp_path, training, validation, monkeypatch
):
    losses, weights = iter([3.0, 1.0, 2.0]), []

    def validation_loss(model, _validation):
        weights.append({name: value.clone() for name, value in model.state_dict().items()})
        return next(losses)

    monkeypatch.setattr(train, "validation_loss", validation_loss)
    train.train("run", CONFIG, replace(SHORT, epochs=3), training, validation, tmp_path)
    best = checkpoints.load(tmp_path / "best.safetensors")
    assert [entry["validation"] for entry in best.history] == [3, 1]
    assert_same_tensors(best.model, weights[1])
    assert [entry["validation"] for entry in checkpoints.load(tmp_path / "last.safetensors").history] == [3, 1, 2]


def test_a_run_without_validation_has_no_best_checkpoint(tmp_path, training):
    train.train("run", CONFIG, replace(SHORT, epochs=1), training, None, tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"last.safetensors", "losses.jsonl", "tensorboard"}


def test_the_validation_loss_is_a_plain_loop_in_evaluation_mode(validation):
    torch.manual_seed(0)
    model = CONFIG.build()
    train.step(model, torch.optim.SGD(model.parameters(), 0.1), random_patches(16), bf16=False)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    errors = []
    with torch.no_grad():
        for patch in validation.read_all(validation.manifest["shards"]):
            values = torch.from_numpy(patch).double()[None] / 255
            errors.append((model.eval().double()(values[..., 0]) - values[..., 1:]).square().mean().item())
    model.float().train()
    assert train.validation_loss(model, validation, batch=5) == pytest.approx(np.mean(errors), rel=1e-5)
    assert train.validation_loss(model, validation) == pytest.approx(np.mean(errors), rel=1e-5)
    assert model.training
    assert_same_tensors(model.state_dict(), before)


def test_a_checkpoint_says_what_it_is_and_what_it_learnt_from(whole, training):
    saved = checkpoints.load(whole / "last.safetensors")
    assert (saved.kind, saved.recipe, saved.data) == ("paper", "run", training.sha256)
    assert PaperConfig(**saved.config) == CONFIG
    assert Schedule(**saved.loop["schedule"]) == SHORT
    CONFIG.build().load_state_dict(saved.model)


def test_a_finished_run_is_left_as_it_is_and_more_epochs_go_on(tmp_path, training, validation, whole):
    first = train.train("run", CONFIG, replace(SHORT, epochs=1), training, validation, tmp_path)
    again = train.train("run", CONFIG, replace(SHORT, epochs=1), training, validation, tmp_path)
    assert_same_tensors(first.model, again.model)
    longer = train.train("run", CONFIG, replace(SHORT, checkpoint_minutes=9), training, validation, tmp_path)
    assert_same_tensors(longer.model, checkpoints.load(whole / "last.safetensors").model)


@pytest.mark.parametrize(
    ("other", "named"),
    [
        ({"name": "another"}, "recipe run"),
        ({"config": PaperConfig(capsules=5)}, "'capsules': 6"),
        ({"schedule": replace(SHORT, batch=8)}, "'batch': 16"),
        ({"schedule": replace(SHORT, rate=0.1)}, "'rate': 0.001"),
        ({"schedule": replace(SHORT, seed=1)}, "'seed': 0"),
        ({"schedule": replace(SHORT, bf16=True)}, "'bf16': False"),
    ],
)
def test_a_checkpoint_of_another_run_is_not_resumed(training, whole, other, named):
    ours = {"name": "run", "config": CONFIG, "schedule": SHORT, "training": training, "validation": None}
    before = (whole / "last.safetensors").read_bytes()
    with pytest.raises(ModelError, match=rf"last\.safetensors belongs to another run.*{named}.*give another folder"):
        train.train(**{**ours, **other}, folder=whole)
    assert (whole / "last.safetensors").read_bytes() == before


def test_a_run_on_other_data_is_not_resumed(validation, training, whole):
    with pytest.raises(ModelError, match=rf"last\.safetensors belongs to another run.*data {training.sha256[:12]}"):
        train.train("run", CONFIG, SHORT, validation, None, whole)


def test_a_damaged_checkpoint_is_refused_by_name(tmp_path, training):
    (tmp_path / "last.safetensors").write_bytes(b"half a checkpoint")
    with pytest.raises(ModelError, match=r"last\.safetensors is damaged"):
        train.train("run", CONFIG, SHORT, training, None, tmp_path)


def test_the_next_step_of_a_chain_begins_with_the_weights_of_the_one_before_and_a_new_adam(tmp_path, validation, whole):
    nothing = replace(SHORT, epochs=0)
    begun = train.train("next", CONFIG, nothing, validation, None, tmp_path, begin_from=whole / "last.safetensors")
    assert_same_tensors(begun.model, checkpoints.load(whole / "last.safetensors").model)
    assert begun.adam == {}
    assert begun.history == []


def test_a_chain_does_not_change_its_network(tmp_path, training, whole):
    with pytest.raises(ModelError, match=r"last\.safetensors holds another network .*'capsules': 6.* not .*5"):
        train.train(
            "n", PaperConfig(capsules=5), SHORT, training, None, tmp_path, begin_from=whole / "last.safetensors"
        )


def test_the_weights_of_vgg_are_where_the_front_begins(tmp_path, training):
    vgg = {
        "conv1_1.weight": torch.randn(64, 3, 3, 3),
        "conv1_1.bias": torch.randn(64),
        "conv1_2.weight": torch.randn(64, 64, 3, 3),
        "conv1_2.bias": torch.randn(64),
    }
    begun = train.train("run", CONFIG, replace(SHORT, epochs=0), training, None, tmp_path, vgg=vgg)
    assert_same_tensors({name: begun.model[f"front.{name}"] for name in vgg}, vgg)


def test_patches_of_another_size_are_refused(tmp_path, training):
    other = small_set(tmp_path, 3, patch=10)
    with pytest.raises(DataError, match=r"shards holds patches of 10x10, the network takes 9x9: prepare .*--patch 9"):
        train.train("run", CONFIG, SHORT, other, None, tmp_path / "run")
    with pytest.raises(DataError, match="patches of 10x10, the network takes 9x9"):
        train.train("run", CONFIG, SHORT, training, other, tmp_path / "run")


def test_a_set_that_does_not_fill_a_batch_is_refused(tmp_path, training):
    with pytest.raises(DataError, match="shards holds 48 patches, which do not fill a batch of 128"):
        train.train("run", CONFIG, Schedule(), training, None, tmp_path)


def test_a_batch_that_the_processes_cannot_share_is_refused(tmp_path, training, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "3")
    with pytest.raises(DataError, match="a batch of 16 patches cannot be shared equally by 3 processes"):
        train.train("run", CONFIG, SHORT, training, None, tmp_path)


def test_a_damaged_shard_is_refused_before_a_step_is_made(tmp_path, monkeypatch):
    opened = small_set(tmp_path, 8)
    os.truncate(tmp_path / "shards/shard-000000.tar", 5000)
    monkeypatch.setattr(train, "step", None)
    with pytest.raises(DataError, match=r"shard-000000\.tar is damaged"):
        train.train("run", CONFIG, SHORT, opened, None, tmp_path / "run")


def test_bfloat16_products_give_nearly_the_same_loss_and_weights_of_full_precision():
    losses = []
    for bf16 in (False, True):
        torch.manual_seed(0)
        model = CONFIG.build().train()
        optimizer = torch.optim.Adam(model.parameters(), 1e-3, fused=True)
        losses.append([train.step(model, optimizer, random_patches(16), bf16=bf16) for _ in range(2)])
        assert {value.dtype for value in model.parameters()} == {torch.float32}
    assert losses[0] != losses[1]
    assert losses[0] == pytest.approx(losses[1], rel=0.02)


def test_an_estimate_says_what_a_run_takes_before_it_begins(training, whole):
    said = train.estimate(CONFIG, replace(SHORT, epochs=7), training)
    assert said.steps == 7 * 3
    assert said.seconds > 0
    written = sum((whole / name).stat().st_size for name in ("last.safetensors", "best.safetensors"))
    assert said.disk == pytest.approx(written, rel=0.01)
    assert 100e6 < said.memory < 10e9
    assert re.fullmatch(r"21 steps, about [\d.]+ .*, 35 MB on disk, \d\.\d GB of memory", str(said))


def in_processes(count: int, folder: Path, training: Shards, **settings) -> list[dict]:
    """What each process of a run of ``tests.learn.program`` tells."""
    folder.mkdir(exist_ok=True)
    if not (folder / "shards").exists():
        (folder / "shards").symlink_to(training.folder)
    several = ["-m", "torch.distributed.run", "--nproc-per-node", str(count), "--standalone"] if count > 1 else []
    command = [sys.executable, *several, "-m", "tests.learn.program", str(folder), json.dumps(settings)]
    threads = {"OMP_NUM_THREADS": "1", "OPENCV_NUM_THREADS": "1"}
    done = subprocess.run(command, env={**os.environ, **threads}, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert [(folder / f"rank-{rank}.end").read_text() for rank in range(count)] == ["parted"] * count
    return [torch.load(folder / f"rank-{rank}.pt") for rank in range(count)]


@pytest.mark.medium
def test_two_processes_without_batch_norm_are_one_process_on_the_same_global_batch(tmp_path, training):
    plain = {"batch_norm": False, "epochs": 1, "batch": 16, "rate": 1e-4}
    (one,) = in_processes(1, tmp_path / "one", training, **plain)
    first, second = in_processes(2, tmp_path / "two", training, **plain)
    assert len(one["gradients"]) == len(first["gradients"]) == 3
    for ours, theirs, alone in zip(first["gradients"], second["gradients"], one["gradients"], strict=True):
        assert_same_tensors(ours, theirs)
        assert largest_difference(ours, alone) < 1e-6
    assert_same_tensors(first["model"], second["model"])
    assert largest_difference(first["model"], one["model"]) < 1e-6
    together, alone = (checkpoints.load(tmp_path / name / "run/last.safetensors").history for name in ("two", "one"))
    assert together[0]["loss"] == pytest.approx(alone[0]["loss"], rel=1e-5)


@pytest.mark.medium
def test_two_processes_with_batch_norm_share_their_parameters_and_keep_their_own_statistics(tmp_path, training):
    first, second = in_processes(2, tmp_path / "two", training, epochs=1, batch=16)
    parameters = first["gradients"][0].keys()
    means = [name for name in first["model"] if name.endswith("running_mean")]
    assert_same_tensors(*({name: rank["model"][name] for name in parameters} for rank in (first, second)))
    assert len(means) == 3
    for name in means:
        assert not torch.allclose(first["model"][name], second["model"][name], rtol=1e-3)
    assert_same_tensors(checkpoints.load(tmp_path / "two/run/last.safetensors").model, first["model"])


@pytest.mark.medium
def test_two_processes_train_one_step_of_a_chain_after_the_other(tmp_path, training):
    in_processes(2, tmp_path / "two", training, epochs=1, batch=16, chain=True)
    earlier, later = (checkpoints.load(tmp_path / "two" / name / "last.safetensors") for name in ("run", "next"))
    assert later.history[0]["loss"] < earlier.history[0]["loss"]


@pytest.mark.medium
def test_when_one_process_is_asked_to_stop_all_stop_after_the_same_step_and_resume_exactly(tmp_path, training):
    settings = {"epochs": 2, "batch": 16}
    whole = in_processes(2, tmp_path / "whole", training, **settings)
    stopped = in_processes(2, tmp_path / "stopped", training, terminate_at=4, **settings)
    assert [process["stopped"] for process in stopped] == [True, True]
    assert [len(process["gradients"]) for process in stopped] == [4, 4]
    resumed = in_processes(2, tmp_path / "stopped", training, **settings)
    assert [len(process["gradients"]) for process in resumed] == [2, 2]
    assert_same_tensors(resumed[0]["model"], whole[0]["model"])
    logs = [(tmp_path / name / "run/losses.jsonl").read_text() for name in ("whole", "stopped")]
    assert logs[0] == logs[1]
