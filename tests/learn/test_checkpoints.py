"""Checkpoints: what is written is read again, what is damaged is refused, and no half a file ever has the name."""

from __future__ import annotations

import json
import resource
from dataclasses import asdict, replace
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from colorcapsnet.errors import ModelError, OutputError
from colorcapsnet.learn import checkpoints
from colorcapsnet.learn.checkpoints import Checkpoint
from colorcapsnet.learn.paper import PaperConfig


def small() -> Checkpoint:
    return Checkpoint(
        model={"front.weight": torch.arange(6.0).view(2, 3), "norm.num_batches_tracked": torch.tensor(7)},
        kind="paper",
        config=asdict(PaperConfig()),
        recipe="standin-1",
        data="ab" * 32,
        adam={"front.weight.exp_avg": torch.full((2, 3), 0.1)},
        averaged={"front.weight": torch.arange(6.0).view(2, 3) / 3},
        loop={"epoch": 1, "batch": 12, "loss_sum": 0.1 + 0.2},
        history=[{"epoch": 1, "loss": 1 / 3}],
    )


def same(one: Checkpoint, other: Checkpoint) -> bool:
    """Equal to the bit."""
    for ours, theirs in ((one.model, other.model), (one.adam, other.adam), (one.averaged, other.averaged)):
        if ours.keys() != theirs.keys():
            return False
        for name, tensor in ours.items():
            if tensor.dtype != theirs[name].dtype or not torch.equal(bits(tensor), bits(theirs[name])):
                return False
    return checkpoints.words(one) == checkpoints.words(other)


def bits(tensor: torch.Tensor) -> torch.Tensor:
    """The bytes of a tensor, a row an element, so that NaN equals itself and 0 differs from -0."""
    return tensor.contiguous().view(*tensor.shape, 1).view(torch.uint8)


NAMES = st.text("abcxyz._0é", min_size=1, max_size=12)
SHAPES = st.lists(st.integers(0, 4), max_size=3)
TYPES = st.sampled_from([torch.float32, torch.float64, torch.bfloat16, torch.int64, torch.uint8])
TENSORS = st.builds(lambda shape, kind: (torch.randn(shape) * 50).to(kind), SHAPES, TYPES)
NUMBERS = st.floats(allow_nan=False) | st.integers(-(2**60), 2**60)


