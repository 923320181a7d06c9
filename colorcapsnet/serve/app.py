"""The HTTP API and the page.

Every answer is :class:`Canvas`'s. A visitor's picture is sent once, seen by the network once and asked about many
times, under an id that nobody else knows; it stays in memory, and nothing of it is written to disk.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterable
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Literal, TypeAlias
from urllib.parse import quote

from fastapi import APIRouter, Depends, FastAPI, HTTPException, Query, Request
from fastapi import Path as InPath
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from fastapi.staticfiles import StaticFiles
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException as StarletteHTTPException
from starlette.requests import ClientDisconnect

from colorcapsnet import __version__, decide, hints, pictures
from colorcapsnet.colorizer import Canvas, Colorizer
from colorcapsnet.errors import (
    ColorCapsNetError,
    HintError,
    MissingExtra,
    ModelError,
    OutputError,
    PictureError,
    TooLarge,
)
from colorcapsnet.hints import Hints
from colorcapsnet.pictures import Picture
from colorcapsnet.provenance import stamped
from colorcapsnet.serve import schema
from colorcapsnet.serve.bounds import Budget, Busy, Gallery, Lane, Limits
from colorcapsnet.serve.guard import Guard

PAGE = Path(__file__).parent / "page"
LARGEST_HINTS = 2**20  # bytes
MOST_POINTS, MOST_RECOLORS = 200, 50  # of one request: what one answers in under half a second
TYPES = {
    "jpg": "image/jpeg",
    "png": "image/png",
    "tiff": "image/tiff",
    "webp": "image/webp",
    "avif": "image/avif",
    "gif": "image/gif",
    "heic": "image/heic",
}
_STATUS = {
    TooLarge: 413,
    PictureError: 422,
    HintError: 422,
    OutputError: 422,
    MissingExtra: 415,
    ModelError: 500,
}


class Service:
    """What all requests share.

    Args:
        colorizer: of a network that sees whole photographs.
        limits: of all of them.
    """

    def __init__(self, colorizer: Colorizer, limits: Limits) -> None:
        self.colorizer, self.limits = colorizer, limits
        self.gallery, self.uploads = Gallery(limits), Budget(limits.bytes_under_way)
        self.quick, self.slow = Lane(limits), Lane(limits)  # so that no click waits for a large file

    def open(self, content: bytes, name: str) -> tuple[Canvas, int]:
        """What the network makes of an upload, and how many pages the file has. Its colors are not kept."""
        most = self.limits.pixels
        try:
            picture = replace(pictures.read(content, max_pixels=most), name=name)
        except TooLarge:
            raise TooLarge(f"{name} has more than the {most:,} pixels that are taken here: make it smaller") from None
        if max(picture.width, picture.height) > self.limits.side:
            size = f"{picture.width}×{picture.height}"
            raise TooLarge(f"{name} is {size}: a side has {self.limits.side:,} pixels at most, make it smaller")
        canvas = self.colorizer.open(picture)
        return replace(canvas, picture=replace(picture, array=canvas.gray)), picture.pages

    def color(self, canvas: Canvas, decided: Hints, format: str) -> bytes:
        """The file, of full size, with provenance."""
        told = decide.provenance(self.colorizer, decided)
        canvas = replace(canvas, picture=stamped(canvas.picture, told))
        return pictures.encode(canvas.color(hints=decided), format)

    @contextlib.asynccontextmanager
    async def body(self, request: Request, most: int) -> AsyncIterator[bytes]:
        """What was sent, which counts as under way until the block ends."""
        declared = request.headers.get("content-length", "0")
        if declared.isdecimal() and int(declared) > most:
            raise _too_long(most)
        parts: list[bytes] = []
        taken = 0
        try:
            async with asyncio.timeout(self.limits.upload_seconds):
                async for part in request.stream():
                    if taken + len(part) > most:
                        raise _too_long(most)
                    self.uploads.take(len(part))
                    taken += len(part)
                    parts.append(part)
            content = b"".join(parts)
            parts.clear()
            yield content
        except TimeoutError:
            told = f"the upload took longer than {self.limits.upload_seconds:g} s: make the picture smaller"
            raise HTTPException(408, told) from None
        finally:
            self.uploads.give(taken)


def _too_long(most: int) -> HTTPException:
    return HTTPException(413, f"this is larger than the {most:,} bytes that are taken: make it smaller")


# What is asked for


class Problem(BaseModel):
    """What is wrong, and what to do about it, in one sentence."""

    detail: str


class About(BaseModel):
    """What the server is and takes."""

    name: str
    version: str
    model: str
    accepts: list[str]
    maxBytes: int
    maxPixels: int
    formats: list[str]
    offline: bool


class Opened(BaseModel):
    """A picture that the network has seen. Who has the id has the picture; ``depth`` is 8 or 16 bits."""

    id: str
    name: str
    width: int
    height: int
    depth: int
    capsules: int
    pages: int


class Capsule(BaseModel):
    """Which capsule holds most of a place, and how much of it, 0 to 1."""

    number: int
    share: float


class Points(BaseModel):
    """Places as x and y of pixels, the most useful first."""

    points: list[Annotated[list[int], Field(min_length=2, max_length=2)]]


async def _service(request: Request) -> Service:
    found: Service = request.app.state.service
    return found


Serving = Annotated[Service, Depends(_service)]
Format = Literal["jpg", "png", "tiff", "webp", "avif"]
Key = Annotated[str, InPath(max_length=64, description="as POST /api/pictures gave it")]
Side = Annotated[int, Query(ge=1, le=4096, description="pixels of the longer side, at most")]
Place = Annotated[int, Query(ge=0, le=10**9, description="in pixels of the upright picture of full size")]
To = Annotated[Format, Query(description="of the file")]


async def _held(id: Key, service: Serving) -> Canvas:
    canvas = service.gallery.get(id)
    if canvas is None:
        raise HTTPException(404, "there is no such picture, or no longer: send it again")
    return canvas


async def _decided(request: Request, service: Serving) -> Hints:
    async with service.body(request, LARGEST_HINTS) as content:
        try:
            told = hints.from_json(content.decode("utf-8-sig"))
        except UnicodeDecodeError:
            raise HintError("the hints are no text in UTF-8: send JSON") from None
    if told.reference is not None:
        raise HintError("the hints name a reference, and a server opens no files by name: leave it out")
    if len(told.points) > MOST_POINTS or len(told.recolor) > MOST_RECOLORS:
        most = f"{MOST_POINTS} points and {MOST_RECOLORS} recolors"
        raise HintError(
            f"the hints have {len(told.points)} points and {len(told.recolor)} recolors: send at most {most}"
        )
    return told


async def _sent_as_picture(request: Request) -> None:
    kind = request.headers.get("content-type", "application/octet-stream").partition(";")[0].strip().lower()
    if not (kind.startswith("image/") or kind == "application/octet-stream"):
        told = f"the body is {kind[:100]!r}: send the bytes of the picture alone, as image/jpeg or the like"
        raise HTTPException(415, told)


Held = Annotated[Canvas, Depends(_held)]
Decided = Annotated[Hints, Depends(_decided)]


Told: TypeAlias = dict[int, str]
_ALWAYS: Told = {
    403: "asked by the page of another site",
    421: "asked under a name that is not the server's",
    422: "a value that makes no sense",
    503: "busy: Retry-After says when to come again",
}
_GONE: Told = {404: "no such picture, or no longer"}
_SENT: Told = {408: "the upload took too long", 413: "too many bytes, or too many pixels", 415: "no picture's bytes"}
_DECIDED: Told = {**_GONE, 408: "the upload took too long", 413: "too many bytes"}
_PICTURE_BODY = {"requestBody": schema.PICTURE}
_HINTS_BODY = {"requestBody": schema.HINTS}


def _problems(told: Told) -> dict[int | str, dict[str, Any]]:
    described = sorted((_ALWAYS | told).items())
    return {status: {"model": Problem, "description": text} for status, text in described}


def _gives(told: Told, *kinds: str) -> dict[str, Any]:
    """Of a path that answers with a file."""
    content = {kind: {"schema": {"type": "string", "format": "binary"}} for kind in kinds}
    answers = {200: {"description": "the picture", "content": content}}
    return {"response_class": Response, "responses": answers | _problems(told)}


router = APIRouter(prefix="/api")


@router.get("/about", responses=_problems({}))
async def about(service: Serving) -> About:
    """Say what this server is and takes."""
    return About(
        name="colorcapsnet",
        version=__version__,
        model=service.colorizer.card.name,
        accepts=[kind for name, kind in TYPES.items() if name != "heic" or find_spec("pi_heif")],
        maxBytes=service.limits.bytes,
        maxPixels=service.limits.pixels,
        formats=[*pictures.FORMATS],
        offline=False,
    )


@router.post(
    "/pictures",
    status_code=201,
    dependencies=[Depends(_sent_as_picture)],
    responses=_problems(_SENT),
    openapi_extra=_PICTURE_BODY,
)
async def open_picture(
    request: Request,
    service: Serving,
    name: Annotated[str, Query(max_length=1000, description="of the file, to name downloads by")] = "picture",
) -> Opened:
    """Let the network see a picture: the body is its file. Of several pages, the first is taken."""
    async with service.body(request, service.limits.bytes) as content:
        canvas, pages = await service.slow.run(lambda: service.open(content, _named(name)))
    if await request.is_disconnected():
        raise ClientDisconnect
    return Opened(
        id=service.gallery.add(canvas),
        name=canvas.picture.name,
        width=canvas.picture.width,
        height=canvas.picture.height,
        depth=8 * canvas.gray.itemsize,
        capsules=len(canvas.regions),
        pages=pages,
    )


@router.delete("/pictures/{id}", status_code=204, responses=_problems(_GONE))
async def close_picture(id: Key, service: Serving, canvas: Held) -> None:
    """Forget a picture."""
    service.gallery.drop(id)


@router.get("/pictures/{id}/gray", **_gives(_GONE, "image/jpeg"))
async def gray(service: Serving, canvas: Held, side: Side = 1024) -> Response:
    """Show the picture as it is, gray."""
    return _file(await service.quick.run(lambda: _encoded(canvas.seen(side), "jpg")), "jpg")


@router.get("/pictures/{id}/capsules", **_gives(_GONE, "image/png"))
async def capsules(service: Serving, canvas: Held, side: Side = 1024) -> Response:
    """Show the soft regions: a hue a capsule, with its number."""
    return _file(await service.quick.run(lambda: _encoded(canvas.region_map(side), "png")), "png")


@router.get("/pictures/{id}/confidence", **_gives(_GONE, "image/png"))
async def confidence(service: Serving, canvas: Held, side: Side = 1024) -> Response:
    """Show how sure the likely colors are: white is sure."""
    return _file(await service.quick.run(lambda: _encoded(canvas.confidence_map(side), "png")), "png")


@router.get("/pictures/{id}/capsule", responses=_problems(_GONE))
async def capsule(service: Serving, canvas: Held, x: Place, y: Place) -> Capsule:
    """Say which capsule holds a pixel."""
    number, share = canvas.capsule_at(x, y)
    return Capsule(number=number, share=share)


@router.post("/pictures/{id}/preview", openapi_extra=_HINTS_BODY, **_gives(_DECIDED, "image/jpeg"))
async def preview(service: Serving, canvas: Held, decided: Decided, side: Side = 1024) -> Response:
    """Show the picture in color, as large as it is looked at."""

    def show() -> bytes:
        return _encoded(canvas.preview(canvas.seen(side), hints=decided), "jpg")

    return _file(await service.quick.run(show), "jpg")


@router.post("/pictures/{id}/suggest", openapi_extra=_HINTS_BODY, responses=_problems(_DECIDED))
async def suggest(
    service: Serving,
    canvas: Held,
    decided: Decided,
    n: Annotated[int, Query(ge=1, le=100, description="how many, at most")] = 5,
) -> Points:
    """Say where a color, if it is known, would help most."""
    places = await service.quick.run(lambda: canvas.suggest(n, decided))
    return Points(points=[list(place) for place in places])


@router.post("/pictures/{id}/color", openapi_extra=_HINTS_BODY, **_gives(_DECIDED, *TYPES.values()))
async def color_picture(service: Serving, canvas: Held, decided: Decided, format: To = "jpg") -> Response:
    """Give the picture in color: full size, its own depth, profile, metadata and transparency."""
    content = await service.slow.run(lambda: service.color(canvas, decided, format))
    return _file(content, format, canvas.picture.name)


@router.post(
    "/colorize",
    dependencies=[Depends(_sent_as_picture)],
    openapi_extra=_PICTURE_BODY,
    **_gives(_SENT, *TYPES.values()),
)
async def colorize(
    request: Request,
    service: Serving,
    format: Annotated[Format | None, Query(description="of the file; by default the picture's own, or png")] = None,
    strength: Annotated[float, Query(ge=0, le=2, description="0 is gray, 1 likely, 2 vivid")] = 1.0,
) -> Response:
    """Color a picture in one call: a file is sent, and a file comes back. Of several pages, the first is taken."""

    def work() -> tuple[bytes, str]:
        canvas, _ = service.open(content, "picture")
        own = canvas.picture.format
        to = format or (own if own in pictures.FORMATS else "png")
        return service.color(canvas, Hints(strength=strength), str(to)), str(to)

    async with service.body(request, service.limits.bytes) as content:
        colored, to = await service.slow.run(work)
    return _file(colored, to, "picture")


def _named(name: str) -> str:
    """The name of a file without folders and without what cannot be shown."""
    last = PurePosixPath(name.replace("\\", "/")).name
    return "".join(each for each in last if each.isprintable())[:100] or "picture"


def _encoded(drawn: pictures.Pixels, format: str) -> bytes:
    return pictures.encode(Picture(drawn), format, quality=90)


def _file(content: bytes, format: str, name: str | None = None) -> Response:
    headers = {}
    if name is not None:
        saved = quote(f"{PurePosixPath(name).stem}-color{pictures.FORMATS[format][0]}")
        headers["Content-Disposition"] = f"attachment; filename*=UTF-8''{saved}"
    return Response(content, media_type=TYPES[format], headers=headers)


# The application


def application(colorizer: Colorizer, limits: Limits | None = None, names: Iterable[str] = ()) -> FastAPI:
    """The server, for any ASGI program.

    Args:
        colorizer: of a network that sees whole photographs.
        limits: how much it takes upon itself.
        names: by which it is reached, besides addresses and localhost.

    Raises:
        ModelError: the network sees patches.
    """
    if colorizer.card.kind != "photograph":
        raise ModelError(
            f"{colorizer.card.name} sees patches and has nothing to be asked: serve one that sees photographs"
        )
    app = FastAPI(
        title="colorcapsnet",
        version=__version__,
        summary="Turns gray photographs into color with capsule networks. Colors are plausible, never true.",
        openapi_url="/api/openapi.json",
        lifespan=_living,
        docs_url=None,
        redoc_url=None,
    )
    app.state.service = Service(colorizer, limits or Limits())
    app.add_middleware(Guard, names=names)
    app.include_router(router)
    for kind in (ColorCapsNetError, Busy, ClientDisconnect, RequestValidationError, StarletteHTTPException, Exception):
        app.add_exception_handler(kind, _refused)
    if PAGE.is_dir():
        app.mount("/", StaticFiles(directory=PAGE, html=True))
    return app


@contextlib.asynccontextmanager
async def _living(app: FastAPI) -> AsyncIterator[None]:
    """Forget pictures in time even where nobody asks for any."""

    async def sweep() -> None:
        while True:
            await asyncio.sleep(60)
            app.state.service.gallery.sweep()

    sweeping = asyncio.create_task(sweep())
    yield
    sweeping.cancel()


async def _refused(request: Request, problem: Exception) -> Response:
    if isinstance(problem, ClientDisconnect):
        return Response(status_code=499)  # nobody reads it
    if isinstance(problem, Busy):
        return JSONResponse({"detail": str(problem)}, 503, {"Retry-After": str(problem.seconds)})
    if isinstance(problem, RequestValidationError):
        return JSONResponse({"detail": _sentence(problem)}, 422)
    if isinstance(problem, StarletteHTTPException):
        return JSONResponse({"detail": problem.detail}, problem.status_code, problem.headers)
    if isinstance(problem, ColorCapsNetError):
        status = next((_STATUS[kind] for kind in type(problem).__mro__ if kind in _STATUS), 500)
        return JSONResponse({"detail": str(problem)}, status)
    return JSONResponse({"detail": "something went wrong here, and it is not your fault: try again"}, 500)


def _sentence(problem: RequestValidationError) -> str:
    first = problem.errors()[0]
    where = ".".join(str(part) for part in first["loc"][1:])
    return f"{where}: {first['msg'][:1].lower()}{first['msg'][1:]}, not {ascii(first.get('input'))[:100]}"
