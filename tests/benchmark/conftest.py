import numpy as np
import pytest


@pytest.fixture
def gray():
    return np.random.default_rng(4).integers(0, 255, (40, 50)).astype(np.uint8)