@pytest.fixture(scope="module")
def path(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("checkpoints") / "last.safetensors"


@given(
    model=st.dictionaries(NAMES, TENSORS, max_size=4),
    adam=st.dictionaries(NAMES, TENSORS, max_size=4),
    averaged=st.dictionaries(NAMES, TENSORS, max_size=4),
    recipe=st.text(max_size=10),
    loop=st.dictionaries(NAMES, NUMBERS, max_size=4),
    history=st.lists(st.dictionaries(NAMES, NUMBERS, max_size=3), max_size=3),
)
def test_what_is_saved_is_loaded_to_the_bit(path, model, adam, averaged, recipe, loop, history):
    checkpoint = replace(small(), model=model, adam=adam, averaged=averaged, recipe=recipe, loop=loop, history=history)
    checkpoints.save(checkpoint, path)
    assert same(checkpoints.load(path), checkpoint)


def test_values_that_are_no_numbers_and_views_survive(path):
    values = torch.tensor([[float("nan"), float("inf"), -0.0], [1e-45, -1e38, 0.1]])
    checkpoint = replace(small(), model={"plain": values, "turned": values.T, "part": values[:, 1:]})
    checkpoints.save(checkpoint, path)
    assert same(checkpoints.load(path), checkpoint)


def test_any_safetensors_reader_reads_the_tensors(path):
    checkpoints.save(small(), path)
    tensors = load_file(path)
    model = {"model.front.weight", "model.norm.num_batches_tracked"}
    assert set(tensors) == {*model, "adam.front.weight.exp_avg", "averaged.front.weight"}
    assert torch.equal(tensors["model.front.weight"], small().model["front.weight"])


@settings(max_examples=300)
@given(data=st.data())
def test_no_flipped_bit_is_ever_taken_for_the_checkpoint(path, data):
    """It is refused by name, or (where the bit is in no part that counts) what was saved is loaded."""
    checkpoints.save(small(), path)
    content = bytearray(path.read_bytes())
    content[data.draw(st.integers(0, len(content) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    path.write_bytes(bytes(content))
    try:
        loaded = checkpoints.load(path)
    except ModelError as error:
        assert str(path) in str(error)
        assert "\n" not in str(error)
    else:
        assert same(loaded, small())


@given(data=st.data())
def test_a_file_that_was_cut_short_is_refused_by_name(path, data):
    checkpoints.save(small(), path)
    content = path.read_bytes()
    path.write_bytes(content[: data.draw(st.integers(0, len(content) - 1))])
    with pytest.raises(ModelError, match=r"last\.safetensors is damaged or no checkpoint \(.*use an older one"):
        checkpoints.load(path)


def test_a_damaged_tensor_is_refused_by_name(path):
    checkpoints.save(small(), path)
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(bytes(content))
    with pytest.raises(ModelError, match=r"last\.safetensors is damaged \(its hash differs\)"):
        checkpoints.load(path)


def test_a_missing_file_is_refused_by_name(tmp_path):
    with pytest.raises(ModelError, match=r"none\.safetensors does not exist; expected a checkpoint"):
        checkpoints.load(tmp_path / "none.safetensors")


def test_a_folder_is_refused_by_name(tmp_path):
    with pytest.raises(ModelError, match=f"{tmp_path.name} is damaged or no checkpoint"):
        checkpoints.load(tmp_path)


@pytest.mark.parametrize("metadata", [None, {"format": "pt"}])
def test_weights_of_somebody_else_are_refused_by_name(path, metadata):
    save_file({"weight": torch.zeros(3)}, path, metadata)
    with pytest.raises(ModelError, match=r"last\.safetensors is a safetensors file, but no checkpoint of colorcapsnet"):
        checkpoints.load(path)


def test_another_version_is_refused_by_name(path, monkeypatch):
    monkeypatch.setattr(checkpoints, "VERSION", 2)
    checkpoints.save(small(), path)
    monkeypatch.undo()
    with pytest.raises(
        ModelError, match=r"last\.safetensors is a checkpoint of version 2; this package reads version 1"
    ):
        checkpoints.load(path)


def test_a_checkpoint_from_before_the_hash_is_read(path):
    tensors = {f"model.{name}": tensor for name, tensor in small().model.items()}
    words = {"version": 1, **checkpoints.words(small())}
    save_file(tensors, path, metadata={"colorcapsnet": json.dumps(words)})
    assert same(checkpoints.load(path), replace(small(), adam={}, averaged={}))


def test_nothing_temporary_stays(tmp_path):
    checkpoints.save(small(), tmp_path / "last.safetensors")
    checkpoints.save(small(), tmp_path / "last.safetensors")
    assert [path.name for path in tmp_path.iterdir()] == ["last.safetensors"]


def test_when_the_disk_is_full_the_earlier_checkpoint_stays_and_nothing_else(tmp_path):
    path = tmp_path / "last.safetensors"
    checkpoints.save(small(), path)
    larger = replace(small(), model={"weight": torch.zeros(100_000)})
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, before[1]))
    try:
        with pytest.raises(OutputError, match=r"last\.safetensors cannot be written \(.*make room, or choose another"):
            checkpoints.save(larger, path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert [path.name for path in tmp_path.iterdir()] == ["last.safetensors"]
    assert same(checkpoints.load(path), small())


def test_a_folder_in_the_place_of_the_file_is_told_and_nothing_temporary_stays(tmp_path):
    (tmp_path / "last.safetensors").mkdir()
    with pytest.raises(OutputError, match=r"last\.safetensors cannot be written"):
        checkpoints.save(small(), tmp_path / "last.safetensors")
    assert [path.name for path in tmp_path.iterdir()] == ["last.safetensors"]


def test_a_folder_that_does_not_exist_is_told(tmp_path):
    with pytest.raises(OutputError, match=r"nowhere.last\.safetensors cannot be written"):
        checkpoints.save(small(), tmp_path / "nowhere/last.safetensors")


def network() -> torch.nn.Module:
    torch.manual_seed(1)
    return torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.Tanh(), torch.nn.Linear(4, 1))


def learn(model: torch.nn.Module, optimizer: torch.optim.Optimizer, steps: range) -> None:
    for step in steps:
        loss = model(torch.linspace(-1, 1, 15).view(5, 3) * step).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


def test_adam_goes_on_as_if_it_had_not_been_saved(path):
    model = network()
    optimizer = torch.optim.Adam(model.parameters(), 0.01, fused=True)
    learn(model, optimizer, range(1, 4))
    adam = checkpoints.adam_state(optimizer, model)
    assert set(adam) == {f"{i}.{kind}.{key}" for i in "02" for kind in ("weight", "bias") for key in KEYS}
    checkpoints.save(replace(small(), model=model.state_dict(), adam=adam), path)
    saved = checkpoints.load(path)
    again = network()
    again.load_state_dict(saved.model)
    fresh = torch.optim.Adam(again.parameters(), 0.01, fused=True)
    checkpoints.restore_adam(fresh, again, saved.adam)
    learn(model, optimizer, range(4, 7))
    learn(again, fresh, range(4, 7))
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, again.state_dict()[name])


KEYS = ("step", "exp_avg", "exp_avg_sq")


def in_two_groups(model: torch.nn.Module) -> torch.optim.Optimizer:
    """The last layer first, at another rate; the first layer's bias does not move."""
    model[0].bias.requires_grad_(False)
    groups = [{"params": [*model[2].parameters()], "lr": 0.02}, {"params": [model[0].weight]}]
    return torch.optim.AdamW(groups, 0.01, fused=True)


def test_adam_with_groups_and_parameters_that_do_not_move_goes_on_as_if_it_had_not_been_saved(path):
    model = network()
    optimizer = in_two_groups(model)
    learn(model, optimizer, range(1, 4))
    adam = checkpoints.adam_state(optimizer, model)
    assert {name.rpartition(".")[0] for name in adam} == {"0.weight", "2.weight", "2.bias"}
    checkpoints.save(replace(small(), model=model.state_dict(), adam=adam), path)
    saved = checkpoints.load(path)
    again = network()
    fresh = in_two_groups(again)
    again.load_state_dict(saved.model)
    checkpoints.restore_adam(fresh, again, saved.adam)
    learn(model, optimizer, range(4, 7))
    learn(again, fresh, range(4, 7))
    assert [group["lr"] for group in fresh.param_groups] == [0.02, 0.01]
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, again.state_dict()[name])


def test_an_optimizer_that_has_not_stepped_is_restored_as_such():
    model = network()
    optimizer = torch.optim.Adam(model.parameters(), 0.01, fused=True)
    checkpoints.restore_adam(optimizer, model, checkpoints.adam_state(optimizer, model))
    learn(model, optimizer, range(1, 2))
    other = network()
    learn(other, torch.optim.Adam(other.parameters(), 0.01, fused=True), range(1, 2))
    assert torch.equal(model[0].weight, other[0].weight)
