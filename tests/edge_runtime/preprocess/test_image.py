"""Pictures on the device become the pixels that the model was trained and evaluated on."""

from __future__ import annotations

import io
import json
import struct
import time
import zlib
from pathlib import Path

import numpy as np
import pytest
from bundles import KEY, make_bundle
from PIL import Image, ImageOps

from compress.data import image_folder
from edge_runtime import limits
from edge_runtime.bundle import archive
from edge_runtime.bundle.manifest import Tensor
from edge_runtime.errors import ImageError, InputError, InputTooLargeError, ManifestError
from edge_runtime.preprocess import image, make


def noise(height: int, width: int, *, seed: int = 0) -> Image.Image:
    """Coloured, with detail at every scale, so that a difference in resizing shows."""
    random = np.random.default_rng(seed)
    coarse = np.kron(random.integers(0, 256, (4, 4, 3)), np.ones((height // 4 + 1, width // 4 + 1, 1)))
    fine = random.integers(-40, 41, (height, width, 3))
    return Image.fromarray((coarse[:height, :width] + fine).clip(0, 255).astype(np.uint8))


def encoded(picture: Image.Image, kind: str, **options: object) -> bytes:
    stream = io.BytesIO()
    picture.save(stream, kind, **options)
    return stream.getvalue()


def turned(orientation: int) -> bytes:
    exif = Image.Exif()
    exif[image.ORIENTATION] = orientation
    return encoded(noise(31, 45), "JPEG", exif=exif, quality=95)


PICTURES = {
    "large.png": encoded(noise(101, 67), "PNG"),
    "small.png": encoded(noise(9, 11), "PNG"),
    "exact.png": encoded(noise(28, 20), "PNG"),
    "grey.png": encoded(noise(50, 50).convert("L"), "PNG"),
    "palette.png": encoded(noise(50, 40).quantize(32), "PNG"),
    "seethrough.png": encoded(noise(50, 40).convert("RGBA"), "PNG"),
    "one-bit.png": encoded(noise(50, 40).convert("1"), "PNG"),
    "photo.jpg": encoded(noise(120, 90), "JPEG", quality=80),
    "print.jpg": encoded(noise(60, 60).convert("CMYK"), "JPEG"),
    "moving.gif": encoded(noise(40, 40), "GIF", save_all=True, append_images=[noise(40, 40, seed=1)]),
    "web.webp": encoded(noise(64, 80), "WEBP", quality=70),
    "scan.tif": encoded(noise(64, 80), "TIFF"),
    "old.bmp": encoded(noise(33, 21), "BMP"),
    "plain.ppm": encoded(noise(33, 21), "PPM"),
    **{f"turned-{number}.jpg": turned(number) for number in range(1, 9)},
}


@pytest.mark.parametrize("channels", [1, 3])
def test_pixels_are_those_that_the_workstation_reads(tmp_path: Path, channels: int):
    for number, place in enumerate(("train/a", "train/b", "test/a", "test/b")):
        (tmp_path / place).mkdir(parents=True)
        # No two alike: the workstation drops a picture that is in both splits.
        Image.new("RGB", (5, 5), (60 * number, 7, 7)).save(tmp_path / place / "filler.png")
    for name, data in PICTURES.items():
        (tmp_path / "test/b" / name).write_bytes(data)
    data = image_folder.load(path=tmp_path, validation=0, calibration=0, seed=0, size=[28, 20], channels=channels)
    on_the_device = {name: image.decode(data, size=(28, 20), channels=channels) for name, data in PICTURES.items()}
    on_the_workstation = {pixels.tobytes() for pixels in data.test.inputs}
    assert [name for name, pixels in on_the_device.items() if pixels.tobytes() not in on_the_workstation] == []
    assert {pixels.shape for pixels in on_the_device.values()} == {(channels, 28, 20)}


def test_a_picture_taken_with_the_camera_held_sideways_is_turned_upright():
    upright = image.decode(turned(1), size=None, channels=3)
    sideways = image.decode(turned(6), size=None, channels=3)  # its top is on the right
    assert np.array_equal(np.rot90(upright, -1, axes=(1, 2)), sideways)


def test_every_orientation_of_exif_is_that_of_pillow():
    for number in range(1, 9):
        with Image.open(io.BytesIO(turned(number))) as picture:
            picture.load()
            assert np.array_equal(image.upright(picture), ImageOps.exif_transpose(picture))


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
@pytest.mark.parametrize(
    "exif", [b"Exif\0\0garbage", b"Exif\0\0MM\0*\xff\xff\xff\xff", b"Exif\0\0II*\0\x08\0\0\0\xff\xff"]
)
def test_damaged_exif_leaves_the_picture_as_it_is(exif: bytes):
    plain, damaged = (encoded(noise(30, 40), "JPEG", **options) for options in ({}, {"exif": exif}))
    assert np.array_equal(image.decode(plain, size=None, channels=3), image.decode(damaged, size=None, channels=3))


def png_that_claims(width: int, height: int) -> bytes:
    """A few bytes of header; what is behind it does not matter, as it must not be reached."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">2I5B", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" * 100)) + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize("sides", [(5001, 5000), (10_000, 10_000), (60_000, 60_000), (2**31 - 1, 2**31 - 1)])
def test_a_decompression_bomb_is_refused_before_it_is_decoded(sides: tuple[int, int], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", lambda self: pytest.fail("it was decoded"))
    with pytest.raises(InputTooLargeError, match="25000000 pixels") as refused:
        image.decode(png_that_claims(*sides), size=(28, 28), channels=3)
    assert (refused.value.code, refused.value.status) == ("input-too-large", 413)


def test_a_picture_whose_scans_would_take_hours_is_refused_at_once():
    """A progressive JPEG goes over the whole picture with every scan, and an empty scan takes 42 bytes."""
    data = encoded(Image.new("L", (4999, 4999), 128), "JPEG", progressive=True)
    last = data[data.rfind(image.START_OF_SCAN) : -2]
    start = time.perf_counter()
    with pytest.raises(InputTooLargeError, match="32 scans"):
        image.decode(data[:-2] + last * 100_000 + data[-2:], size=(28, 28), channels=1)
    assert time.perf_counter() - start < 1


def test_a_progressive_picture_is_read():
    data = encoded(noise(60, 60), "JPEG", progressive=True)
    assert data.count(image.START_OF_SCAN) > 5
    assert image.decode(data, size=(28, 28), channels=3).shape == (3, 28, 28)


def test_a_picture_as_large_as_allowed_is_read():
    flat = encoded(Image.new("L", (5000, 5000)), "PNG")
    assert image.decode(flat, size=(2, 2), channels=1).tolist() == [[[0, 0], [0, 0]]]


@pytest.mark.parametrize("data", [b"", b"hello", b"<svg/>", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n"])
def test_what_is_no_picture_of_a_known_kind_is_refused(data: bytes):
    with pytest.raises(ImageError, match="known kind; send PNG, JPEG") as refused:
        image.decode(data, size=(28, 28), channels=3)
    assert (refused.value.code, refused.value.status) == ("image-unreadable", 400)


def test_only_the_named_decoders_see_the_bytes():
    """Pillow reads EPS by starting Ghostscript; a DDS, an ICO or a PDF-like file has no business here either."""
    for kind in ("ICO", "DDS", "TGA", "SGI", "PCX"):
        data = encoded(noise(32, 32), kind)
        with pytest.raises(ImageError, match="known kind"):
            image.decode(data, size=(28, 28), channels=3)


@pytest.mark.parametrize("name", ["photo.jpg", "large.png", "web.webp", "scan.tif", "moving.gif", "old.bmp"])
def test_a_picture_cut_short_or_damaged_is_refused_or_read_and_nothing_else(name: str):
    random, data = np.random.default_rng(1), PICTURES[name]
    damaged = [data[: int(len(data) * share)] for share in (0.05, 0.3, 0.9)]
    for _ in range(40):
        flipped = bytearray(data)
        for place in random.integers(0, len(data), 5):
            flipped[place] ^= int(random.integers(1, 256))
        damaged.append(bytes(flipped))
    refused = 0
    for bytes_ in damaged:
        try:
            assert image.decode(bytes_, size=(28, 28), channels=3).shape == (3, 28, 28)
        except InputError:
            refused += 1
    assert refused


def test_sixteen_bits_a_pixel_are_refused_rather_than_clipped():
    deep = encoded(Image.fromarray(np.full((30, 30), 40_000, np.uint16)), "PNG")
    with pytest.raises(ImageError, match="more than 8 bits a pixel"):
        image.decode(deep, size=(28, 28), channels=1)


def prepare_of(tmp_path: Path, **changes: object):
    path = make_bundle(tmp_path, **changes)
    (tmp_path / "unpacked").mkdir()
    return make(archive.unpack(path, tmp_path / "unpacked", [KEY.public]))


def test_raw_pixels_are_taken_as_they_are(tmp_path: Path):
    prepare = prepare_of(tmp_path)
    pixels = np.arange(784, dtype=np.uint8).reshape(1, 28, 28)
    stream = io.BytesIO()
    np.save(stream, pixels)
    picture, text = encoded(Image.fromarray(pixels[0]), "PNG"), json.dumps(pixels.tolist()).encode()
    for item in (pixels, pixels[None], pixels.tolist(), text, stream.getvalue(), picture):
        prepared = prepare(item)
        assert (prepared.dtype, prepared.shape) == (np.uint8, (1, 1, 28, 28))
        assert np.array_equal(prepared[0], pixels)


@pytest.mark.parametrize(
    "item", ["boot.png", "/etc/passwd", {}, None, [[256]], [[0.5]], b"[", b"[[1]]", np.zeros((28, 28, 1), np.uint8)]
)
def test_anything_else_is_refused(tmp_path: Path, item: object):
    with pytest.raises(InputError):
        prepare_of(tmp_path)(item)


def test_a_manifest_whose_pictures_do_not_fit_its_model_is_refused(tmp_path: Path):
    wrong = {"kind": "image", "size": [32, 32], "channels": 1, "resize": "bilinear"}
    with pytest.raises(ManifestError, match=r"pictures become \(1, 32, 32\)"):
        prepare_of(tmp_path, preprocess=wrong)


def test_pixels_that_the_models_dtype_cannot_hold_are_refused(tmp_path: Path):
    with pytest.raises(ManifestError, match="which int8 cannot hold"):
        prepare_of(tmp_path, inputs=(Tensor("input", "int8", (None, 1, 28, 28)),))


def test_a_file_larger_than_the_cap_is_refused_unread(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(limits, "INPUT_BYTES", 100)
    with pytest.raises(InputTooLargeError, match="100 bytes"):
        image.decode(PICTURES["photo.jpg"], size=(28, 28), channels=3)
