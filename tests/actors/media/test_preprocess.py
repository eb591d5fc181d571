from __future__ import annotations

import numpy as np
import pytest

from actors.media.preprocess import compress_image


def photograph(width: int, height: int) -> np.ndarray:
    """Smooth shapes with a little grain, as photographs have."""
    y, x = np.mgrid[0:height, 0:width] / 40
    waves = np.stack([np.sin(x + k) * np.cos(y - k) for k in range(3)], axis=-1)
    grain = np.random.default_rng(0).normal(0, 4, waves.shape)
    return np.clip(128 + 90 * waves + grain, 0, 255).astype(np.uint8)


def psnr(one: np.ndarray, other: np.ndarray) -> float:
    return float(10 * np.log10(255**2 / np.mean((one.astype(float) - other) ** 2)))


def test_zero_leaves_the_image_alone() -> None:
    image = photograph(96, 64)
    assert compress_image(image, 0) is image


def test_higher_factors_lose_more() -> None:
    image = photograph(256, 192)
    losses = [psnr(image, compress_image(image, crf)) for crf in (1, 15, 29, 45)]
    assert losses == sorted(losses, reverse=True)
    assert losses[0] > 36 > losses[2] > 26


def test_it_is_the_same_every_time() -> None:
    image = photograph(320, 192)
    assert np.array_equal(compress_image(image, 29), compress_image(image.copy(), 29))


def test_colours_and_brightness_stay() -> None:
    image = photograph(256, 192)
    assert np.abs(compress_image(image, 29).mean(axis=(0, 1)) - image.mean(axis=(0, 1))).max() < 1


@pytest.mark.parametrize(("width", "height"), [(32, 32), (64, 1024), (1280, 704)])
def test_every_legal_size(width: int, height: int) -> None:
    assert compress_image(photograph(width, height), 29).shape == (height, width, 3)
