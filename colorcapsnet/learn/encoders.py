"""Pretrained feature detectors, and the files that their weights come from.

**VGG-19's first two convolutions** (Simonyan and Zisserman 2015), which the paper transfers (section 3.2). They come
from a file that a user has; the package holds none. Its weights are used as they are, on our gray of 0..1 copied into
three channels, as the paper most likely did. Their own inputs differ: torchvision and timm subtract ImageNet's mean
from RGB of 0..1 and divide by its deviation, Keras subtracts a mean from BGR of 0..255. Neither is made up for, because

- the order of three equal channels does not matter;
- a scale and an offset of conv1_1's output are just what the batch normalization behind it removes;
- without batch normalization, Keras's scale of 0..255 would drive every primary capsule to length 1.
"""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from colorcapsnet.errors import ColorCapsNetError, ModelError, need

SHAPES = {
    "conv1_1.weight": (64, 3, 3, 3),
    "conv1_1.bias": (64,),
    "conv1_2.weight": (64, 64, 3, 3),
    "conv1_2.bias": (64,),
}
IN_TORCH = {
    "conv1_1.weight": "features.0.weight",
    "conv1_1.bias": "features.0.bias",
    "conv1_2.weight": "features.2.weight",
    "conv1_2.bias": "features.2.bias",
}
IN_KERAS = {"conv1_1": "block1_conv1", "conv1_2": "block1_conv2"}


def vgg19_first_two(path: str | Path) -> dict[str, Tensor]:
    """Weights and biases of VGG-19's conv1_1 and conv1_2, as ``ColorCapsNet.load_vgg`` takes them.

    Args:
        path: a checkpoint of VGG-19 without batch normalization: ``.pth`` or ``.pt`` (torchvision, timm),
            ``.safetensors`` (timm), ``.h5`` (Keras, the weights alone or a whole model).

    Returns:
        ``conv1_1.weight`` (64, 3, 3, 3), ``conv1_1.bias`` (64,), ``conv1_2.weight`` (64, 64, 3, 3) and
        ``conv1_2.bias`` (64,), float32.

    Raises:
        ModelError: the file is missing, damaged, or not such a checkpoint.
        MissingExtra: the library that reads this kind of file is not installed.
    """
    path = Path(path)
    readers = {".pth": _from_torch, ".pt": _from_torch, ".safetensors": _from_safetensors, ".h5": _from_keras}
    if path.suffix not in readers:
        raise ModelError(f"{path} is none of {', '.join(readers)}: give VGG-19 as torchvision, timm or Keras save it")
    if not path.is_file():
        raise ModelError(
            f"there is no {path}: put VGG-19's ImageNet weights there (vgg19-dcbb9e9d.pth of torchvision, "
            "model.safetensors of timm's vgg19.tv_in1k, or Keras's "
            "vgg19_weights_tf_dim_ordering_tf_kernels_notop.h5), or train with a random front"
        )
    try:
        tensors = readers[path.suffix](path)
    except ColorCapsNetError:
        raise
    except Exception as error:  # what a damaged pickle, zip or HDF5 raises is not bounded
        raise ModelError(
            f"{path} is damaged, or no {path.suffix} file of weights ({type(error).__name__}): get it again"
        ) from error
    for name, shape in SHAPES.items():
        _check(path, name, tensors[name], shape)
    return {name: tensors[name].to(torch.float32, copy=True) for name in SHAPES}


def _check(path: Path, name: str, values: Tensor, shape: tuple[int, ...]) -> None:
    if tuple(values.shape) != shape:
        raise ModelError(f"{path} is not VGG-19: its {name} has shape {tuple(values.shape)}, not {shape}")
    if not values.isfinite().all():
        raise ModelError(f"{path} is damaged: its {name} holds values that are not finite; get it again")


def _from_torch(path: Path) -> dict[str, Tensor]:
    """A state dictionary by ``torch.save``, in its zip format or the older one, which torchvision's file has."""
    state = torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))
    if not isinstance(state, Mapping):
        raise ModelError(f"{path} holds a {type(state).__name__}, not a dictionary of tensors")
    for name in IN_TORCH.values():
        if not isinstance(state.get(name), Tensor):
            raise _absent(path, name)
    return {ours: state[theirs] for ours, theirs in IN_TORCH.items()}


def _from_safetensors(path: Path) -> dict[str, Tensor]:
    need("safetensors", extra="train")
    from safetensors import safe_open

    with safe_open(path, framework="pt") as file:
        names = set(file.keys())
        for name in IN_TORCH.values():
            if name not in names:
                raise _absent(path, name)
        return {ours: file.get_tensor(theirs) for ours, theirs in IN_TORCH.items()}


def _from_keras(path: Path) -> dict[str, Tensor]:
    """Kernels are (height, width, in, out); a layer's ``weight_names`` say where in its group its arrays lie."""
    h5py = need("h5py", extra="train")
    tensors = {}
    with h5py.File(path) as file:
        layers = file.get("model_weights", file)
        for ours, theirs in IN_KERAS.items():
            if theirs not in layers or len(layers[theirs].attrs.get("weight_names", ())) != 2:
                raise _absent(path, theirs)
            layer = layers[theirs]
            kernel, bias = (torch.from_numpy(layer[name][()]) for name in layer.attrs["weight_names"])
            tensors[f"{ours}.weight"] = kernel.permute(3, 2, 0, 1).contiguous() if kernel.ndim == 4 else kernel
            tensors[f"{ours}.bias"] = bias
    return tensors


def _absent(path: Path, name: str) -> ModelError:
    return ModelError(f"{path} is not VGG-19 (without batch normalization): it has no {name}")
