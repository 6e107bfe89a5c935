import io
import json
import shutil

import numpy as np
import pytest
import torch
from rich.console import Console
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from exitwave.benchmark.prediction import predict_image
from exitwave.errors import TrainingError
from exitwave.report.networks import known_networks, print_networks
from exitwave.training.bundle import load_bundle, load_networks, read_bundle, save_bundle, unpack_bundle
from exitwave.training.networks import load_network

SCORES = {"tiles": {"f1_pooled": 0.75, "f1_pooled_low": 0.7, "f1_pooled_high": 0.8}}


@pytest.fixture(scope="module")
def bundle(learned, tmp_path_factory):
    path = tmp_path_factory.mktemp("bundle") / "two.safetensors"
    one, both = learned.networks[1:], learned.networks
    save_bundle(path, {"outline": ("by phase", both, SCORES), "half": ("by thickness", one, {})})
    return path


def test_networks_of_a_bundle_give_what_they_gave_before(learned, bundle):
    image = np.random.default_rng(0).poisson(50, (40, 48)).astype(np.float32)
    for loaded, folder in zip(load_bundle(bundle), learned.networks, strict=True):
        before = load_network(folder)
        assert loaded.pixel_size == before.pixel_size
        assert loaded.info == before.info
        assert loaded.model == before.model
        after, full = (predict_image(network, image, 0.8).values for network in (loaded, before))
        np.testing.assert_allclose(after, full, atol=3e-3)
        assert not np.array_equal(after, full)  # half precision


def test_a_bundle_takes_half_the_room(learned, bundle):
    full = sum((folder / "weights.safetensors").stat().st_size for folder in (*learned.networks, learned.networks[1]))
    assert bundle.stat().st_size < 0.6 * full


def test_conventions_are_told_apart(bundle):
    assert list(read_bundle(bundle)) == ["outline", "half"]
    assert [len(load_bundle(bundle, name)) for name in (None, "outline", "half")] == [2, 2, 1]
    assert read_bundle(bundle)["outline"].scores == SCORES
    with pytest.raises(TrainingError, match="no convention 'inline'; allowed: outline, half"):
        load_bundle(bundle, "inline")


def test_what_is_given_as_networks_is_a_bundle_a_training_or_a_network(learned, bundle):
    assert len(load_networks(bundle)) == 2
    assert len(load_networks(bundle, "half")) == 1
    assert len(load_networks(learned.folder / "model")) == 2
    assert len(load_networks(learned.networks[0] / "weights.safetensors")) == 1
    with pytest.raises(TrainingError, match="'half' could be one; allowed: leave it out"):
        load_networks(learned.folder / "model", "half")
    with pytest.raises(TrainingError, match="holds no network"):
        load_networks(learned.folder / "missing")


def test_a_damaged_bundle_is_refused(bundle, tmp_path):
    changed = tmp_path / "changed.safetensors"
    with safe_open(bundle, "pt") as file:
        metadata = file.metadata()
    tensors = load_file(bundle)
    name = next(name for name, tensor in tensors.items() if tensor.dtype == torch.float16)
    tensors[name].view(-1)[0] += 1
    save_file(tensors, changed, metadata=metadata)
    with pytest.raises(TrainingError, match="damaged: its SHA-256 differs"):
        load_bundle(changed)
    cut = tmp_path / "cut.safetensors"
    cut.write_bytes(bundle.read_bytes()[:-100])
    with pytest.raises(TrainingError, match="is no file of networks"):
        load_bundle(cut)


def test_other_files_are_no_bundles(learned, tmp_path):
    other = tmp_path / "other.safetensors"
    shutil.copy(learned.networks[0] / "weights.safetensors", other)
    with pytest.raises(TrainingError, match="is no file of networks of this version"):
        load_networks(other)
    with pytest.raises(TrainingError, match="does not exist"):
        read_bundle(tmp_path / "missing.safetensors")


def test_networks_are_listed_with_what_they_have_learned(learned, bundle, tmp_path):
    trainings = tmp_path / "trainings"
    shutil.copytree(learned.folder / "model", trainings / "gold-1234")
    broken = trainings / "broken-5678" / "seed-0"
    shutil.copytree(learned.networks[0], broken)
    (broken / "network.json").write_text(json.dumps({"model": 1}))
    listed = known_networks((bundle,), trainings)
    assert [one.networks for one in listed] == [2, 1, 0, 2]
    assert listed[0].learned == "by phase"
    assert listed[0].scores.endswith("tiles 0.750")
    assert "cannot be read" in listed[2].learned
    assert listed[3].name.endswith("gold-1234")
    assert "phase" in listed[3].learned
    validation = np.median([load_network(folder).info["validation"]["validation_f1"] for folder in learned.networks])
    assert listed[3].scores == listed[0].scores.split(", ")[0] == f"hard F1 on validation {validation:.3f}"
    console = Console(width=140, file=io.StringIO(), record=True)
    print_networks(console, listed)
    text = console.export_text()
    assert "by phase" in text
    assert "…" not in text


def test_without_networks_the_list_is_empty(tmp_path):
    assert known_networks((tmp_path / "missing.safetensors",), tmp_path / "trainings") == []


def test_networks_are_unpacked_to_go_on_from_them(bundle, tmp_path):
    folders = unpack_bundle(bundle, tmp_path / "half", "half")
    assert [folder.name for folder in folders] == ["seed-0"]
    (packed,), (unpacked,) = load_bundle(bundle, "half"), load_networks(tmp_path / "half")
    assert unpacked.info == packed.info
    for name, tensor in packed.module.state_dict().items():
        assert torch.equal(tensor, unpacked.module.state_dict()[name])
    with pytest.raises(TrainingError, match="is there already; allowed: a new folder"):
        unpack_bundle(bundle, tmp_path / "half", "half")
