"""Where training pictures come from, which of them may be used, and what is cut out of them.

A data set is written ``kind:path`` (or only a path: a folder, or a ``.tar`` read as a stream):

=============== ==============================================================================================
``ilsvrc``      ILSVRC 2012, validation and test merged, as the paper does: folders or tars whose names hold
                ``val`` or ``test``
``div2k-train`` DIV2K training pictures, those that have a gray partner (794 of 800 in the NTIRE 2019 challenge)
``div2k-val``   DIV2K's 100 validation pictures, likewise
``bsds500``     BSDS500, the folders ``train`` and ``val``; ``bsds500/train`` is also simply a folder
``lfw``         Labeled Faces in the Wild: the middle of each picture (its borders are black wedges), grouped by person
``caltech101``  Caltech-101 without its plants, which are the example of somebody's own folder
``folder``      every picture below a folder
``tar``         every picture in a tar archive, or in every tar of a folder
=============== ==============================================================================================
"""

from __future__ import annotations

import hashlib
import re
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from colorcapsnet import color, patches, pictures, progress, scale
from colorcapsnet.errors import DataError, OutputError, PictureError

GRAY_IN_COLOR = 3.0  # mean Lab chroma below which a picture teaches no color (EVALUATION protocol)
NEAR_DUPLICATE = 6  # of 64 bits of the perceptual hash
BLANK, MOSTLY_BLANK = 250, 0.2  # a cut-out, a logo or a drawing: so much of it is this gray or whiter
PLANTS = frozenset({"sunflower", "lotus", "water_lilly", "bonsai", "joshua_tree", "strawberry"})  # of Caltech-101


@dataclass(frozen=True, slots=True)
class Source:
    """One picture of a data set, not read yet.

    Attributes:
        name: unique within the data set, with ``/``; stable from machine to machine.
        path: the picture's file, or the tar that holds it.
        offset: where the picture's bytes begin in the tar, or -1 for a file of its own.
        size: how many bytes, for a picture in a tar.
        gray: file of the gray partner, where the data set gives one.
        group: pictures of one group (a person, a video) are held out together, or not at all.
        middle: side of the square in the middle that is used, 0 for all.
    """

    name: str
    path: Path
    offset: int = -1
    size: int = -1
    gray: Path | None = None
    group: str = ""
    middle: int = 0

    def read(self) -> bytes:
        """The picture file's bytes.

        Raises:
            DataError: they cannot be read any more.
        """
        try:
            with self.path.open("rb") as file:
                if self.offset < 0:
                    return file.read()
                file.seek(self.offset)
                return file.read(self.size)
        except OSError as error:
            raise DataError(f"{self.path}: cannot be read ({error.strerror})") from error


def open_set(spec: str) -> list[Source]:
    """All pictures of a data set, in a fixed order.

    Args:
        spec: ``kind:path`` or a path, see the head of this module.

    Raises:
        DataError: nothing is there, or it does not hold what its kind should; the message says what was expected.
    """
    kind, _, rest = spec.partition(":")
    if kind not in _KINDS or not rest:
        kind, rest = ("tar" if Path(spec).suffix == ".tar" else "folder"), spec
    root = Path(rest).expanduser()
    if not root.exists():
        raise DataError(f"{root} does not exist; expected the data set {kind!r} there")
    sources = sorted(_KINDS[kind](root), key=lambda source: source.name)
    if not sources:
        raise DataError(f"{root} holds no pictures ({', '.join(sorted(pictures.SUFFIXES))})")
    return sources


def is_held(source: Source, content: bytes, one_in: int) -> bool:
    """Whether a picture belongs to the held part of its set, by the hash of its group if it has one, or of its file."""
    return held_out(sha256(source.group.encode() if source.group else content), one_in)


def write_held(spec: str, one_in: int, folder: Path) -> int:
    """Write the held part of a data set as picture files, for evaluation and to keep training away from them.

    Files are the set's own, to the byte; where only a picture's middle is used, that is written as PNG.

    Args:
        spec: as :func:`open_set` takes it.
        one_in: see :func:`held_out`.
        folder: where to; files that are there already are left alone.

    Returns:
        How many pictures the held part has; files that are no pictures do not count.

    Raises:
        DataError: the set is missing, or names a picture by a path that leaves the folder.
        OutputError: a file cannot be written.
    """
    count = 0
    with progress.bar(f"holding out of {spec}", len(sources := open_set(spec))) as advance:
        for source in sources:
            advance()
            content = source.read()
            if not is_held(source, content, one_in):
                continue
            try:
                array = pictures.read(content).array
            except PictureError:
                continue
            count += 1
            target = folder / (f"{source.name}.png" if source.middle else source.name)
            if not target.resolve().is_relative_to(folder.resolve()):
                raise DataError(f"{source.path} holds {source.name}, which would be written outside {folder}")
            if not target.exists():
                if source.middle:
                    middle = pictures.Picture.from_array(np.ascontiguousarray(_middle(array, source.middle)))
                    content = pictures.encode(middle, "png")
                _write_whole(target, content)
    return count


