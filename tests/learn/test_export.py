"""Export: the graph is the network, without what algebra removes; nothing is written where they differ."""

from __future__ import annotations

from dataclasses import asdict

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from colorcapsnet import paint
from colorcapsnet.errors import DataError, ModelError
from colorcapsnet.learn import export
from colorcapsnet.learn.checkpoints import Checkpoint, save
from colorcapsnet.learn.deep import DeepConfig
from colorcapsnet.learn.paper import PaperConfig
from colorcapsnet.zoo import Card, Network
from tests.learn import write_pictures


def trained(config):
    """A network whose batch norm has seen something."""
    torch.manual_seed(0)
    model = config.build().train()
    for _ in range(3):
        model(torch.rand(16, config.patch, config.patch))
    return model.eval()


def checkpoint(path, model):
    save(
        Checkpoint(
            model=model.state_dict(),
            kind="paper",
            config=asdict(model.config),
            recipe="standin-2-bsds",
            data="d" * 64,
            history=[{"epoch": 1, "loss": 0.5}],
        ),
        path,
    )
    return path


@pytest.fixture
def photographs(tmp_path):
    write_pictures(tmp_path / "photographs", ["a.png", "b.jpg"], size=(40, 50))
    return tmp_path / "photographs"


CONFIGS = [
    PaperConfig(),
    PaperConfig(patch=16),
    PaperConfig(batch_norm=False, capsules=10, routings=3),
    PaperConfig(patch=17, front="original"),
]


@pytest.mark.parametrize("config", CONFIGS, ids=str)
def test_the_graph_agrees_with_the_network(tmp_path, photographs, config):
    model = trained(config)
    path = export.export(checkpoint(tmp_path / "c.safetensors", model), tmp_path / "out", "mine", photographs)
    gray = np.random.default_rng(1).random((7, config.patch, config.patch), np.float32)
    with torch.no_grad():
        expected = model(torch.from_numpy(gray)).numpy()
    assert np.abs(Network(path)(gray) - expected).max() < 1e-5


def test_the_card_says_what_is_known(tmp_path, photographs):
    model = trained(PaperConfig())
    path = export.export(checkpoint(tmp_path / "c.safetensors", model), tmp_path / "out", "mine", photographs)
    card = Card.load(path.with_suffix(".json"))
    assert (card.name, card.kind, card.size, card.parameters) == ("mine", "patch", 9, 2_215_475)
    assert card.data == "d" * 64
    assert card.losses == [{"epoch": 1, "loss": 0.5}]
    assert card.trained_on[1] == "BSDS500 train, 200 photographs"
    assert len(card.trained_on) == 2  # both steps of its chain
    assert card.command == (
        "colorcapsnet train standin-1-ilsvrc --data FOLDER && colorcapsnet train standin-2-bsds --data FOLDER"
    )
    assert 0 < card.parity < export.TOLERANCE["patch"]


def test_the_graph_does_not_pay_for_what_algebra_removes(tmp_path, photographs):
    model = trained(PaperConfig())
    path = export.export(checkpoint(tmp_path / "c.safetensors", model), tmp_path, "mine", photographs)
    graph = onnx.load(path).graph
    operators = [node.op_type for node in graph.node]
    assert "BatchNormalization" not in operators
    assert "Softmax" not in operators
    assert operators.count("Conv") == 2  # the primary capsules' convolution is a matrix product
    (first,) = [tensor for tensor in graph.initializer if list(tensor.dims)[1:] == [1, 3, 3]]
    assert first.dims[0] == 64
    numbers = sum(int(np.prod(tensor.dims)) for tensor in graph.initializer)
    removed = 2 * 64 * 9 + (2 * 64 + 2 * 64 + 2 * 256)  # two of three input channels; batch norm's scale and shift
    assert numbers == pytest.approx(2_215_475 - removed, abs=64)


