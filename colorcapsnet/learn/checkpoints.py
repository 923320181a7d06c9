"""Checkpoints: weights, optimizer, loop state, configuration and data hash in one safetensors file, written whole.

The file holds tensors under ``model.``, ``adam.`` and ``averaged.`` and, as its metadata, one JSON object
(:class:`Checkpoint`) and a hash of all that.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from colorcapsnet.errors import ModelError, OutputError

VERSION = 1


@dataclass(frozen=True)
class Checkpoint:
    """All that a run needs to go on, or an export to begin.

    Attributes:
        model: the network's state by name.
        adam: the optimizer's state by parameter name, ``NAME.exp_avg`` and so on; empty where only weights are kept.
        averaged: weights averaged over the last steps, by parameter name, where the loop keeps them.
        kind: ``"paper"`` or ``"deep"``, which network ``config`` describes.
        config: fields of the network's configuration.
        recipe: name of the run.
        data: SHA-256 of the prepared set it learnt from.
        loop: where the loop stands: epoch, batch, and sums of the running epoch.
        history: one entry a finished epoch.
    """

    model: dict[str, Tensor]
    kind: str
    config: dict[str, Any]
    recipe: str
    data: str
    adam: dict[str, Tensor] = field(default_factory=dict)
    averaged: dict[str, Tensor] = field(default_factory=dict)
    loop: dict[str, Any] = field(default_factory=dict)
    history: list[dict[str, Any]] = field(default_factory=list)


def save(checkpoint: Checkpoint, path: Path) -> None:
    """Write a checkpoint to a temporary file beside ``path`` and rename it.

    Raises:
        OutputError: it cannot be written; an earlier file of this name is still there.
    """
    tensors = {f"model.{name}": tensor for name, tensor in checkpoint.model.items()}
    tensors |= {f"adam.{name}": tensor for name, tensor in checkpoint.adam.items()}
    tensors |= {f"averaged.{name}": tensor for name, tensor in checkpoint.averaged.items()}
    tensors = {name: tensor.detach().contiguous() for name, tensor in tensors.items()}
    told = json.dumps({"version": VERSION, **words(checkpoint)})
    temporary = path.with_suffix(".tmp")
    try:
        save_file(tensors, temporary, metadata={"colorcapsnet": told, "sha256": _hash(told, tensors)})
        temporary.replace(path)
    except (SafetensorError, OSError) as error:
        temporary.unlink(missing_ok=True)
        raise OutputError(f"{path} cannot be written ({error}); make room, or choose another folder") from error


def load(path: Path) -> Checkpoint:
    """Read a checkpoint.

    Raises:
        ModelError: it is missing, damaged, of another version, or no checkpoint of this package.
    """
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        told = json.loads(metadata.get("colorcapsnet", "{}"))
    except FileNotFoundError:
        raise ModelError(f"{path} does not exist; expected a checkpoint (a run writes last.safetensors)") from None
    except (SafetensorError, OSError, ValueError) as error:
        raise ModelError(f"{path} is damaged or no checkpoint ({error}); use an older one of the same run") from error
    if not told:
        raise ModelError(f"{path} is a safetensors file, but no checkpoint of colorcapsnet")
    if (version := told.pop("version", None)) != VERSION:
        raise ModelError(f"{path} is a checkpoint of version {version}; this package reads version {VERSION}")
    found = _hash(metadata["colorcapsnet"], tensors)
    if metadata.get("sha256", found) != found:
        raise ModelError(f"{path} is damaged (its hash differs); use an older one of the same run")
    model, adam, averaged = (
        {name.removeprefix(part): tensor for name, tensor in tensors.items() if name.startswith(part)}
        for part in ("model.", "adam.", "averaged.")
    )
    return Checkpoint(model=model, adam=adam, averaged=averaged, **told)


def _hash(told: str, tensors: dict[str, Tensor]) -> str:
    """SHA-256 of what a checkpoint says and of its tensors' names, types, shapes and bytes."""
    digest = hashlib.sha256(told.encode())
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)} ".encode())
        digest.update(tensor.view(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def adam_state(optimizer: torch.optim.Optimizer, model: torch.nn.Module) -> dict[str, Tensor]:
    """The optimizer's state under parameter names."""
    state, names = optimizer.state_dict()["state"], _names(optimizer, model)
    return {f"{names[index]}.{key}": value for index, entry in state.items() for key, value in entry.items()}


def restore_adam(optimizer: torch.optim.Optimizer, model: torch.nn.Module, adam: dict[str, Tensor]) -> None:
    """Put back what :func:`adam_state` took, in the memory layout of the parameters, which fused steps go by."""
    parameters = dict(model.named_parameters())
    state: dict[int, dict[str, Tensor]] = {}
    for index, name in enumerate(_names(optimizer, model)):
        moments = {key: adam[f"{name}.{key}"] for key in ("exp_avg", "exp_avg_sq") if f"{name}.{key}" in adam}
        state[index] = {key: torch.empty_like(parameters[name]).copy_(value) for key, value in moments.items()}
        if f"{name}.step" in adam:
            state[index]["step"] = adam[f"{name}.step"]
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})


def _names(optimizer: torch.optim.Optimizer, model: torch.nn.Module) -> list[str]:
    """Names of the parameters that an optimizer moves, in its order."""
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    return [names[id(parameter)] for group in optimizer.param_groups for parameter in group["params"]]


def words(checkpoint: Checkpoint) -> dict[str, Any]:
    """What a checkpoint says in words and numbers."""
    parts = ("kind", "config", "recipe", "data", "loop", "history")
    return {part: getattr(checkpoint, part) for part in parts}