def _middle(array: NDArray[Any], side: int) -> NDArray[Any]:
    height, width = array.shape[:2]
    if not side or min(height, width) <= side:
        return array
    top, left = (height - side) // 2, (width - side) // 2
    return array[top : top + side, left : left + side]


def _write_whole(target: Path, content: bytes) -> None:
    temporary = target.with_name(f".{target.name}.tmp")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_bytes(content)
        temporary.replace(target)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise OutputError(f"{target} cannot be written ({error.strerror}); make room and start again") from error


def held_out(digest: str, one_in: int) -> bool:
    """Whether a picture belongs to the held part of its set: its hash, as a number, mod ``one_in``, is 0.

    Args:
        digest: SHA-256 of the picture file, or of its group's name, in hexadecimal.
        one_in: 20 for most sets, 4 for small ones, 0 for a set of which nothing is held.
    """
    return one_in > 0 and int(digest, 16) % one_in == 0


def sha256(content: bytes) -> str:
    """SHA-256 in hexadecimal."""
    return hashlib.sha256(content).hexdigest()


def perceptual_hash(gray: NDArray[np.uint8]) -> int:
    """64 bits that stay nearly the same when a picture is resized or saved again.

    The signs of the 8 x 8 lowest frequencies (DCT of the picture at 32 x 32) against their median (Zauner 2010).
    """
    small = cv2.resize(gray, (32, 32), interpolation=cv2.INTER_AREA).astype(np.float32)
    low = cv2.dct(small)[:8, :8].ravel()
    return int.from_bytes(np.packbits(low > np.median(low)).tobytes(), "big")


def near_duplicate(digest: int, others: NDArray[np.uint64]) -> bool:
    """Whether a perceptual hash is within 6 bits of any of ``others``, ``(n,)``."""
    return bool((np.bitwise_count(others ^ np.uint64(digest)) <= NEAR_DUPLICATE).any())


def coded(rgb: NDArray[Any], gray: NDArray[np.uint8] | None = None) -> NDArray[np.uint8]:
    """A training picture as networks take it: gray and the paper's 8-bit Lab code.

    Args:
        rgb: ``(H, W, 3)`` uint8 or uint16 sRGB (16 bits are rounded to 8 first).
        gray: ``(H, W)`` uint8, the input; by default Rec.601.

    Returns:
        ``(H, W, 4)`` uint8: gray, L, a, b.
    """
    rgb = color.eight_bits(rgb)
    gray = np.asarray(color.gray(rgb), np.uint8) if gray is None else gray
    return np.dstack([gray, color.encode(color.srgb_to_lab(rgb))])


def mean_chroma(coded_picture: NDArray[np.uint8]) -> float:
    """Mean Lab chroma of a picture that :func:`coded` made."""
    ab = coded_picture[..., 2:].astype(np.float32) - 128
    return float(np.hypot(ab[..., 0], ab[..., 1]).mean())


