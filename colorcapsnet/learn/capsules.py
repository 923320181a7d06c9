"""Capsules: squash, routing by agreement, capsule layers, the margin loss, and the original network.

Source: Sabour, Frosst, Hinton, *Dynamic Routing Between Capsules*, NIPS 2017; equation numbers are theirs. Routing by
attention, which the network of the whole photograph uses, is that of Tsai, Srivastava, Goh and Salakhutdinov, *Capsules
with Inverted Dot-Product Attention Routing*, ICLR 2020.

Shapes are told in capsule words: capsules ``(N, capsules, dims)``, votes ``(N, inputs, outputs, dims)``,
couplings ``(N, inputs, outputs)``. The letters of every einsum are::

    n picture    i input capsule    d its dimension    o output capsule    e its dimension
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

TINY = 1e-12  # added to a squared length below a root, so that the slope at 0 stays finite


def squash(s: Tensor) -> Tensor:
    """Shrink the last axis to a length below 1 and keep its direction (equation 1).

    ``|s|² / (1 + |s|²) · s / |s|``, computed in float32 at least, also where autocast has made the input bfloat16.
    At ``s = 0`` both the value and the gradient are 0.

    Args:
        s: total inputs ``(..., dims)``.

    Returns:
        ``(..., dims)``; the length of a capsule says how sure it is that what it stands for is there.
    """
    s = widen(s)
    squared = s.square().sum(dim=-1, keepdim=True)
    return s * (squared / ((1 + squared) * torch.sqrt(squared + TINY)))


def votes(poses: Tensor, weight: Tensor) -> Tensor:
    """What each input capsule predicts for each output capsule (equation 2, right): ``û = W u``.

    Args:
        poses: input capsules ``(N, inputs, in_dims)``.
        weight: a transformation matrix for each pair, ``(inputs, in_dims, outputs, out_dims)``.

    Returns:
        ``(N, inputs, outputs, out_dims)``.
    """
    return torch.einsum("nid,idoe->nioe", poses, weight)


def route_by_agreement(votes: Tensor, iterations: int) -> tuple[Tensor, Tensor]:
    """Routing by agreement (procedure 1): inputs send more to the outputs that their votes agree with.

    The gradient flows through every iteration, as in the code that the authors published; many later
    implementations cut it before the last one. Autocast is off inside: in bfloat16 the small matrix products would
    cost more than they save.

    Args:
        votes: ``(N, inputs, outputs, dims)``.
        iterations: at least 1; with 1 every coupling is ``1 / outputs``.

    Returns:
        The output capsules ``(N, outputs, dims)`` and the couplings ``(N, inputs, outputs)`` that made them,
        which sum to 1 over outputs.

    Raises:
        ValueError: ``iterations`` is below 1.
    """
    if iterations < 1:
        raise ValueError(f"routing takes 1 iteration or more, not {iterations}")
    with torch.autocast(votes.device.type, enabled=False):
        votes = widen(votes)
        logits = votes.new_zeros(votes.shape[:3])
        outputs, couplings = _couple(votes, logits)
        for _ in range(iterations - 1):
            agreement = torch.einsum("nioe,noe->nio", votes, outputs)
            logits = logits + agreement
            outputs, couplings = _couple(votes, logits)
    return outputs, couplings


def route_by_attention(votes: Tensor, start: Tensor, bias: Tensor, steps: int) -> tuple[Tensor, Tensor]:
    """Inverted dot-product attention routing, with typed outputs and a parent for inputs that belong to none.

    Inputs choose among outputs: softmax over outputs of ``vote · pose / √dims + bias``. Poses are the weighted means of
    votes, layer-normalized instead of squashed. Computed in float32, also under autocast.

    Args:
        votes: ``(N, inputs, outputs, dims)``.
        start: first poses ``(outputs, dims)``, learnt: they make every output a type.
        bias: ``(outputs + 1,)``; the last is the logit of belonging to none.
        steps: at least 1.

    Returns:
        Poses ``(N, outputs, dims)`` and the couplings ``(N, inputs, outputs)`` that made them; with what went to none
        these sum to 1 over outputs.

    Raises:
        ValueError: ``steps`` is below 1.
    """
    if steps < 1:
        raise ValueError(f"routing takes 1 step or more, not {steps}")
    with torch.autocast(votes.device.type, enabled=False):
        votes = widen(votes)
        scale = votes.shape[3] ** -0.5
        poses = start.expand(votes.shape[0], -1, -1)
        for _ in range(steps):
            agreement = torch.einsum("nioe,noe->nio", votes, poses) * scale + bias[:-1]
            none = bias[-1].expand(*agreement.shape[:2], 1)
            couplings = torch.cat([agreement, none], dim=2).softmax(dim=2)[..., :-1]
            poses = weighted_poses(votes, couplings)
    return poses, couplings


class SlotAttention(nn.Module):
    """Slot attention (Locatello et al. 2020, algorithm 1) with typed slots: the competition of routing, no votes.

    Inputs choose among slots; each slot's state goes on by a GRU from the mean of what chose it, and by two layers.
    Slots begin with learnt states of their own instead of one distribution for all, so that each is a type.
    """

    def __init__(self, slots: int, dims: int, steps: int) -> None:
        super().__init__()
        self.steps = steps
        self.start = nn.Parameter(torch.randn(slots, dims))
        self.query, self.key, self.value = (nn.Linear(dims, dims, bias=False) for _ in range(3))
        self.state = nn.GRUCell(dims, dims)
        self.onward = nn.Sequential(nn.Linear(dims, 2 * dims), nn.ReLU(), nn.Linear(2 * dims, dims))

    def forward(self, inputs: Tensor) -> tuple[Tensor, Tensor]:
        """Inputs ``(N, inputs, dims)`` -> normalized slots ``(N, slots, dims)``, couplings ``(N, inputs, slots)``."""
        inputs = normalized(inputs)
        keys, values = self.key(inputs), self.value(inputs)
        slots = self.start.expand(inputs.shape[0], -1, -1)
        for _ in range(self.steps):
            agreement = torch.einsum("nid,nod->nio", keys, self.query(normalized(slots)))
            couplings = (agreement * inputs.shape[2] ** -0.5).softmax(dim=2)
            share = couplings / (couplings.sum(dim=1, keepdim=True) + 1e-4)
            update = torch.einsum("nio,nid->nod", share, values)
            slots = self.state(update.flatten(0, 1), slots.flatten(0, 1)).view_as(slots)
            slots = slots + self.onward(normalized(slots))
        return normalized(slots), couplings


def weighted_poses(votes: Tensor, couplings: Tensor) -> Tensor:
    """Means of votes ``(N, inputs, outputs, dims)`` by couplings ``(N, inputs, outputs)``, layer-normalized."""
    share = couplings / (couplings.sum(dim=1, keepdim=True) + 1e-4)
    return normalized(torch.einsum("nio,nioe->noe", share, votes))


def normalized(poses: Tensor) -> Tensor:
    """Layer normalization over the last axis; unlike PyTorch's, it keeps no size in an exported graph."""
    apart = poses - poses.mean(dim=-1, keepdim=True)
    return apart * (apart.square().mean(dim=-1, keepdim=True) + 1e-5).rsqrt()


