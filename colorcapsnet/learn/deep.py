"""The network that sees the whole photograph: entities that paint.

::

    gray -> encoder, strides 2..32 -> pyramid, strides 32, 16, 8, 4
         -> primary capsules, one a cell at stride 16 -> routing over the whole picture -> K typed entity capsules
         -> couplings of every cell at stride 4 to the entities; of each entity modes of color and a local term

Nothing else writes color: ``ab = 50 Σ_k coupling_k (Σ_m weight_km mean_km + mix_k · basis)``, which
:func:`colorcapsnet.paint.color` does from the very outputs of this network. Shapes are those of ``paint.Known`` with a
leading N.

The log loss trains the mean colors alone and the likelihood the modes around them: modes are written as a center and
deviations whose weighted mean is zero, and the likelihood's gradient stops at centers, couplings and local terms. In
one sum the likelihood pulls the mean towards boldness (docs/log.md).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from colorcapsnet import color
from colorcapsnet.learn import encoders
from colorcapsnet.learn.capsules import SlotAttention, normalized, route_by_attention, weighted_poses, widen
from colorcapsnet.learn.encoders import Encoder, Kind, Unit

UNIT = 50.0  # ab that the network calls 1, as in paint
WIDTHS = (128, 128, 96, 64)  # of the pyramid at strides 32, 16, 8, 4
STEM = 3  # stages of the encoder, up to stride 8, that stay as ImageNet left them
KEY = 32  # dimensions in which cells and entities are matched
TOWER = 96  # hidden units between an entity's pose and its colors
LEAST, REACH, WIDTH = 0.05, 0.8, 0.6
"""Of a mode: its least weight, how far from the center it is placed before the modes' mean is put back there, and its
largest deviation. Without bounds, a mode of no weight goes to infinity to hold the mean where the others left it."""
FREEDOM = 4.0  # degrees of freedom of the likelihood's Student kernels
EPSILON = 5e-5  # added to a picture's mean squared error, of sRGB in 0..1, before its logarithm


@dataclass(frozen=True)
class DeepConfig:
    """Which variant of the network; what ships routes by agreement, what comes by itself (docs/log.md).

    Attributes:
        encoder: ``lite0`` or ``lite2``.
        entities: K, entity capsules.
        modes: M, of color in each entity.
        local: R, local features.
        pose: dimensions of a capsule.
        routing: how primary capsules become entities: ``self`` (couplings from the child alone, one pass; Hahn et al.
            2019), ``agreement`` (inverted dot-product attention; Tsai et al. 2020), ``slots`` (slot attention),
            ``attention`` (entities choose among cells, without competition between entities), ``uniform`` (every
            coupling equal).
        steps: of routing by agreement, and of slot attention.
        head: ``entities``, or ``convolution``: no capsules, ab by a convolution over the same pyramid.

    Raises:
        ValueError: a number is below 1, or there are so many modes that not all can have their least weight.
    """

    encoder: Kind = "lite0"
    entities: int = 16
    modes: int = 3
    local: int = 8
    pose: int = 64
    routing: Literal["self", "agreement", "slots", "attention", "uniform"] = "self"
    steps: int = 2
    head: Literal["entities", "convolution"] = "entities"

    def __post_init__(self) -> None:
        if min(self.entities, self.modes, self.local, self.pose, self.steps) < 1:
            raise ValueError(f"entities, modes, local, pose and steps are 1 or more: {self}")
        if self.modes * LEAST >= 1:
            raise ValueError(f"{self.modes} modes cannot have a weight of {LEAST} each")

    def build(self) -> DeepColorCapsNet:
        """A new network, all weights drawn at random but a pretrained encoder's (``learn_from_imagenet``)."""
        return DeepColorCapsNet(self)


