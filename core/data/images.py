"""Folders of images as a source: one folder per class, PNG or JPEG files in it. Needs Pillow, an extra."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..errors import ConfigError, DataError, MissingExtraError, ShapeError
from .assemble import Target, from_array
from .dataset import Dataset
from .source import LoadOptions, Source
from .task import Task

if TYPE_CHECKING:
    from PIL.Image import Image as Picture

SUFFIXES = frozenset({".png", ".jpg", ".jpeg"})
MAX_PIXELS = 2**26  # of one image; a small file may say that it has far more
_GREY = frozenset({"1", "L", "LA", "I", "I;16", "I;16B", "I;16L", "F"})


def read_image(path: Path, size: tuple[int, int] | None = None, channels: int | None = None) -> np.ndarray:
    """Read one image, shape (C, H, W), uint8; turned as a camera noted it.

    Args:
        path: a PNG or JPEG file.
        size: (height, width) to scale it to, with a bilinear filter.
        channels: 1 for grey, 3 for colour; None keeps what the file has.

    Raises:
        DataError: not such a file, damaged, or of more than 2**26 pixels.
        MissingExtraError: Pillow is not installed.
    """
    try:
        from PIL import Image, ImageOps
    except ImportError as exc:
        raise MissingExtraError(f"reading the image {path}", "images") from exc
    try:
        with Image.open(path, formats=("PNG", "JPEG")) as image:
            if image.width * image.height > MAX_PIXELS:
                raise DataError(f"{path}: {image.width} x {image.height} pixels are more than {MAX_PIXELS}")
            grey = image.mode in _GREY if channels is None else channels == 1
            upright = ImageOps.exif_transpose(image)
            pixels = _eight_bits(upright) if grey else upright.convert("RGB")
            if size is not None and (pixels.height, pixels.width) != size:
                pixels = pixels.resize((size[1], size[0]), Image.Resampling.BILINEAR)
            array = np.asarray(pixels, np.uint8)
    # What Pillow's parsers raise on damaged files.
    except (OSError, ValueError, SyntaxError, EOFError, KeyError, TypeError, IndexError, struct.error) as exc:
        if isinstance(exc, DataError):
            raise
        raise DataError(f"{path}: cannot be read as a PNG or JPEG image: {exc}", hint="write the image again") from exc
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as exc:
        raise DataError(f"{path}: {exc}") from exc
    return array[None] if array.ndim == 2 else array.transpose(2, 0, 1)


def _eight_bits(image: Picture) -> Picture:
    """Grey; 16 bits a pixel lose the lower eight."""
    if not image.mode.startswith("I"):
        return image.convert("L")
    from PIL import Image

    return Image.fromarray((np.clip(np.asarray(image), 0, 65_535) >> 8).astype(np.uint8))


def image_files(folder: Path) -> list[Path]:
    """The images below a folder in the order of their paths; hidden files and folders are left out."""
    found = [
        path
        for path in folder.rglob("*")
        if path.suffix.lower() in SUFFIXES
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
        and path.is_file()
    ]
    return sorted(found, key=lambda path: path.relative_to(folder).parts)


def _load(folder: Path, target: str | None, options: LoadOptions) -> Dataset:
    if not folder.is_dir():
        raise ConfigError(f"{folder}: expected a folder with a folder of images for each class, got a file")
    if target is not None or options.kind == "regression":
        said = "kind='regression'" if target is None else f"--target {target}"
        raise ConfigError(f"{folder}: the folders of images are its classes, got {said}")
    classes = tuple(sorted(path.name for path in folder.iterdir() if path.is_dir() and not path.name.startswith(".")))
    files = {name: image_files(folder / name) for name in classes}
    empty = [name for name, paths in files.items() if not paths]
    if not classes or empty:
        where = f"its folder {empty[0]!r} has none" if empty else "it has no folders"
        raise DataError(
            f"{folder}: expected one folder of .png or .jpg images per class; {where}",
            hint="put the images of each class into a folder of its own",
        )
    known = options.task.classes if options.task else classes
    strange = [name for name in classes if name not in known]
    if strange:
        raise DataError(f"{folder}: expected the classes {', '.join(known)}, got a folder {strange[0]!r}")
    images = _read_all([path for name in classes for path in files[name]], options)
    labels = np.repeat([known.index(name) for name in classes], [len(files[name]) for name in classes])
    read = Target("classification", labels.astype(np.int64), classes=known)
    return from_array(folder.name, str(folder), images, read, options)


def _read_all(paths: list[Path], options: LoadOptions) -> np.ndarray:
    """Shape (N, C, H, W), float32, 0 to 255. Grey images among coloured ones get three equal channels."""
    size, channels = options.image_size, None
    if options.task is not None:
        if not options.task.is_image:
            raise ShapeError(f"expected rows of shape {options.task.input_shape}, got images")
        channels, *shape = options.task.input_shape
        size = (shape[0], shape[1]) if size is None else size
    first = read_image(paths[0], size, channels)
    count, height, width = first.shape
    rows = np.empty((len(paths), count, height, width), np.float32)
    for place, path in enumerate(paths):
        image = first if place == 0 else read_image(path, size, channels)
        if image.shape[0] > count:
            rows, count = np.repeat(rows, 3, axis=1), 3
        if image.shape[1:] != (height, width):
            raise DataError(
                f"{path}: expected an image of {width} x {height} pixels like the first, "
                f"got {image.shape[2]} x {image.shape[1]}",
                hint="scale them to one size with LoadOptions(image_size=(height, width))",
            )
        rows[place] = image  # one channel is copied into all
    return rows


def _read_rows(path: Path, task: Task) -> np.ndarray:
    paths = image_files(path) if path.is_dir() else [path]
    if not paths:
        raise DataError(f"{path}: there are no .png or .jpg images")
    return _read_all(paths, LoadOptions(task=task)).reshape(len(paths), -1)


SOURCE = Source(
    summary="a folder of .png or .jpg images with a folder for each class",
    matches=lambda path: path.is_dir() or path.suffix.lower() in SUFFIXES,
    load=_load,
    read_rows=_read_rows,
)
