import numpy as np
import torch

from exitwave.training.symmetry import augment, transform


def test_the_eight_symmetries_are_distinct_and_the_first_changes_nothing():
    field = torch.arange(16.0).reshape(4, 4)
    results = [transform(field, symmetry) for symmetry in range(8)]
    assert torch.equal(results[0], field)
    assert len({tuple(result.flatten().tolist()) for result in results}) == 8


def test_an_image_and_its_mask_get_the_same_symmetry():
    rng = np.random.default_rng(1)
    images = torch.as_tensor(rng.random((200, 6, 6)))
    turned, masks = augment(images, images > 0.5, rng)
    assert torch.equal(turned > 0.5, masks)


def test_all_eight_symmetries_are_equally_likely():
    field = torch.arange(16.0).reshape(4, 4)
    turned, _ = augment(field.expand(4000, 4, 4), field.expand(4000, 4, 4), np.random.default_rng(2))
    counts = [int((turned == transform(field, symmetry)).all((1, 2)).sum()) for symmetry in range(8)]
    assert sum(counts) == 4000
    assert max(abs(count - 500) for count in counts) < 5 * np.sqrt(500)