def test_making_a_model_lean_leaves_the_model_alone():
    model = trained(PaperConfig())
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    light = export.lean(model)
    gray = torch.rand(4, 9, 9)
    assert torch.allclose(light(gray), model(gray), atol=1e-6)
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


def test_a_graph_that_differs_is_refused_and_nothing_is_written(tmp_path, photographs, monkeypatch):
    monkeypatch.setattr(export, "TOLERANCE", {"patch": 0.0})
    monkeypatch.setattr(export, "lean", lambda model: trained(PaperConfig(capsules=5)))
    source = checkpoint(tmp_path / "c.safetensors", trained(PaperConfig()))
    with pytest.raises(ModelError, match=r"the graph of .*c\.safetensors differs from the network by"):
        export.export(source, tmp_path / "out", "mine", photographs)
    assert list((tmp_path / "out").iterdir()) == []


def test_a_damaged_checkpoint_is_refused(tmp_path, photographs):
    path = tmp_path / "c.safetensors"
    path.write_bytes(b"\x00" * 100)
    with pytest.raises(ModelError, match=r"c\.safetensors is damaged"):
        export.export(path, tmp_path / "out", "mine", photographs)


def test_an_empty_folder_of_photographs_is_refused(tmp_path):
    (tmp_path / "empty").mkdir()
    source = checkpoint(tmp_path / "c.safetensors", trained(PaperConfig()))
    with pytest.raises(DataError, match="empty holds no pictures"):
        export.export(source, tmp_path / "out", "mine", tmp_path / "empty")


WHOLE = [
    DeepConfig(entities=5, modes=2, local=3, pose=16),
    DeepConfig(entities=5, local=3, pose=16, routing="self"),
    DeepConfig(head="convolution"),
]


def of_the_whole(config):
    """A network whose batch norm has seen something, and no two of whose numbers are equal, as a run leaves it."""
    torch.manual_seed(0)
    model = config.build()
    model.prepare()
    for values in model.parameters():
        values.data += 1e-3 * torch.randn_like(values)
    model.train()
    for _ in range(2):
        model.ab(torch.rand(2, 64, 64))
    return model.eval()


def deep_checkpoint(path, model):
    loop = {"step": 1, "schedule": {}}
    save(Checkpoint(model.state_dict(), "deep", asdict(model.config), "deep-large", "d" * 64, loop=loop), path)
    return path


@pytest.mark.medium
@pytest.mark.parametrize("config", WHOLE, ids=str)
def test_the_graph_of_the_whole_photograph_agrees_at_every_size(tmp_path, photographs, config):
    model = of_the_whole(config)
    path = export.export(deep_checkpoint(tmp_path / "c.safetensors", model), tmp_path, "whole", photographs)
    network = Network(path)
    assert network.card.kind == "photograph"
    assert network.card.parity < 2e-3
    for height, width in ((32, 32), (96, 64), (64, 160)):
        gray = torch.rand(1, height, width)
        with torch.no_grad():
            expected = model.ab(gray)[0].numpy() * 50
        found = paint.color(network.know(gray[0].numpy()))
        assert np.abs(np.moveaxis(found, -1, 0) - expected).max() < 0.5


def outputs(path, gray):
    """Of the graph, by name, in ONNX Runtime."""
    session = onnxruntime.InferenceSession(path)
    return dict(zip([output.name for output in session.get_outputs()], session.run(None, {"gray": gray}), strict=True))


@pytest.mark.medium
def test_the_graph_gives_what_the_network_knows_of_several_pictures_of_any_size(tmp_path, photographs):
    """Deviations are those of the Student kernels: with 4 degrees of freedom, √2 times their width."""
    model = of_the_whole(WHOLE[0])
    path = export.export(deep_checkpoint(tmp_path / "c.safetensors", model), tmp_path, "whole", photographs)
    for shape in ((1, 32, 32), (2, 96, 64), (3, 64, 160)):
        gray = torch.rand(shape)
        with torch.no_grad():
            expected = model(gray)
        expected = expected._replace(scale=expected.scale * 2**0.5)
        found = outputs(path, gray.numpy())
        assert list(found) == list(export.OUTPUTS)
        assert np.allclose(found["coupling"].sum(axis=1), 1, atol=1e-5)
        for name, array in found.items():
            assert array.dtype == np.float32
            assert array.shape == getattr(expected, name).shape, name
            assert np.abs(array - getattr(expected, name).numpy()).max() < 0.02, name