def _couple(votes: Tensor, logits: Tensor) -> tuple[Tensor, Tensor]:
    """The outputs (equations 1, 2) and couplings (equation 3) that these logits give."""
    couplings = logits.softmax(dim=2)
    return squash(torch.einsum("nio,nioe->noe", couplings, votes)), couplings


class PrimaryCapsules(nn.Module):
    """A convolution whose channels are read as capsules, at every point of its grid (section 4).

    ``(N, channels, height, width)`` -> ``(N, rows · columns · capsules, dims)``, squashed. Capsule ``c`` of the
    point in row ``y`` and column ``x`` has the number ``(y · columns + x) · capsules + c`` and reads the channels
    from ``c · dims`` on. Where the kernel covers the whole map, the convolution is a matrix product and computed
    as one.
    """

    def __init__(
        self,
        channels: int,
        capsules: int = 32,
        dims: int = 8,
        kernel: int = 9,
        stride: int = 2,
        batch_norm: bool = False,
    ) -> None:
        super().__init__()
        self.dims = dims
        self.conv = nn.Conv2d(channels, capsules * dims, kernel, stride)
        self.norm = nn.BatchNorm2d(capsules * dims) if batch_norm else nn.Identity()
        glorot(self.conv)

    def forward(self, features: Tensor) -> Tensor:
        """Capsules ``(N, inputs, dims)`` of a feature map ``(N, channels, height, width)``."""
        if features.shape[2:] == self.conv.weight.shape[2:]:
            point = F.linear(features.flatten(1), self.conv.weight.flatten(1), self.conv.bias)
            grid = point[:, :, None, None]
        else:
            grid = self.conv(features)
        poses = self.norm(grid).permute(0, 2, 3, 1)
        return squash(poses.reshape(features.shape[0], -1, self.dims))


