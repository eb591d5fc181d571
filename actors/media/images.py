"""Guide images as uint8 RGB arrays of the job's size, upright and over black."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from actors.failures import classify
from actors.media.opening import open_image
from jobs.errors import InvalidInput, StageBug, StageError
from jobs.planning.facts import ImageFact

if TYPE_CHECKING:
    from PIL.Image import Image

    from jobs.spec.base import Fit

WIDEST_GRAY = 65535
OPAQUE = 255


def read_image(path: str | Path, width: int, height: int, fit: Fit = "crop") -> np.ndarray:
    """Pixels of an image, uint8 RGB `[height, width, 3]`, scaled to cover that size and centre-cropped, or
    with `pad` to fit into it, with black bars.

    Turned upright as its EXIF tag says; transparent parts are shown over black. Raises InvalidInput when it
    is no whole image of a format that is read, StorageProblem when the storage refuses it, OutOfMemory.
    """
    from PIL import Image, ImageOps

    with _image(path) as opened:
        image = _to_rgb(ImageOps.exif_transpose(opened))
    if image.size != (width, height):
        conform = ImageOps.fit if fit == "crop" else ImageOps.pad
        image = conform(image, (width, height), Image.Resampling.LANCZOS)
    return np.asarray(image)


def probe_image(path: str | Path) -> ImageFact:
    """Size of an image, and whether any pixel is transparent; it is decoded. Raises as `read_image`."""
    with _image(path) as opened:
        size = opened.size
        # A JPEG is read to its end at an eighth of its size, for less memory; other formats know no draft.
        opened.draft("RGB", (1, 1))
        return ImageFact(*size, transparent=_is_transparent(opened))


@contextmanager
def _image(path: str | Path) -> Iterator[Image]:
    """The image at `path`, its check sums compared. Raises as `read_image`."""
    from PIL import Image, UnidentifiedImageError

    try:
        with open_image(path) as opened:
            # Reading the pixels of a PNG does not compare check sums.
            opened.verify()
        with open_image(path) as opened:
            yield opened
    except UnidentifiedImageError as error:
        raise _no_image(path, "nothing in it says which") from error
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise _unreadable(path, error) from error


def _unreadable(path: str | Path, error: Exception) -> StageError:
    """What keeps an image from being read: storage, memory, or else the file itself."""
    if isinstance(error, OSError) and error.errno and not error.filename:
        error.filename = str(path)
    problem = classify(error, "could not read the image")
    if not isinstance(problem, StageBug):
        return problem
    return _no_image(path, str(error))


def _no_image(path: str | Path, why: str) -> InvalidInput:
    return InvalidInput(f"{path} cannot be read as an image ({why}); name a PNG, JPEG or WebP file")


def _is_transparent(image: Image) -> bool:
    """Whether any pixel is; reads the image."""
    image.load()
    if not image.has_transparency_data:
        return False
    alpha = image if image.mode in ("RGBA", "LA") else image.convert("RGBA")
    return alpha.getchannel("A").getextrema()[0] < OPAQUE  # type: ignore[operator]


def _to_rgb(image: Image) -> Image:
    """Eight bits a channel, over black; Pillow itself would clip deeper grey instead of scaling it."""
    from PIL import Image as images

    if image.mode == "I" or image.mode.startswith("I;16"):
        grey = np.asarray(image, dtype=np.uint32)
        return images.fromarray((grey * 255 // WIDEST_GRAY).astype(np.uint8)).convert("RGB")
    if not image.has_transparency_data:
        return image.convert("RGB")
    layer = image.convert("RGBA")
    black = images.new("RGBA", layer.size, (0, 0, 0, OPAQUE))
    return images.alpha_composite(black, layer).convert("RGB")
