"""Networks of others: weights in their layout become networks that give what theirs give, and nothing else does."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional

from exitwave.config.models import Segmentation
from exitwave.errors import TrainingError
from exitwave.training.architectures import build_network
from exitwave.training.bundle import load_bundle, read_bundle, save_bundle
from exitwave.training.costs import known_work, measured_work
from exitwave.training.kinds import task_of
from exitwave.training.networks import load_network
from exitwave.training.peers import DETAILS, MODEL, find_peers, read_weights, unpack_peers
from exitwave.training.residual import ResidualUnet

NAMES = (
    "UNet_2p2nmAu330kX423eUTC_fold0_seed962",
    "UNet_2p2nmAu330kX423eUTC_fold1_seed1662",
    "UNet_5nmAg160kX_fold3_seed7",
)
TABLE = """Model Name,Fold,Dataset Trained On,Np Diameter (nm),Np Material,Pixel Scale (nm),Dosage (e/A2)
Unet_5nmAg160kX_fold3_seed7_model.h5,3,Ag_5nm_160kx,5,Ag,0.042,425
Unet_2p2nmAu330kX423eUTC_fold0_seed962_model.h5,0,Au_2p2nm_330kx,2.2,Au,0.02,423
Unet_2p2nmAu330kX423eUTC_fold1_seed1662_model.h5,1,Au_2p2nm_330kx,2.2,Au,0.02,423
Unet_not_here_fold1_seed1_model.h5,1,Au,2.2,Au,0.02,423
"""


def weights(seed: int) -> dict[str, np.ndarray]:
    """Random weights in the layout of theirs: two outputs, running statistics that are not those of the start."""
    torch.manual_seed(seed)
    network = ResidualUnet(4, outputs=2)
    network.train()
    for _ in range(2):
        network(torch.randn(2, 1, 32, 32))
    return {name: value.numpy() for name, value in network.state_dict().items()}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("peers")
    for seed, name in enumerate(NAMES):
        np.savez(path / f"{name}.npz", **weights(seed))
    (path / DETAILS).write_text(TABLE)
    return path


@pytest.fixture
def copy(folder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(folder, tmp_path / "copy"))


def by_hand(state: dict[str, np.ndarray], image: torch.Tensor) -> torch.Tensor:
    """Probability of particle, layer by layer from the bare arrays."""
    of = {name: torch.from_numpy(value) for name, value in state.items()}

    def normalised(x: torch.Tensor, name: str) -> torch.Tensor:
        keys = ("running_mean", "running_var", "weight", "bias")
        mean, variance, weight, bias = (of[f"{name}.{key}"][:, None, None] for key in keys)
        return (x - mean) / torch.sqrt(variance + 1e-5) * weight + bias

    def block(x: torch.Tensor, name: str) -> torch.Tensor:
        inner = functional.conv2d(x, of[f"{name}.conv1.weight"], of[f"{name}.conv1.bias"], padding=1)
        inner = normalised(inner, f"{name}.bn1").clamp(min=0)
        inner = functional.conv2d(inner, of[f"{name}.conv2.weight"], of[f"{name}.conv2.bias"], padding=1)
        skip = functional.conv2d(x, of[f"{name}.conv_add.weight"], of[f"{name}.conv_add.bias"])
        return (normalised(inner, f"{name}.bn2") + skip).clamp(min=0)

    beside, x = [], image
    for stage in range(4):
        x = block(x, f"downs.{stage}")
        beside.append(x)
        x = torch.nn.functional.max_pool2d(x, 2, 2)
    x = block(x, "bottleneck")
    for stage in range(4):
        x = x.repeat_interleave(2, dim=-1).repeat_interleave(2, dim=-2)
        x = block(torch.cat([beside[3 - stage], x], dim=1), f"ups.{stage}")
    return functional.conv2d(x, of["final_conv.weight"], of["final_conv.bias"]).softmax(dim=1)[:, 1]


def test_the_network_has_the_published_number_of_weights() -> None:
    assert sum(value.numel() for value in ResidualUnet(4, outputs=2).parameters()) == 130_682
    assert MODEL.parts() == {"architecture": "residual", "encoder_depth": 4}
    assert known_work(MODEL) == measured_work(MODEL)


def test_probabilities_are_those_of_the_second_of_two_classes(folder: Path, tmp_path: Path) -> None:
    folders = unpack_peers(find_peers(folder), tmp_path)
    image = torch.randn(2, 1, 48, 32)
    for name, seed in (("2p2nmAu330kX423eUTC", 0), ("2p2nmAu330kX423eUTC", 1), ("5nmAg160kX", 2)):
        network = load_network(folders[name][seed if name.startswith("2") else 0])
        with torch.inference_mode():
            found = network.task.predict(network.module(image))
        assert torch.allclose(found, by_hand(weights(seed), image), atol=1e-5)


def test_what_is_known_of_them_goes_along(folder: Path, tmp_path: Path) -> None:
    peers = find_peers(folder)
    assert [(peer.dataset, peer.fold, peer.pixel_size) for peer in peers] == [
        ("5nmAg160kX", 3, 0.42),
        ("2p2nmAu330kX423eUTC", 0, 0.2),
        ("2p2nmAu330kX423eUTC", 1, 0.2),
    ]
    told = {peer.dataset: peer.told for peer in peers}
    assert "5 nm Ag" in told["5nmAg160kX"]
    folders = unpack_peers(peers, tmp_path)
    network = load_network(folders["2p2nmAu330kX423eUTC"][1])
    assert network.info["fold"] == 1
    assert network.info["trained_on"] == "Au_2p2nm_330kx"
    assert (network.preprocessing.normalization, network.preprocessing.median) == ("standard", 1)
    save_bundle(tmp_path / "all.safetensors", {name: (told[name], found, {}) for name, found in folders.items()})
    bundled = read_bundle(tmp_path / "all.safetensors")
    assert {name: (found.image_size, found.pixel_size) for name, found in bundled.items()} == {
        "5nmAg160kX": (512, 0.42),
        "2p2nmAu330kX423eUTC": (512, 0.2),
    }
    image = torch.randn(1, 1, 32, 32)
    with torch.inference_mode():
        half, whole = (
            one.module(image)
            for one in (load_bundle(tmp_path / "all.safetensors")[0], load_network(folders["5nmAg160kX"][0]))
        )
    assert torch.allclose(half, whole, atol=0.05 * float(whole.abs().max()))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            lambda state: state.pop("bottleneck.bn1.running_var"),
            "found the array bottleneck.bn1.running_var of shape none",
        ),
        (lambda state: state.update(more=np.zeros(3)), r"found the array more of shape \(3,\); allowed: none"),
        (
            lambda state: state.update({"downs.0.conv1.weight": np.zeros((4, 1, 5, 5))}),
            r"\(4, 1, 5, 5\); allowed: \(4, 1, 3, 3\)",
        ),
        (lambda state: state.update({"final_conv.bias": np.array([0, np.nan])}), "final_conv.bias that are no finite"),
        (lambda state: state.update({"final_conv.bias": np.array(["a", "b"])}), "final_conv.bias that are no finite"),
    ],
)
def test_weights_of_another_network_are_refused(tmp_path: Path, change, said: str) -> None:
    state = weights(0)
    change(state)
    np.savez(tmp_path / "a.npz", **state)
    with pytest.raises(TrainingError, match=said):
        read_weights(tmp_path / "a.npz")


def test_files_that_are_no_arrays_are_refused(copy: Path, tmp_path: Path) -> None:
    (tmp_path / "a.npz").write_bytes(b"no archive")
    np.savez(tmp_path / "b.npz", **{"final_conv.bias": np.array([object()], dtype=object)})
    for name in "ab":
        with pytest.raises(TrainingError, match=rf"{name}\.npz cannot be read as an archive of arrays"):
            read_weights(tmp_path / f"{name}.npz")
    (copy / f"{NAMES[0]}.npz").rename(copy / "UNet_other_fold0_seed1.npz")
    with pytest.raises(TrainingError, match=r"UNet_other_fold0_seed1\.npz is not in model_details\.csv"):
        find_peers(copy)


@pytest.mark.parametrize(
    ("table", "said"),
    [
        (None, "cannot be read as a table"),
        ("Model Name,Fold\na,1\n", "lacks the columns Dataset Trained On"),
        (TABLE.replace("0.042", "zero"), "has no numbers for UNet_5nmAg160kX_fold3_seed7.npz"),
        (TABLE.replace("0.042", "-1"), "a pixel scale above 0 nm"),
    ],
)
def test_a_table_that_says_too_little_is_refused(copy: Path, table: str | None, said: str) -> None:
    (copy / DETAILS).unlink()
    if table is not None:
        (copy / DETAILS).write_text(table)
    with pytest.raises(TrainingError, match=said):
        find_peers(copy)


def test_a_folder_without_networks_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="holds no network"):
        find_peers(tmp_path)


def test_it_can_be_trained_at_other_depths() -> None:
    for depth in (3, 5):
        network = build_network(Segmentation(kind="segmentation", architecture="residual", encoder_depth=depth))
        network(torch.rand(2, 1, 64, 64)).mean().backward()
        assert all(value.grad is not None for value in network.parameters())


def test_an_encoder_of_another_architecture_is_refused() -> None:
    with pytest.raises(ValueError, match="encoder is resnet34 with architecture: residual"):
        Segmentation(kind="segmentation", architecture="residual", encoder="resnet34")


def test_the_networks_that_come_along_are_those_of_the_paper() -> None:
    path = Path(__file__).parents[2] / "resources" / "peers" / "scottlab.safetensors"
    found = read_bundle(path)
    assert {name: len(convention.networks) for name, convention in found.items()} == {
        "2p2nmAu330kX423eUTC": 5,
        "5nmAu330kX423eUTC": 5,
        "10nmAu330kX425eUTC": 5,
    }
    assert task_of(MODEL, {}).model == load_bundle(path, "5nmAu330kX423eUTC")[4].model
