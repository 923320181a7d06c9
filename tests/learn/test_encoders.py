"""VGG-19's first two convolutions out of every kind of file that holds them; the files are made here."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from colorcapsnet.errors import ModelError
from colorcapsnet.learn.encoders import vgg19_first_two
from colorcapsnet.learn.paper import PaperConfig


@pytest.fixture
def state() -> dict[str, torch.Tensor]:
    """The first layers of VGG-19 as torchvision and timm name them, and one that nobody asks for."""
    generator = torch.Generator().manual_seed(0)

    def draw(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator)

    return {
        "features.0.weight": draw(64, 3, 3, 3),
        "features.0.bias": draw(64),
        "features.2.weight": draw(64, 64, 3, 3),
        "features.2.bias": draw(64),
        "features.5.weight": draw(128, 64, 3, 3),
    }


def save_keras(path: Path, state: dict[str, torch.Tensor], names: tuple[str, str], whole_model: bool) -> None:
    with h5py.File(path, "w") as file:
        root = file.create_group("model_weights") if whole_model else file
        for number, layer in ((0, "block1_conv1"), (2, "block1_conv2")):
            group = root.create_group(layer)
            kernel = state[f"features.{number}.weight"].numpy().transpose(2, 3, 1, 0)
            arrays = (kernel, state[f"features.{number}.bias"].numpy())
            own_names = [name.format(layer=layer) for name in names]
            group.attrs["weight_names"] = [name.encode() for name in own_names]
            for name, values in zip(own_names, arrays, strict=True):
                group[name] = values


def save(kind: str, folder: Path, state: dict[str, torch.Tensor]) -> Path:
    path = folder / {"safetensors": "vgg.safetensors", "pt": "vgg.pt"}.get(kind, "vgg.pth")
    if kind == "safetensors":
        save_file(state, path)
    elif kind.startswith("keras"):
        path = folder / "vgg.h5"
        older, newer = ("{layer}_W_1:0", "{layer}_b_1:0"), ("{layer}/kernel:0", "{layer}/bias:0")
        save_keras(path, state, older if kind == "keras 1" else newer, whole_model=kind == "keras model")
    else:
        torch.save(state, path, _use_new_zipfile_serialization=kind != "old pth")
    return path


KINDS = ["pth", "pt", "old pth", "safetensors", "keras 1", "keras 2", "keras model"]


@pytest.mark.parametrize("kind", KINDS)
def test_reads_what_each_library_saves(kind, state, tmp_path):
    weights = vgg19_first_two(save(kind, tmp_path, state))
    assert list(weights) == ["conv1_1.weight", "conv1_1.bias", "conv1_2.weight", "conv1_2.bias"]
    for values, expected in zip(weights.values(), list(state.values())[:4], strict=True):
        assert values.dtype == torch.float32
        assert torch.equal(values, expected)


def test_a_keras_kernel_convolves_as_keras_would(tmp_path, state):
    path = save("keras 2", tmp_path, state)
    with h5py.File(path) as file:
        kernel = file["block1_conv1/block1_conv1/kernel:0"][()]
    picture = np.random.default_rng(0).random((9, 9, 3), np.float32)
    by_hand = sum(picture[3 + y, 5 + x] @ kernel[y, x] for y in range(3) for x in range(3))
    weight = vgg19_first_two(path)["conv1_1.weight"]
    maps = torch.nn.functional.conv2d(torch.from_numpy(picture).permute(2, 0, 1)[None], weight)
    np.testing.assert_allclose(maps[0, :, 3, 5].numpy(), by_hand, rtol=1e-4, atol=1e-5)


def test_half_precision_becomes_float32(state, tmp_path):
    path = save("safetensors", tmp_path, {name: values.half() for name, values in state.items()})
    assert all(values.dtype == torch.float32 for values in vgg19_first_two(path).values())


def test_what_is_read_fits_the_network(state, tmp_path):
    network = PaperConfig().build()
    network.load_vgg(vgg19_first_two(save("pth", tmp_path, state)))
    assert torch.equal(network.front.conv1_2.weight, state["features.2.weight"])


def test_with_batch_norm_the_scale_and_offset_of_the_input_do_not_matter(state, tmp_path):
    """Why the weights may be used as they are: ``255 x - 104``, as Keras feeds them, ends in the same picture."""
    weights = vgg19_first_two(save("pth", tmp_path, state))
    torch.manual_seed(0)
    network = PaperConfig().build()
    network.load_vgg(weights)
    gray = torch.rand(16, 9, 9)
    as_they_are = network(gray)
    fed = weights["conv1_1.weight"] * 255
    offset = weights["conv1_1.bias"] - 104 * weights["conv1_1.weight"].sum(dim=(1, 2, 3))
    network.load_vgg({**weights, "conv1_1.weight": fed, "conv1_1.bias": offset})
    torch.testing.assert_close(network(gray), as_they_are, rtol=0, atol=1e-4)


def test_without_a_file_it_says_what_it_wants_and_where(tmp_path):
    path = tmp_path / "vgg19.pth"
    with pytest.raises(ModelError) as error:
        vgg19_first_two(path)
    message = str(error.value)
    assert message.startswith(f"there is no {path}: put VGG-19's ImageNet weights there")
    assert "torchvision" in message
    assert "timm" in message
    assert "Keras" in message
    assert "\n" not in message


def test_another_kind_of_file_is_refused_by_name(tmp_path):
    with pytest.raises(ModelError, match=r"vgg19\.npz is none of \.pth, \.pt, \.safetensors, \.h5"):
        vgg19_first_two(tmp_path / "vgg19.npz")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("kept", [0, 3, 100, 0.5])
def test_a_truncated_file_is_refused_by_name(kind, kept, state, tmp_path):
    path = save(kind, tmp_path, state)
    content = path.read_bytes()
    path.write_bytes(content[: int(kept * len(content)) if isinstance(kept, float) else kept])
    with pytest.raises(ModelError, match=rf"{path.name} is damaged, or no \{path.suffix} file of weights"):
        vgg19_first_two(path)


def test_a_pickle_that_runs_code_is_refused(tmp_path):
    class Trap:
        def __reduce__(self):
            return (Path.touch, (tmp_path / "ran",))

    torch.save({"features.0.weight": Trap()}, tmp_path / "vgg.pth")
    with pytest.raises(ModelError, match=r"vgg\.pth is damaged, or no \.pth file of weights \(UnpicklingError\)"):
        vgg19_first_two(tmp_path / "vgg.pth")
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("kind", ["pth", "safetensors", "keras 2"])
def test_a_tensor_of_another_shape_is_named(kind, state, tmp_path):
    state["features.2.weight"] = torch.randn(64, 32, 3, 3)
    with pytest.raises(ModelError, match=r"its conv1_2.weight has shape \(64, 32, 3, 3\), not \(64, 64, 3, 3\)"):
        vgg19_first_two(save(kind, tmp_path, state))


def test_a_tensor_that_is_not_finite_is_named(state, tmp_path):
    state["features.0.bias"][7] = float("nan")
    with pytest.raises(ModelError, match=r"is damaged: its conv1_1.bias holds values that are not finite"):
        vgg19_first_two(save("pth", tmp_path, state))


@pytest.mark.parametrize("kind", ["pth", "safetensors"])
def test_a_missing_tensor_is_named(kind, state, tmp_path):
    del state["features.2.bias"]
    with pytest.raises(ModelError, match=r"is not VGG-19 \(without batch normalization\): it has no features\.2\.bias"):
        vgg19_first_two(save(kind, tmp_path, state))


def test_a_missing_keras_layer_is_named(state, tmp_path):
    path = save("keras 2", tmp_path, state)
    with h5py.File(path, "a") as file:
        del file["block1_conv2"]
    with pytest.raises(ModelError, match="it has no block1_conv2"):
        vgg19_first_two(path)


def test_a_tensor_instead_of_a_dictionary_is_refused(tmp_path):
    torch.save(torch.zeros(3), tmp_path / "vgg.pth")
    with pytest.raises(ModelError, match="holds a Tensor, not a dictionary of tensors"):
        vgg19_first_two(tmp_path / "vgg.pth")
