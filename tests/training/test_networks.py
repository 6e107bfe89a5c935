import json
import os
import pickle
import struct

import pytest
import segmentation_models_pytorch as smp
import torch

from exitwave.config.models import Segmentation
from exitwave.data.whole import unsealed
from exitwave.errors import TrainingError
from exitwave.training.architectures import build_network
from exitwave.training.checkpoint import save_checkpoint
from exitwave.training.kinds import task_of
from exitwave.training.networks import load_network, save_network

TINY = Segmentation(kind="segmentation", encoder_depth=3)


@pytest.fixture
def saved(tmp_path):
    network = build_network(TINY)
    network.train()
    for _ in range(3):  # moves the running statistics of the batch normalisation off their initial values
        network(torch.randn(4, 1, 32, 32))
    save_network(tmp_path / "net", network, task_of(TINY, {}), pixel_size=0.8, info={"seed": 3, "best_epoch": 2})
    return network.eval(), tmp_path / "net"


def test_default_unet_has_the_published_number_of_parameters():
    network = build_network(Segmentation(kind="segmentation"))
    assert sum(parameter.numel() for parameter in network.parameters()) == 14_321_937


@pytest.mark.parametrize("architecture", ["unet", "unetplusplus", "fpn", "linknet"])
@pytest.mark.parametrize("depth", [3, 5])
def test_every_architecture_gives_one_logit_for_each_pixel(architecture, depth):
    network = build_network(Segmentation(kind="segmentation", architecture=architecture, encoder_depth=depth))
    with torch.no_grad():
        assert network.eval()(torch.rand(2, 1, 64, 64)).shape == (2, 1, 64, 64)


@pytest.mark.parametrize("architecture", ["unet", "unetplusplus", "fpn", "linknet"])
@pytest.mark.parametrize("depth", [3, 4])
def test_a_shallow_network_has_no_stage_that_an_image_never_reaches(architecture, depth):
    network = build_network(Segmentation(kind="segmentation", architecture=architecture, encoder_depth=depth))
    assert network.training
    assert all(weight.grad is None for weight in network.parameters())
    network(torch.rand(2, 1, 64, 64)).sum().backward()
    assert [name for name, weight in network.named_parameters() if weight.grad is None] == []


def test_the_stages_left_have_the_weights_that_they_would_have_had():
    torch.manual_seed(0)
    shallow = build_network(Segmentation(kind="segmentation", encoder_depth=3)).state_dict()
    torch.manual_seed(0)
    full = smp.Unet("resnet18", 3, None, decoder_channels=(64, 32, 16), in_channels=1).state_dict()
    assert sum(map(torch.numel, shallow.values())) < 0.1 * sum(map(torch.numel, full.values()))
    assert all(torch.equal(values, full[name]) for name, values in shallow.items())


@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o027, 0o640)])
def test_whoever_the_umask_lets_can_read_what_a_training_leaves(tmp_path, umask, mode):
    before = os.umask(umask)
    try:
        save_network(tmp_path, build_network(TINY), task_of(TINY, {}), pixel_size=0.8, info={})
        save_checkpoint(tmp_path / "checkpoint.pt", {"epoch": 1})
    finally:
        os.umask(before)
    modes = {file.name: file.stat().st_mode & 0o777 for file in tmp_path.iterdir()}
    assert modes == dict.fromkeys(("weights.safetensors", "network.json", "checkpoint.pt"), mode)


def test_unknown_encoder_is_refused_with_similar_names():
    with pytest.raises(TrainingError, match=r"encoder is 'resnet19'; allowed: .*resnet18"):
        build_network(Segmentation(kind="segmentation", encoder="resnet19"))


def test_impossible_combination_of_encoder_and_architecture_is_refused():
    with pytest.raises(TrainingError, match="mit_b0 cannot be used with architecture linknet"):
        build_network(Segmentation(kind="segmentation", encoder="mit_b0", architecture="linknet"))


def test_saved_network_predicts_the_same_after_loading(saved):
    network, folder = saved
    images = torch.rand(2, 1, 32, 32)
    for path in (folder, folder / "weights.safetensors"):
        loaded = load_network(path)
        assert not loaded.module.training
        with torch.no_grad():
            torch.testing.assert_close(loaded.module(images), network(images), rtol=0, atol=1e-5)
        for name, tensor in network.state_dict().items():
            assert torch.equal(loaded.module.state_dict()[name], tensor)
        assert (loaded.model, loaded.pixel_size, loaded.info) == (TINY, 0.8, {"seed": 3, "best_epoch": 2})


def test_saving_leaves_nothing_but_the_two_files(saved):
    assert sorted(path.name for path in saved[1].iterdir()) == ["network.json", "weights.safetensors"]


def test_nothing_is_unpickled_when_loading(saved, monkeypatch):
    def refuse(*args, **kwargs):
        raise AssertionError("unpickled")

    monkeypatch.setattr(pickle, "load", refuse)
    monkeypatch.setattr(pickle, "Unpickler", refuse)
    monkeypatch.setattr(torch, "load", refuse)
    load_network(saved[1])


def test_missing_file_is_named(saved):
    (saved[1] / "network.json").unlink()
    with pytest.raises(TrainingError, match=r"network\.json does not exist"):
        load_network(saved[1])


@pytest.mark.parametrize("damage", ["truncated", "flipped"])
def test_damaged_weights_are_named(saved, damage):
    path = saved[1] / "weights.safetensors"
    content = bytearray(path.read_bytes())
    if damage == "truncated":
        content = content[: len(content) // 2]
    else:
        content[-100] ^= 1
    path.write_bytes(content)
    with pytest.raises(TrainingError, match=r"weights\.safetensors is damaged or does not belong to"):
        load_network(saved[1])


@pytest.mark.parametrize("text", ["{", "[]", '{"model": {"kind": "segmentation", "colour": 3}}'])
def test_description_that_is_no_network_is_named(saved, text):
    (saved[1] / "network.json").write_text(text)
    with pytest.raises(TrainingError, match=r"network\.json does not describe a network"):
        load_network(saved[1])


def test_a_changed_description_is_named(saved):
    path = saved[1] / "network.json"
    path.write_text(path.read_text().replace('"pixel_size": 0', '"pixel_size": 1', 1))
    with pytest.raises(TrainingError, match=r"network\.json does not describe a network .*its checksum differs"):
        load_network(saved[1])


def test_weights_of_another_architecture_are_refused(saved):
    path = saved[1] / "network.json"
    description = unsealed(json.loads(path.read_text()))
    description["model"]["encoder_depth"] = 4
    path.write_text(json.dumps(description))
    with pytest.raises(TrainingError, match="does not fit the network"):
        load_network(saved[1])


def test_weights_file_is_plain_safetensors(saved):
    content = (saved[1] / "weights.safetensors").read_bytes()
    (length,) = struct.unpack("<Q", content[:8])
    assert json.loads(content[8 : 8 + length])["segmentation_head.0.weight"]["shape"][0] == 1