class Painted(NamedTuple):
    """What the network knows of N pictures; ``center`` is what the modes' weighted mean is, ``(N, K, 2)``."""

    coupling: Tensor
    weight: Tensor
    mean: Tensor
    scale: Tensor
    basis: Tensor
    mix: Tensor
    center: Tensor

    def local(self) -> Tensor:
        """The local term of every cell, over entities by coupling: ``(N, 2, h, w)``."""
        mixed = torch.einsum("nkhw,nkcr->ncrhw", self.coupling, self.mix)
        return torch.einsum("ncrhw,nrhw->nchw", mixed, self.basis)

    def ab(self) -> Tensor:
        """The mean color of every cell, ab / 50: ``(N, 2, h, w)``."""
        ab: Tensor = torch.einsum("nkhw,nkc->nchw", self.coupling, self.center) + self.local()
        return ab


class DeepColorCapsNet(nn.Module):
    """Gray pictures ``(N, H, W)`` in 0..1, sides multiples of 32 -> :class:`Painted` at cells of stride 4."""

    def __init__(self, config: DeepConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder = Encoder(config.encoder)
        self.pyramid = Pyramid(self.encoder.channels)
        self.entities = Entities(config) if config.head == "entities" else None
        self.convolution = ConvolutionHead() if config.head == "convolution" else None

    def learn_from_imagenet(self) -> None:
        """Bring ImageNet's weights into the encoder, fold its batch norm and keep its first stages as they are.

        Raises:
            MissingExtra: the package that holds the weights is not installed.
        """
        self.encoder.load_state_dict(encoders.efficientnet(self.config.encoder)[0].state_dict())
        self.prepare()

    def prepare(self) -> None:
        """Give the encoder the form that it is trained, saved and exported in."""
        encoders.fold_batch_norm(self.encoder)
        encoders.freeze(self.encoder, STEM)

    def forward(self, gray: Tensor) -> Painted:
        """What the network knows of gray pictures ``(N, H, W)``; only with entities."""
        assert self.entities is not None
        painted: Painted = self.entities(*self.pyramid(self.encoder(gray)))
        return painted

    def ab(self, gray: Tensor) -> Tensor:
        """Mean colors ab / 50 of gray pictures ``(N, H, W)``, with either head: ``(N, 2, H/4, W/4)``."""
        if self.convolution is not None:
            painted: Tensor = self.convolution(self.pyramid(self.encoder(gray))[1])
            return painted
        known: Painted = self(gray)
        with torch.autocast(gray.device.type, enabled=False):
            return known.ab()


class Pyramid(nn.Module):
    """Encoder features -> what a cell is, seen with its surroundings: 128 numbers at stride 16, 64 at stride 4.

    What the coarse level knows is added to the finer one; the coarsest also knows the mean of the whole picture.
    """

    def __init__(self, channels: tuple[int, ...]) -> None:
        super().__init__()
        four, eight, sixteen, thirty_two = channels[1:]
        self.whole = nn.Linear(thirty_two, WIDTHS[0])
        sides = zip((thirty_two, sixteen, eight, four), WIDTHS, strict=True)
        self.side = nn.ModuleList(Unit(inputs, width, 1, active=False) for inputs, width in sides)
        steps = pairwise(WIDTHS)
        self.down = nn.ModuleList(Unit(inputs, width, 1, active=False) for inputs, width in steps)
        self.mix = nn.ModuleList(Unit(width, width, 3) for width in WIDTHS)

    def forward(self, features: list[Tensor]) -> tuple[Tensor, Tensor]:
        """Of features at strides 2, 4, 8, 16, 32: those of the pyramid at strides 16 and 4."""
        top = features[4]
        whole = self.whole(top.mean(dim=(2, 3)))[:, :, None, None]
        levels = [self.mix[0](F.relu6(self.side[0](top) + whole))]
        for level, feature in enumerate((features[3], features[2], features[1]), start=1):
            coarse = F.interpolate(self.down[level - 1](levels[-1]), scale_factor=2.0, mode="nearest")
            levels.append(self.mix[level](F.relu6(self.side[level](feature) + coarse)))
        return levels[1], levels[3]


class Entities(nn.Module):
    """Pyramid features -> entity capsules, couplings of cells to them, and what each entity paints."""

    def __init__(self, config: DeepConfig) -> None:
        super().__init__()
        self.config = config
        entities, pose, modes, local = config.entities, config.pose, config.modes, config.local
        self.primary = nn.Conv2d(WIDTHS[1], pose, 1)
        self.position = nn.Parameter(torch.randn(4, pose) * 0.1)
        self.slots = SlotAttention(entities, pose, config.steps) if config.routing == "slots" else None
        self.vote = nn.Parameter(torch.randn(entities, pose, pose) * pose**-0.5)
        start = torch.randn(entities, pose) if config.routing in ("agreement", "attention") else None
        self.start = None if start is None else nn.Parameter(start)
        self.bias = nn.Parameter(torch.zeros(entities + 1)) if config.routing == "agreement" else None
        self.self_routing = nn.Linear(pose, entities + 1) if config.routing == "self" else None
        self.query = nn.Conv2d(WIDTHS[3], KEY, 1)
        self.key = nn.Linear(pose, KEY)
        self.type_key = nn.Parameter(torch.randn(entities, KEY) * 0.5)
        self.type_bias = nn.Parameter(torch.zeros(entities))
        self.basis = nn.Conv2d(WIDTHS[3], local, 1)
        self.colors = Tower(entities, pose + 1, 2 + 2 * local)
        self.doubt = Tower(entities, pose + 1, 4 * modes)
        with torch.no_grad():
            turn = torch.arange(entities) * (2 * math.pi / entities)
            self.colors.bias[:, :2] = 0.3 * torch.stack([turn.cos(), turn.sin()], dim=1)

    def forward(self, coarse: Tensor, fine: Tensor) -> Painted:
        """Of pyramid features at strides 16 ``(N, 128, …)`` and 4 ``(N, 64, …)``."""
        with torch.autocast(coarse.device.type, enabled=False):
            coarse, fine = widen(coarse), widen(fine)
            poses, share = self.route(coarse)
            coupling = self.couple(poses, fine)
            known = torch.cat([poses, share[..., None].clamp(min=1e-3).log()], dim=2)
            center, mix = self.colors(known).split([2, 2 * self.config.local], dim=2)
            weight, mean, scale = self.modes(known, center)
            basis = self.basis(fine).tanh()
            return Painted(coupling, weight, mean, scale, basis, mix.unflatten(2, (2, -1)), center)

    def route(self, coarse: Tensor) -> tuple[Tensor, Tensor]:
        """Entity poses ``(N, K, D)`` and the share of the picture that each holds ``(N, K)``."""
        primary = self.primary(coarse) + self.where(coarse)
        primary = normalized(primary.flatten(2).transpose(1, 2))
        if self.slots is not None:
            poses, couplings = self.slots(primary)
            return poses, couplings.mean(dim=1)
        votes = torch.einsum("nid,ode->nioe", primary, self.vote)
        if self.start is not None and self.bias is not None:
            poses, couplings = route_by_attention(votes, self.start, self.bias, self.config.steps)
            return poses, couplings.mean(dim=1)
        if self.self_routing is not None:
            couplings = self.self_routing(primary).softmax(dim=2)[..., :-1]
        elif self.start is not None:
            agreement = torch.einsum("nioe,oe->nio", votes, self.start) * votes.shape[3] ** -0.5
            couplings = agreement.softmax(dim=1)
        else:
            couplings = torch.full_like(votes[..., 0], 1 / self.config.entities)
        return weighted_poses(votes, couplings), couplings.mean(dim=1)

    def where(self, coarse: Tensor) -> Tensor:
        """Position of cells, from the picture's own size so that a graph keeps no size: ``(N, D, h, w)``."""
        ones = torch.ones_like(coarse[:, :1])
        y, x = (ones.cumsum(axis) / ones.sum(axis, keepdim=True) - 0.5 for axis in (2, 3))
        place = torch.cat([y, x, y * y, x * x], dim=1)
        return torch.einsum("nphw,pd->ndhw", place, self.position)

    def couple(self, poses: Tensor, fine: Tensor) -> Tensor:
        """Couplings of cells at stride 4 to entities, ``(N, K, h, w)``, summing to 1 over K."""
        keys = self.key(poses) + self.type_key
        logits = torch.einsum("nok,nkhw->nohw", keys, self.query(fine)) * KEY**-0.5
        coupling: Tensor = (logits + self.type_bias[:, None, None]).softmax(dim=1)
        return coupling

    def modes(self, known: Tensor, center: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Weights ``(N, K, M)``, means ``(N, K, M, 2)`` and deviations ``(N, K, M)``; the modes' mean is ``center``."""
        number = self.config.modes
        logits, apart, width = self.doubt(known).split([number, 2 * number, number], dim=2)
        weight = logits.softmax(dim=2) * (1 - number * LEAST) + LEAST
        apart = REACH * apart.unflatten(2, (number, 2)).tanh()
        apart = apart - (weight[..., None] * apart).sum(dim=2, keepdim=True)
        return weight, center[:, :, None] + apart, WIDTH * (width - 1).sigmoid() + 0.02


class Tower(nn.Module):
    """Two layers of its own for each entity: ``(N, K, inputs)`` -> ``(N, K, outputs)``."""

    def __init__(self, entities: int, inputs: int, outputs: int) -> None:
        super().__init__()
        self.inner = nn.Parameter(torch.randn(entities, inputs, TOWER) * (2 / inputs) ** 0.5)
        self.inner_bias = nn.Parameter(torch.zeros(entities, TOWER))
        self.outer = nn.Parameter(torch.randn(entities, TOWER, outputs) * 0.1 * TOWER**-0.5)
        self.bias = nn.Parameter(torch.randn(entities, outputs) * 0.1)

    def forward(self, known: Tensor) -> Tensor:
        """Of what is known of each entity."""
        hidden = F.relu(torch.einsum("nki,kih->nkh", known, self.inner) + self.inner_bias)
        return torch.einsum("nkh,kho->nko", hidden, self.outer) + self.bias


class ConvolutionHead(nn.Module):
    """What a network without capsules would do: pyramid features at stride 4 -> ab / 50."""

    def __init__(self) -> None:
        super().__init__()
        self.hidden = Unit(WIDTHS[3], WIDTHS[3], 1)
        self.ab = nn.Conv2d(WIDTHS[3], 2, 1)
        nn.init.normal_(self.ab.weight, std=0.01)

    def forward(self, fine: Tensor) -> Tensor:
        """Of ``(N, 64, h, w)``: ``(N, 2, h, w)``."""
        ab: Tensor = self.ab(self.hidden(fine))
        return widen(ab)


@dataclass(frozen=True)
class Pressures:
    """Weights of what the loss holds besides the colors.

    Attributes:
        likelihood: of the true colors under the mixture; trains modes alone.
        entropy: of a cell's coupling, pressed down.
        balance: entropy of the batch's mean coupling, pressed up.
        local: mean square of the local term, pressed down.
    """

    likelihood: float = 0.1
    entropy: float = 0.03
    balance: float = 0.03
    local: float = 0.3


def log_error(ab: Tensor, truth: Tensor) -> Tensor:
    """Mean over pictures of log(mean squared error of sRGB + ε), at the true L: minus what skill averages.

    Args:
        ab: ``(N, 2, h, w)``, ab / 50.
        truth: Lab ``(N, 3, h, w)``.
    """
    lightness, true_ab = truth[:, :1], truth[:, 1:]
    off = to_srgb(lightness, UNIT * ab) - to_srgb(lightness, true_ab)
    return (off.square().mean(dim=(1, 2, 3)) + EPSILON).log().mean()


def to_srgb(lightness: Tensor, ab: Tensor) -> Tensor:
    """L ``(N, 1, h, w)`` and ab ``(N, 2, h, w)`` -> sRGB ``(N, 3, h, w)``, 0..1 inside the gamut.

    As :func:`colorcapsnet.color.lab_to_srgb`, but beyond white values go on instead of being clipped, and below black
    they go on in the straight line of the dark end, so that a color outside has a gradient that leads back.
    """
    fy = (lightness + 16) / 116
    f = torch.cat([fy + ab[:, :1] / 500, fy, fy - ab[:, 1:] / 200], dim=1)
    xyz = torch.where(f > 6 / 29, f**3, (f - 4 / 29) * (3 * (6 / 29) ** 2))
    light = torch.einsum("cx,nxhw->nchw", xyz.new_tensor(color.FROM_XYZ), xyz)
    return torch.where(light > 0.0031308, 1.055 * light.clamp(min=0.0031308) ** (1 / 2.4) - 0.055, light * 12.92)


def loss_terms(painted: Painted, truth: Tensor, cells: int = 256) -> dict[str, Tensor]:
    """Every term of the loss, each positive where it is bad.

    Args:
        painted: of N pictures.
        truth: their Lab at the cells, ``(N, 3, h, w)``.
        cells: how many of each picture, evenly spread, the likelihood is taken at.
    """
    mean_coupling = painted.coupling.mean(dim=(0, 2, 3))
    local = painted.local()
    ab = torch.einsum("nkhw,nkc->nchw", painted.coupling, painted.center) + local
    return {
        "error": log_error(ab, truth),
        "likelihood": -log_likelihood(painted, truth[:, 1:] / UNIT, cells),
        "entropy": -(painted.coupling * (painted.coupling + 1e-6).log()).sum(dim=1).mean(),
        "balance": (mean_coupling * (mean_coupling + 1e-6).log()).sum() + math.log(len(mean_coupling)),
        "local": local.square().mean(),
    }


def total(terms: dict[str, Tensor], pressures: Pressures, ramp: float) -> Tensor:
    """The loss; ``ramp``, 0..1, is how far entropy's pressure has grown."""
    weights = {"error": 1.0, **vars(pressures), "entropy": pressures.entropy * ramp}
    return torch.stack([weights[name] * term for name, term in terms.items()]).sum()


def log_likelihood(painted: Painted, truth: Tensor, cells: int) -> Tensor:
    """Mean log density of the true ab / 50 under the mixture of all entities' modes, Student kernels in the plane.

    Its gradient reaches the modes alone: where they lie around the center, how likely and how wide they are.
    """
    pixels = truth[0, 0].numel()
    at = torch.arange(0, pixels, max(1, pixels // cells), device=truth.device)
    wanted = truth.flatten(2)[:, :, at]
    coupling = painted.coupling.detach().flatten(2)[:, :, at]
    local = torch.einsum("nkcr,nrp->nkcp", painted.mix, painted.basis.flatten(2)[:, :, at]).detach()
    mean = painted.mean - painted.center[:, :, None] + painted.center.detach()[:, :, None]
    off = wanted[:, None, None] - mean[..., None] - local[:, :, None]
    square = off.square().sum(dim=3) / (FREEDOM * painted.scale.square()[..., None])
    normal = math.log(1 / (2 * math.pi))  # Γ(ν/2 + 1) / (Γ(ν/2) ν π) in two dimensions
    kernel = normal - 2 * painted.scale.log()[..., None] - (FREEDOM / 2 + 1) * torch.log1p(square)
    share = (painted.weight[..., None] * coupling[:, :, None] + 1e-8).log()
    return (kernel + share).flatten(1, 2).logsumexp(dim=1).mean()