@pytest.mark.medium
def test_numbers_of_the_graph_are_in_16_bits_but_the_first_stages_under_the_networks_own_names(tmp_path, photographs):
    model = of_the_whole(WHOLE[0])
    path = export.export(deep_checkpoint(tmp_path / "c.safetensors", model), tmp_path, "whole", photographs)
    graph = onnx.load(path).graph
    kept = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in graph.initializer}
    for name, values in export.folded(model).state_dict().items():
        kind = np.float32 if name.startswith("encoder.stages.0.") else np.float16
        assert kept[name].dtype == kind
        assert np.array_equal(kept[name], values.numpy().astype(kind))
    assert "BatchNormalization" not in {node.op_type for node in graph.node}


@pytest.mark.medium
def test_folding_leaves_the_network_alone(tmp_path):
    model = of_the_whole(WHOLE[0])
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    gray = torch.rand(2, 64, 64)
    with torch.no_grad():
        assert torch.allclose(export.folded(model).ab(gray), model.ab(gray), atol=1e-4)
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


@pytest.mark.medium
def test_a_graph_of_the_whole_photograph_that_differs_is_refused_and_nothing_is_written(
    tmp_path, photographs, monkeypatch
):
    model = of_the_whole(WHOLE[0])
    other = export.folded(model)
    with torch.no_grad():
        other.entities.colors.bias += 0.1
    monkeypatch.setattr(export, "folded", lambda model: other)
    source = deep_checkpoint(tmp_path / "c.safetensors", model)
    with pytest.raises(ModelError, match=r"the graph of .*c\.safetensors differs from the network by 0\.0\d+, over 0"):
        export.export(source, tmp_path / "out", "whole", photographs)
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.medium
def test_averaged_weights_are_what_is_exported_and_the_card_tells_the_chain(tmp_path, photographs):
    model, averaged = of_the_whole(WHOLE[0]), of_the_whole(WHOLE[0])
    with torch.no_grad():
        averaged.entities.colors.bias += 0.2
    source = tmp_path / "c.safetensors"
    weights = {name: values.detach() for name, values in averaged.named_parameters()}
    save(Checkpoint(model.state_dict(), "deep", asdict(model.config), "deep-large", "d" * 64, averaged=weights), source)
    path = export.export(source, tmp_path, "whole", photographs)
    gray = torch.rand(1, 64, 64)
    with torch.no_grad():
        expected = averaged.ab(gray)[0].numpy() * 50
    found = np.moveaxis(paint.color(Network(path).know(gray[0].numpy())), -1, 0)
    assert np.abs(found - expected).max() < 0.5
    card = Card.load(path.with_suffix(".json"))
    assert card.command == "colorcapsnet train deep --data FOLDER && colorcapsnet train deep-large --data FOLDER"
    assert card.parameters == sum(values.numel() for values in model.parameters())


@pytest.mark.medium
def test_training_can_start_from_the_graphs_own_numbers(tmp_path, photographs):
    model = of_the_whole(WHOLE[0])
    path = export.export(deep_checkpoint(tmp_path / "c.safetensors", model), tmp_path, "whole", photographs)
    kept = export.weights_of(path)
    light = export.folded(model)
    light.load_state_dict(kept)
    assert kept.keys() == light.state_dict().keys()
    gray = torch.rand(1, 64, 64)
    with torch.no_grad():
        assert (light.ab(gray) - model.ab(gray)).abs().max() < 0.01
    assert path.stat().st_size < 2.2 * sum(tensor.numel() for tensor in kept.values()) + 200_000