class ClassCapsules(nn.Module):
    """Capsules fed by all capsules below, through routing by agreement (section 2).

    ``(N, inputs, in_dims)`` -> ``(N, outputs, out_dims)``. With one iteration every coupling is ``1 / outputs``;
    votes, couplings and sum are then a single matrix product and computed as one.
    """

    def __init__(self, inputs: int, in_dims: int, outputs: int, out_dims: int, iterations: int) -> None:
        super().__init__()
        self.iterations = iterations
        self.weight = nn.Parameter(torch.empty(inputs, in_dims, outputs, out_dims))
        bound = (6 / (in_dims + out_dims)) ** 0.5  # Glorot and Bengio (2010), for each pair's matrix
        nn.init.uniform_(self.weight, -bound, bound)

    def forward(self, poses: Tensor) -> Tensor:
        """Output capsules ``(N, outputs, out_dims)`` of input capsules ``(N, inputs, in_dims)``."""
        if self.iterations > 1:
            return route_by_agreement(votes(poses, self.weight), self.iterations)[0]
        inputs, in_dims, outputs, out_dims = self.weight.shape
        total = poses.flatten(1) @ self.weight.reshape(inputs * in_dims, outputs * out_dims)
        return squash(widen(total).view(-1, outputs, out_dims) / outputs)


def margin_loss(capsules: Tensor, labels: Tensor) -> Tensor:
    """Margin loss (equation 4): the right class's capsule is longer than 0.9, every other one shorter than 0.1.

    The others count half (λ = 0.5).

    Args:
        capsules: one for each class, ``(N, classes, dims)``.
        labels: the right classes, ``(N,)`` int64.

    Returns:
        The sum over classes, its mean over pictures: a scalar.
    """
    lengths = capsules.norm(dim=2)
    right = F.one_hot(labels, lengths.shape[1])
    too_short = F.relu(0.9 - lengths).square()
    too_long = F.relu(lengths - 0.1).square()
    return (right * too_short + 0.5 * (1 - right) * too_long).sum(dim=1).mean()


class CapsNet(nn.Module):
    """The original network for digits (section 4): pictures ``(N, 28, 28)`` in 0..1 -> ``(N, classes, 16)``.

    The length of a class capsule says whether its digit is there; the decoder redraws the picture from it.
    """

    def __init__(self, classes: int = 10, routings: int = 3) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 256, 9)
        self.primary = PrimaryCapsules(256, capsules=32, dims=8, kernel=9, stride=2)
        self.classes = ClassCapsules(6 * 6 * 32, 8, classes, 16, routings)
        self.decoder = decoder(classes * 16, 28 * 28)
        glorot(self.conv)

    def forward(self, pictures: Tensor) -> Tensor:
        """Class capsules ``(N, classes, 16)`` of pictures ``(N, 28, 28)``."""
        features = F.relu(self.conv(pictures.unsqueeze(1)))
        capsules: Tensor = self.classes(self.primary(features))
        return capsules

    def redraw(self, capsules: Tensor, labels: Tensor) -> Tensor:
        """Pictures ``(N, 28, 28)`` from the capsule of each label alone, the others masked (section 4.1)."""
        mask = F.one_hot(labels, capsules.shape[1]).unsqueeze(2)
        drawn: Tensor = self.decoder((capsules * mask).flatten(1))
        return widen(drawn).sigmoid().view(-1, 28, 28)

    def loss(self, pictures: Tensor, labels: Tensor) -> Tensor:
        """Margin loss plus 0.0005 times the squared differences of the redrawn pictures (section 4.1)."""
        capsules = self(pictures)
        squares = (self.redraw(capsules, labels) - pictures).square().sum(dim=(1, 2))
        return margin_loss(capsules, labels) + 0.0005 * squares.mean()


def decoder(inputs: int, outputs: int) -> nn.Sequential:
    """The three fully connected layers that redraw a picture (Figure 2); the last sigmoid is the caller's."""
    layers = nn.Sequential(
        nn.Linear(inputs, 512),
        nn.ReLU(),
        nn.Linear(512, 1024),
        nn.ReLU(),
        nn.Linear(1024, outputs),
    )
    for layer in layers:
        glorot(layer)
    return layers


def glorot(layer: nn.Module) -> None:
    """Draw a layer's weights, if it has any, as Glorot and Bengio (2010) do, uniformly; set its biases to 0."""
    for name, values in layer.named_parameters():
        if name == "weight":
            nn.init.xavier_uniform_(values)
        else:
            nn.init.zeros_(values)


def widen(values: Tensor) -> Tensor:
    """Half precision, as autocast leaves it, in float32; float32 and float64 as they are."""
    return values.float() if values.dtype in (torch.bfloat16, torch.float16) else values
