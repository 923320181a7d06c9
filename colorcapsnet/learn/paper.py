"""The published network, and every variant of it that the paper compares.

Source: G. Özbulak, *Image Colorization by Capsule Networks*, CVPRW 2019, sections 3.2-3.4 and Figure 4. What the paper
leaves unsaid follows from the parameter counts that it states: *same* padding in the VGG front, batch normalization
after every convolution, biases everywhere but in the transformation matrices.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from colorcapsnet.learn.capsules import ClassCapsules, PrimaryCapsules, decoder, glorot, widen


@dataclass(frozen=True)
class PaperConfig:
    """Which variant of the network; the defaults are the one that the paper settles on.

    Attributes:
        patch: side of the square patch that it sees and colors, in pixels.
        front: ``vgg``, the first two convolutions of VGG-19, or ``original``, the first one of the original CapsNet.
        batch_norm: batch normalization after every convolution.
        capsules: number of class capsules.
        routings: iterations of routing by agreement.

    Raises:
        ValueError: no network of this description exists.
    """

    patch: int = 9
    front: Literal["vgg", "original"] = "vgg"
    batch_norm: bool = True
    capsules: int = 6
    routings: int = 1

    def __post_init__(self) -> None:
        if self.front not in ("vgg", "original"):
            raise ValueError(f"the front is 'vgg' or 'original', not {self.front!r}")
        if self.capsules < 1 or self.routings < 1:
            raise ValueError(f"capsules and routings are 1 or more, not {self.capsules} and {self.routings}")
        smallest = 9 if self.front == "vgg" else 17
        if self.patch < smallest:
            raise ValueError(
                f"the {self.front} front takes patches of {smallest}x{smallest} or more, not "
                f"{self.patch}x{self.patch}: the primary capsules' 9x9 convolution would not fit into its map"
            )

    def build(self) -> ColorCapsNet:
        """A new network with random weights, drawn from torch's global generator (``torch.manual_seed``)."""
        return ColorCapsNet(self)


class ColorCapsNet(nn.Module):
    """Gray patches ``(N, n, n)`` in 0..1 -> Lab patches ``(N, n, n, 3)`` in 0..1 (OpenCV's 8-bit code / 255).

    The gray stands for three equal channels. What that, and a single routing iteration, make equal in algebra is
    computed the shorter way; the parameters are the published ones.
    """

    def __init__(self, config: PaperConfig) -> None:
        super().__init__()
        self.config = config
        if config.front == "vgg":
            self.front: VggFront | OriginalFront = VggFront(config.batch_norm)
            channels, side = 64, config.patch
        else:
            self.front = OriginalFront(config.batch_norm)
            channels, side = 256, config.patch - 8
        points = ((side - 9) // 2 + 1) ** 2
        self.primary = PrimaryCapsules(channels, capsules=32, dims=8, kernel=9, stride=2, batch_norm=config.batch_norm)
        self.classes = ClassCapsules(points * 32, 8, config.capsules, 16, config.routings)
        self.decoder = decoder(config.capsules * 16, config.patch**2 * 3)

    def forward(self, gray: Tensor) -> Tensor:
        """Lab code ``(N, n, n, 3)`` in 0..1 of gray patches ``(N, n, n)`` in 0..1; no capsule is masked."""
        capsules = self.classes(self.primary(self.front(gray)))
        code: Tensor = self.decoder(capsules.flatten(1))
        return widen(code).sigmoid().view(-1, self.config.patch, self.config.patch, 3)

    def load_vgg(self, weights: Mapping[str, Tensor]) -> None:
        """Start from VGG-19's first two convolutions (section 3.2); they are trained on, not frozen.

        Args:
            weights: ``conv1_1.weight`` (64, 3, 3, 3), ``conv1_1.bias`` (64,), ``conv1_2.weight`` (64, 64, 3, 3)
                and ``conv1_2.bias`` (64,), as ``encoders.vgg19_first_two`` reads them.

        Raises:
            ValueError: this network has the original front.
        """
        if not isinstance(self.front, VggFront):
            raise ValueError("VGG-19's weights fit the VGG front, and this network has the original one")
        with torch.no_grad():
            for name, layer in (("conv1_1", self.front.conv1_1), ("conv1_2", self.front.conv1_2)):
                for kind, values in layer.named_parameters():
                    values.copy_(weights[f"{name}.{kind}"])


class VggFront(nn.Module):
    """Gray ``(N, n, n)`` -> features ``(N, 64, n, n)``: conv1_1 and conv1_2 of VGG-19, each with ReLU."""

    def __init__(self, batch_norm: bool) -> None:
        super().__init__()
        self.conv1_1 = nn.Conv2d(3, 64, 3, padding=1)
        self.norm1_1 = nn.BatchNorm2d(64) if batch_norm else nn.Identity()
        self.conv1_2 = nn.Conv2d(64, 64, 3, padding=1)
        self.norm1_2 = nn.BatchNorm2d(64) if batch_norm else nn.Identity()
        glorot(self.conv1_1)
        glorot(self.conv1_2)

    def forward(self, gray: Tensor) -> Tensor:
        """Features of gray patches ``(N, n, n)``."""
        features = F.relu(self.norm1_1(conv_of_gray(self.conv1_1, gray)))
        return F.relu(self.norm1_2(self.conv1_2(features)))


class OriginalFront(nn.Module):
    """Gray ``(N, n, n)`` -> features ``(N, 256, n - 8, n - 8)``: the original CapsNet's first layer."""

    def __init__(self, batch_norm: bool) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 256, 9)
        self.norm = nn.BatchNorm2d(256) if batch_norm else nn.Identity()
        glorot(self.conv)

    def forward(self, gray: Tensor) -> Tensor:
        """Features of gray patches ``(N, n, n)``."""
        return F.relu(self.norm(conv_of_gray(self.conv, gray)))


def conv_of_gray(conv: nn.Conv2d, gray: Tensor) -> Tensor:
    """A convolution over three equal channels, computed as one over a single channel with the weights summed.

    Args:
        conv: takes 3 channels.
        gray: ``(N, height, width)``, what each of the three channels holds.
    """
    single = gray.unsqueeze(-1).permute(0, 3, 1, 2)  # channels-last strides, which the layers above then keep
    return F.conv2d(single, conv.weight.sum(dim=1, keepdim=True), conv.bias, conv.stride, conv.padding)
