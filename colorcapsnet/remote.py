"""Places beyond this machine's disks: ``s3://bucket/scans``, ``sftp://…``, all that fsspec knows.

A :class:`Url` has the few names of a path that planning needs. Pictures themselves are always read and written here:
:func:`reading` fetches one, :func:`writing` brings one away, and a path of this machine goes through both untouched.
What appears under its name over there is whole: stores of objects take a file in one step, and elsewhere it is renamed
when all of it is there.
"""

from __future__ import annotations

import os
import re
import secrets
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import Any, TypeAlias

from colorcapsnet.errors import ColorCapsNetError, MissingExtra, OutputError, PictureError, PlaceError, need

_SHAPE = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]+)(://(?P<path>.*?))?(?P<chain>::.*)?", re.DOTALL)


@dataclass(frozen=True)
class Url:
    """A file or folder by its URL.

    Attributes:
        scheme: which kind of file system.
        path: the place on it, without a slash at its end.
        chain: what the file system lies on, for some (``::s3://bucket/box.zip`` of ``zip://a.png::s3://…``), else "".
    """

    scheme: str
    path: str
    chain: str = ""

    def __str__(self) -> str:
        """As it is given to fsspec."""
        return f"{self.scheme}://{self.path}{self.chain}"

    def __truediv__(self, below: str | PurePosixPath) -> Url:
        """What lies below, by its relative path."""
        return self._at(f"{self.path.rstrip('/')}/{below}" if self.path else str(below))

    @property
    def name(self) -> str:
        """The last part."""
        return self.path.rpartition("/")[2]

    @property
    def stem(self) -> str:
        """The name without its suffix."""
        return PurePosixPath(self.name).stem

    @property
    def suffix(self) -> str:
        """The end of the name, with its dot, or ""."""
        return PurePosixPath(self.name).suffix

    @property
    def parent(self) -> Url:
        """The folder."""
        above, slash, _ = self.path.rpartition("/")
        return self._at(above or slash)

    def with_name(self, name: str) -> Url:
        """Another file in the same folder."""
        return self.parent / name

    def is_below(self, folder: Place) -> bool:
        """Whether it lies in a folder, at any depth, as far as names tell."""
        return (
            isinstance(folder, Url)
            and str(self._at(folder.path)) == str(folder)
            and (self.path.startswith(f"{folder.path.rstrip('/')}/"))
        )

    def _at(self, path: str) -> Url:
        return Url(self.scheme, path, self.chain)


Place: TypeAlias = "Path | Url"


def place(text: str) -> Place:
    """A path, or what looks like a URL.

    >>> place("s3://bucket/box/a.png")
    Url(scheme='s3', path='bucket/box/a.png', chain='')
    >>> place("box/a.png")
    PosixPath('box/a.png')
    """
    shape = _SHAPE.fullmatch(text)
    if shape is None or "://" not in text:
        return Path(text)
    path = shape["path"] or ""
    return Url(shape["scheme"], path.rstrip("/") or path[:1], shape["chain"] or "")


# Looking


def exists(place: Place) -> bool:
    """Whether there is a file or a folder.

    Raises:
        PlaceError: it cannot be reached.
        MissingExtra: fsspec, or what it needs for this kind of URL, is not installed.
    """
    if isinstance(place, Path):
        return os.path.exists(place)  # noqa: PTH110 (Path.exists raises where a name is too long)
    with _reaching(place) as (system, path):
        return bool(system.exists(path))


def is_folder(place: Place) -> bool:
    """Whether it is a folder; raises as :func:`exists`."""
    if isinstance(place, Path):
        return os.path.isdir(place)  # noqa: PTH112 (Path.is_dir raises where a name is too long)
    with _reaching(place) as (system, path):
        return bool(system.isdir(path))


def files_below(folder: Url) -> list[str]:
    """Relative paths of all files below a folder, sorted by name, hidden ones left out; raises as :func:`exists`."""
    with _reaching(folder) as (system, path):
        found = [name[len(path) :].lstrip("/") for name in system.find(path)]
    return sorted(name for name in found if name and not any(part.startswith(".") for part in name.split("/")))


def filled(urls: Iterable[Url]) -> set[Url]:
    """Those that are files with something in them, by one listing of each folder; raises as :func:`exists`."""
    folders: dict[Url, set[Url]] = defaultdict(set)
    for url in urls:
        folders[url.parent].add(url)
    found = set()
    for folder, wanted in folders.items():
        with _reaching(folder) as (system, path):
            try:
                listed = system.ls(path, detail=True)
            except (FileNotFoundError, NotADirectoryError):
                continue
        full = {row["name"].rpartition("/")[2] for row in listed if row["type"] == "file" and row.get("size") != 0}
        found |= {url for url in wanted if url.name in full}
    return found


# Bringing


@contextmanager
def reading(source: Place) -> Iterator[Path]:
    """A file of this machine that holds what ``source`` does, while the block runs: itself, or a copy.

    Raises:
        PictureError: there is nothing at the URL.
        PlaceError, MissingExtra: as :func:`exists`.
    """
    if isinstance(source, Path):
        yield source
        return
    with _copy(source) as copy:
        with _reaching(source) as (system, path):
            system.get_file(path, str(copy))
        yield copy


@contextmanager
def writing(target: Place, *, overwrite: bool = False) -> Iterator[Path]:
    """A path of this machine; what the block has written there is at ``target`` when it ends well.

    Raises:
        OutputError: something stands at the URL.
        PlaceError, MissingExtra: as :func:`exists`.
    """
    if isinstance(target, Path):
        yield target
        return
    with _copy(target) as copy:
        yield copy
        with _reaching(target) as (system, path):
            _put(copy.read_bytes(), system, path, target, overwrite)


def _put(content: bytes, system: Any, path: str, target: Url, overwrite: bool) -> None:  # noqa: ANN401
    if system.exists(path):
        if not overwrite:
            raise OutputError(f"{target} is there already: choose another name, or overwrite it")
        if system.isdir(path):
            raise OutputError(f"{target} is a folder: give the name of a file")
    if not _renames(system):
        system.pipe_file(path, content)
        return
    folder = path.rpartition("/")[0]
    if folder:
        system.makedirs(folder, exist_ok=True)
    temporary = f"{folder}/.colorcapsnet-{secrets.token_hex(8)}.tmp" if folder else f".{secrets.token_hex(8)}.tmp"
    try:
        system.pipe_file(temporary, content)
        system.mv(temporary, path)
    except BaseException:
        if system.exists(temporary):
            system.rm_file(temporary)
        raise


def _renames(system: Any) -> bool:  # noqa: ANN401
    """Whether files can be moved in one step. Stores of objects cannot; they copy, but write in one step."""
    import fsspec

    inner = system.fs if isinstance(system, fsspec.get_filesystem_class("dir")) else system
    return type(inner).mv is not fsspec.AbstractFileSystem.mv


@contextmanager
def _copy(url: Url) -> Iterator[Path]:
    """A place for one file; errors in the block speak of the URL, not of it."""
    with TemporaryDirectory(prefix="colorcapsnet-") as room:
        copy = Path(room, url.name)
        try:
            yield copy
        except ColorCapsNetError as problem:
            raise type(problem)(str(problem).replace(str(copy), str(url))) from problem


@contextmanager
def _reaching(url: Url) -> Iterator[tuple[Any, str]]:
    """The file system of a URL and the path there, asked anew; whatever goes wrong is one line."""
    fsspec = need("fsspec", "cluster")
    try:
        system, path = fsspec.core.url_to_fs(str(url))
        system.invalidate_cache()
        yield system, path
    except ColorCapsNetError:
        raise
    except ImportError as problem:
        extras = metadata.metadata("fsspec").get_all("Provides-Extra") or []
        install = f": pip install 'fsspec[{url.scheme}]'" if url.scheme in extras else ""
        raise MissingExtra(f"{url} needs a library that is not installed ({_line(problem)}){install}") from None
    except FileNotFoundError:
        raise PictureError(f"{url} does not exist: check the name") from None
    except Exception as problem:  # each kind of file system has its own errors
        raise PlaceError(
            f"{url} cannot be reached ({_line(problem)}): check its name and your right to it"
        ) from problem


def _line(problem: Exception) -> str:
    return " ".join(str(problem).split()) or type(problem).__name__
