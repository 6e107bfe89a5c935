import numpy as np
import pytest
import torch
from PIL import Image

from exitwave.benchmark.particles import particle_table, save_overlay
from exitwave.benchmark.prediction import predict_image, tile_edge
from exitwave.config.models import Segmentation
from exitwave.training.kinds import task_of
from exitwave.training.networks import LoadedNetwork


class Darkness(torch.nn.Module):
    """Logit that is high where the normalised image is dark."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.tensor(-20.0))
        self.seen = []

    def forward(self, images):
        self.seen.append(images)
        return self.weight * (images - 0.5)


def make_network(**info):
    model = Segmentation.model_validate({"kind": "segmentation", "preprocessing": {"median": 3}})
    return LoadedNetwork(Darkness(), task_of(model, {}), 0.8, info)


@pytest.mark.parametrize("pixel_size", [0.3, 0.59, 0.8, 1.1])
@pytest.mark.parametrize("symmetry_average", [False, True])
def test_a_disc_is_found_with_its_area_whatever_the_pixel(pixel_size, symmetry_average):
    edge = round(120 / pixel_size)
    y, x = (np.indices((edge, edge + 11)) + 0.5) * pixel_size
    disc = np.hypot(y - 60, x - 55) < 30
    image = np.where(disc, 40.0, 90.0).astype(np.float32)
    probability = predict_image(make_network(image_size=128), image, pixel_size, 0.5, symmetry_average)
    assert probability.shape == disc.shape
    assert -1e-6 <= probability.min() <= probability.max() <= 1 + 1e-6
    mask = probability >= 0.5
    assert mask.sum() * pixel_size**2 == pytest.approx(np.pi * 30**2, rel=0.03)
    assert (mask != disc).mean() < 0.02


def test_the_network_sees_tiles_of_its_own_size_each_normalised_by_itself():
    network = make_network(image_size=64)
    ramp = np.tile(np.linspace(0, 1000, 400), (100, 1)).astype(np.float32)
    predict_image(network, ramp, 0.8)
    tiles = torch.cat(network.module.seen)
    assert tiles.shape[1:] == (1, 64, 64)
    assert torch.allclose(tiles.amin(dim=(1, 2, 3)), torch.tensor(0.0))
    assert torch.allclose(tiles.amax(dim=(1, 2, 3)), torch.tensor(1.0))


def test_a_hot_pixel_changes_nothing():
    image = np.random.default_rng(0).normal(100, 1, (128, 128)).astype(np.float32)
    hot = image.copy()
    hot[50, 60] = 1e6
    one, other = (predict_image(make_network(), i, 0.8) for i in (image, hot))
    assert np.abs(one - other)[:40].max() < 1e-3


@pytest.mark.parametrize(("size", "edge"), [(128, 128), (100, 128), (130, 160)])
def test_tiles_can_be_halved_by_the_encoder(size, edge):
    assert tile_edge(make_network(image_size=size)) == edge


def test_particle_table_measures_discs_in_angstrom():
    y, x = np.indices((200, 300)) * 0.5
    mask = (np.hypot(y - 30, x - 40) < 15) | (np.hypot(y - 60, x - 149) < 20)
    table = particle_table(mask, 0.5)
    assert list(table["touches_edge"]) == [False, True]
    first = table.iloc[0]
    assert first["equivalent_diameter"] == pytest.approx(30, rel=0.01)
    assert first["area"] == pytest.approx(np.pi * 15**2, rel=0.02)
    assert (first["centroid_y"], first["centroid_x"]) == pytest.approx((30, 40), abs=0.1)


def test_particle_table_of_an_empty_mask_has_its_columns():
    table = particle_table(np.zeros((40, 40), bool), 0.5)
    assert table.empty
    assert "equivalent_diameter" in table.columns


@pytest.mark.parametrize("full", [False, True])
def test_overlay_shows_the_image_with_outlines(tmp_path, full):
    image = np.random.default_rng(0).random((60, 90)).astype(np.float32)
    mask = np.full(image.shape, full)
    mask[20:40, 30:60] = True
    save_overlay(image, mask, tmp_path / "a.png", expert=np.roll(mask, 5))
    picture = np.asarray(Image.open(tmp_path / "a.png").convert("RGB")).astype(int)
    assert picture.shape[1] / picture.shape[0] == pytest.approx(1.5, rel=0.01)
    colored = (np.ptp(picture, axis=-1) > 60).any()
    assert colored != full