@dataclass(frozen=True)
class Sampling:
    """What is cut out of each training picture.

    Attributes:
        patch: side of the patches.
        every: keep every k-th patch (counted row by row from an offset that the picture's hash gives).
        shrink: the picture is made this many times smaller on each side first.
    """

    patch: int = 9
    every: int = 1
    shrink: float = 1.0

    def __post_init__(self) -> None:
        if self.patch < 1 or self.every < 1 or self.shrink < 1:
            raise ValueError(f"patch, every and shrink are 1 or more, not {self.patch}, {self.every}, {self.shrink}")

    def count(self, height: int, width: int) -> float:
        """How many patches a picture gives, on average over the offsets."""
        rows, columns = (max(1, round(side / self.shrink)) // self.patch for side in (height, width))
        return rows * columns / self.every

    def cut(self, coded_picture: NDArray[np.uint8], digest: str) -> NDArray[np.uint8]:
        """Patches of a picture that :func:`coded` made: ``(H, W, 4)`` -> ``(patches, n, n, 4)``."""
        full = patches.cut_full(scale.shrink(coded_picture, self.shrink), self.patch)
        return full[int(digest, 16) % self.every :: self.every]


@dataclass(frozen=True)
class Whole:
    """Training pictures are kept whole, shrunk where they are larger than need be.

    Attributes:
        shorter: the shorter side, at most.
    """

    shorter: int = 288

    def cut(self, coded_picture: NDArray[np.uint8], digest: str) -> NDArray[np.uint8]:
        """A picture that :func:`coded` made: ``(H, W, 4)`` -> gray, a, b ``(1, h, w, 3)``; cut-outs give none."""
        del digest
        gray = coded_picture[..., 0]
        if (gray >= BLANK).mean() > MOSTLY_BLANK:
            return np.empty((0, 1, 1, 3), np.uint8)
        factor = max(1.0, min(gray.shape) / self.shorter)
        return scale.shrink(np.ascontiguousarray(coded_picture[..., [0, 2, 3]]), factor)[None]


def read_gray(source: Source, content: bytes) -> NDArray[np.uint8]:
    """The gray that a model is given for a picture: its partner's, if it has one, or Rec.601; ``(H, W)`` uint8.

    Raises:
        PictureError: the picture is damaged.
    """
    gray = pictures.read(source.gray or content).gray
    return np.ascontiguousarray(color.eight_bits(_middle(gray, source.middle)))


def read_coded(source: Source, content: bytes) -> NDArray[np.uint8]:
    """Read a picture and its gray partner, if it has one, and code them: ``(H, W, 4)`` uint8.

    Raises:
        PictureError: the picture or its partner is damaged, or they differ in size.
    """
    rgb: NDArray[Any] = _middle(pictures.read(content).array, source.middle)
    if rgb.ndim == 2:
        rgb = np.repeat(rgb[..., None], 3, axis=-1)
    if source.gray is None:
        return coded(rgb)
    gray = pictures.read(source.gray).gray
    if gray.shape != rgb.shape[:2] or gray.dtype != np.uint8:
        raise PictureError(
            f"{source.gray} is {gray.shape[1]}x{gray.shape[0]}, {gray.dtype}; its color partner is "
            f"{rgb.shape[1]}x{rgb.shape[0]}: give the matching 8-bit gray"
        )
    return coded(rgb, np.asarray(gray, np.uint8))


def _is_picture(name: str) -> bool:
    path = PurePosixPath(name)
    return path.suffix.lower() in pictures.SUFFIXES and not path.name.startswith(".")


def _folder(root: Path) -> Iterator[Source]:
    for path in root.rglob("*"):
        name = path.relative_to(root).as_posix()
        if _is_picture(name) and path.is_file():
            yield Source(name, path)


def _tar(root: Path) -> Iterator[Source]:
    for path in sorted(root.glob("*.tar")) if root.is_dir() else [root]:
        prefix = f"{path.stem}/" if root.is_dir() else ""
        try:
            with tarfile.open(path, "r:") as archive:
                for member in archive:
                    if member.isfile() and _is_picture(member.name):
                        yield Source(prefix + member.name, path, member.offset_data, member.size)
        except (tarfile.TarError, OSError) as error:
            raise DataError(f"{path} cannot be read as an uncompressed tar archive: {error}") from error


def _ilsvrc(root: Path) -> Iterator[Source]:
    parts = [path for path in sorted(root.iterdir()) if re.search(r"val|test", path.name.lower())]
    parts = [path for path in parts if path.is_dir() or path.suffix == ".tar"]
    if not parts:
        raise DataError(f"{root} has no folder or tar named like 'val' or 'test' (ILSVRC2012_img_val.tar, say)")
    for part in parts:
        for source in _folder(part) if part.is_dir() else _tar(part):
            yield Source(f"{part.stem}/{source.name}", source.path, source.offset, source.size)


def _div2k(split: str) -> Callable[[Path], Iterator[Source]]:
    def read(root: Path) -> Iterator[Source]:
        folders = [path for path in sorted(root.iterdir()) if path.is_dir() and split in path.name.lower()]
        grays = [path for path in folders if re.search(r"gr[ae]y|colorization", path.name.lower())]
        colors = [path for path in folders if path not in grays]
        if len(colors) != 1 or len(grays) > 1:
            raise DataError(
                f"{root} should hold one folder of color pictures named like 'DIV2K_{split}_HR' and at most one of "
                f"gray ones named like 'DIV2K_{split}_gray'; found {[path.name for path in folders]}"
            )
        partners = {path.stem[:4]: path for path in grays[0].iterdir()} if grays else {}
        for source in _folder(colors[0]):
            partner = partners.get(source.path.stem[:4])
            if partner or not grays:
                yield Source(source.name, source.path, gray=partner)

    return read


def _bsds500(root: Path) -> Iterator[Source]:
    for part in ("train", "val"):
        if not (root / part).is_dir():
            raise DataError(f"{root} has no folder {part!r}; BSDS500's pictures lie in 'train' and 'val'")
        for source in _folder(root / part):
            yield Source(f"{part}/{source.name}", source.path)


def _lfw(root: Path) -> Iterator[Source]:
    for source in _folder(root):
        yield replace(source, group=re.sub(r"_\d+$", "", PurePosixPath(source.name).stem), middle=175)


def _caltech101(root: Path) -> Iterator[Source]:
    return (source for source in _folder(root) if PLANTS.isdisjoint(PurePosixPath(source.name).parts))


_KINDS: dict[str, Callable[[Path], Iterator[Source]]] = {
    "ilsvrc": _ilsvrc,
    "div2k-train": _div2k("train"),
    "div2k-val": _div2k("val"),
    "bsds500": _bsds500,
    "lfw": _lfw,
    "caltech101": _caltech101,
    "folder": _folder,
    "tar": _tar,
}
