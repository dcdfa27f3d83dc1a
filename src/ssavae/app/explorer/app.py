"""The application: one route for everything the page, or another program, may ask."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from fastapi import APIRouter, FastAPI, Query, Request, Response
from fastapi.responses import FileResponse
from starlette.routing import Route

from ssavae._version import __version__
from ssavae.app.explorer import errors, openapi, schema, uploads
from ssavae.app.explorer.errors import Problem
from ssavae.app.explorer.points import Points, rows_at
from ssavae.app.explorer.row_format import pack, show_cell
from ssavae.app.explorer.security import BODY_BYTES, IMAGE_PIXELS, LANDED_ROWS, LOOPBACK, Admission, Gate
from ssavae.app.explorer.service import Service
from ssavae.estimator import SSAVAE
from ssavae.persistence.fitted import plain_params
from ssavae.preprocessing.columns import Column

PAGE = Path(__file__).with_name("page")
SPREAD_ROWS = 1000
KEPT_REPLIES = 8  # of megabytes each, one for every plane of late
Answer = Callable[..., Any]
Axis = Annotated[int, Query(ge=0, description="axis of the code")]
Axes = Annotated[Literal["pca"] | None, Query(description="the plane of most variance in place of two axes")]


def create_app(
    model: SSAVAE,
    points: Points,
    name: str = "model",
    *,
    token: str | None = None,
    hosts: tuple[str, ...] = LOOPBACK,
) -> FastAPI:
    """Return the application that serves a model and its points.

    Parameters
    ----------
    model : SSAVAE
    points : Points
    name : str
        What the model is called.
    token : str or None
        What requests under /api must carry; None asks for none.
    hosts : tuple of str
        Names by which the server may be called; empty for any.
    """
    app = FastAPI(
        title="ssavae",
        version=__version__,
        openapi_url="/api/openapi.json",
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    service = Service(model, points)
    api = Api(service, name)
    app.include_router(api.router())
    app.router.routes.extend(_static_routes())
    errors.register(app)
    app.add_middleware(Gate, admission=Admission(token, hosts, api.media_types))
    app.openapi = partial(openapi.describe, app, service, token is not None)
    return app


class Api:
    """What each route answers.

    Parameters
    ----------
    service : Service
    name : str
    """

    def __init__(self, service: Service, name: str) -> None:
        self.service, self.name = service, name
        self.points, self.format, self.model = service.points, service.format, service.model
        self.kept: dict[Any, tuple[bytes, bytes]] = {}
        self.gets: dict[str, Answer] = {
            "/api/model": self.describe,
            "/api/points": self.map_points,
            "/api/columns/{name:path}": self.column,
            "/api/trust": self.trust,
            "/api/items/{item}": self.item,
        }
        posts: list[Answer] = [self.encode, self.decode, self.predict, self.novelty]
        posts += [self.sample, self.land, self.select]
        self.posts = {f"/api/{answer.__name__}": answer for answer in posts}

    @property
    def media_types(self) -> dict[str, tuple[str, ...]]:
        """What may be posted to each path."""
        return {**dict.fromkeys(self.posts, ("application/json",)), "/api/land": uploads.MEDIA_TYPES}

    def router(self) -> APIRouter:
        """Return the routes."""
        router = APIRouter()
        for method, answers in (("GET", self.gets), ("POST", self.posts)):
            for path, answer in answers.items():
                router.add_api_route(path, answer, methods=[method])
        return router

    # -------------------------------------------------------------------------------- the map

    async def describe(self) -> schema.ModelInfo:
        """Say what the model is, and what it can be asked."""
        model, told = self.model, self.model.preprocess_
        params = plain_params(model)
        limit = self.service.limit()
        return schema.ModelInfo(
            name=self.name,
            kind=told.kind,
            shape=list(told.row_shape),
            latent_dim=self.service.latent_dim,
            classes=self.service.classes,
            parameters=params,
            columns=[_described(*each) for each in self.format.columns] if told.kind == "table" else None,
            novelty_limit=limit if np.isfinite(limit) else None,
            has_trust=len(model.calibration_.novelty_scores) > 0,
            n_points=len(self.points),
            extra_columns=list(self.points.columns),
            version=__version__,
            limits=schema.Limits(
                rows=self.format.n_most,
                landed_rows=LANDED_ROWS,
                body_bytes=BODY_BYTES,
                image_pixels=IMAGE_PIXELS,
            ),
        )

    async def map_points(
        self, request: Request, x_axis: Axis = 0, y_axis: Axis = 1, axes: Axes = None
    ) -> schema.PointsOnMap:
        """Return all points, with the plane that they are shown in."""
        plane = self.service.read_plane(x_axis, y_axis, axes)
        key = ("points", x_axis, y_axis, axes)
        if key not in self.kept:
            self._keep(key, self._points_reply(plane))
        return self._reply(request, key)  # type: ignore[return-value]

    def _points_reply(self, plane: Any) -> bytes:
        points, (x, y) = self.points, plane.project(self.points.z)
        told = {"n": len(points), "n_all": points.n_all, "x": pack(x), "y": pack(y)}
        names = ("label", "predicted", "confidence", "novelty", "row")
        told |= {each: pack(getattr(points, each)) for each in names}
        told["projection"] = {each: getattr(plane, each).tolist() for each in ("origin", "x_axis", "y_axis")}
        return json.dumps(told).encode()

    async def column(self, name: str) -> schema.ColumnValues:
        """Return the values of a column, item by item, to colour by."""
        columns = dict(self.format.columns)
        if name in columns:
            i, rows = list(columns).index(name), self.points.rows
            cells = rows.iloc[:, i].to_numpy() if hasattr(rows, "iloc") else rows[:, i]
            values = (
                cells.astype(np.float32)  # a table with words holds its numbers as objects
                if columns[name].kind != "category"
                else np.array([show_cell(c, columns[name]) or "" for c in cells])
            )
        elif name in self.points.columns:
            values = self.points.columns[name]
        else:
            raise Problem(404, "there is no column of this name; /api/model lists those there are")
        return schema.ColumnValues(name=name, values=_column_values(values))

    async def trust(
        self, request: Request, x_axis: Axis = 0, y_axis: Axis = 1, axes: Axes = None
    ) -> schema.TrustGrid:
        """Say where the plane shown may be read."""
        plane = self.service.read_plane(x_axis, y_axis, axes)
        key = ("trust", x_axis, y_axis, axes)
        if key not in self.kept:
            x, y, trusted = await self.service.trust(plane)
            told = {"x": x.tolist(), "y": y.tolist(), "trusted": trusted.tolist()}
            self._keep(key, json.dumps(told).encode())
        return self._reply(request, key)  # type: ignore[return-value]

    def _keep(self, key: Any, content: bytes) -> None:
        while len(self.kept) >= KEPT_REPLIES:
            self.kept.pop(next(iter(self.kept)))
        self.kept[key] = content, gzip.compress(content, 5)

    def _reply(self, request: Request, key: Any) -> Response:
        return _compressed(request, *self.kept[key], "application/json")

    async def item(self, item: int) -> schema.Item:
        """Return a point with its row and what the model makes of it."""
        points = self.points
        if not 0 <= item < len(points):
            raise Problem(404, f"there are items 0 to {len(points) - 1}")
        row, z = rows_at(points.rows, slice(item, item + 1)), points.z[item : item + 1]
        made = await self.service.decode(z)
        probabilities = self.service.probabilities(z)[0].tolist() if self.service.classes else None
        return schema.Item(
            item=item,
            label=self._class(points.label[item]),
            predicted=self._class(points.predicted[item]),
            probabilities=probabilities,
            confidence=max(probabilities) if probabilities else None,
            novelty=float(points.novelty[item]),
            is_novel=bool(points.novelty[item] > self.service.limit()),
            z=points.z[item].tolist(),
            x=self.format.shown(row)[0],
            x_rec=self.format.shown(made)[0],
        )

    def _class(self, index: int) -> str | None:
        return self.service.classes[index] if index >= 0 else None

    # ------------------------------------------------------------------------- rows and codes

    async def encode(self, body: schema.Rows) -> schema.Encoded:
        """Return the codes of rows."""
        inputs, told = self.service.inputs(self.format.read(body.x))
        return schema.Encoded(z=(await self.service.encode(inputs)).tolist(), warnings=told)

    async def decode(self, body: schema.CodesToDecode) -> schema.Decoded:
        """Return what codes are decoded to."""
        rows = await self.service.decode(self.service.read_codes(body.z))
        return schema.Decoded(x=self.format.shown(rows))

    async def predict(self, body: schema.Rows) -> schema.Predicted:
        """Return the classes of rows, with their probabilities."""
        if not self.service.classes:
            raise Problem(422, "the model was trained without labels: it has no classes to predict")
        inputs, told = self.service.inputs(self.format.read(body.x))
        z = await self.service.encode(inputs)
        probs = self.service.probabilities(z)
        names = [self.service.classes[c] for c in probs.argmax(axis=1)]
        return schema.Predicted(predicted=names, probabilities=probs.tolist(), z=z.tolist(), warnings=told)

    async def novelty(self, body: schema.RowsToJudge) -> schema.Judged:
        """Say how strange rows are, and which are too strange."""
        inputs, told = self.service.inputs(self.format.read(body.x))
        _, found = await self.service.survey(inputs)
        is_novel = found > self.service.limit(body.alpha)
        return schema.Judged(novelty=found.tolist(), is_novel=is_novel.tolist(), warnings=told)

    async def sample(self, body: schema.Wish) -> schema.Sampled:
        """Generate rows."""
        rows, y = await self.service.sample(body.n, body.y, body.sampler, body.seed)
        return schema.Sampled(x=self.format.shown(rows), y=y)

    async def land(self, request: Request) -> schema.LandedFile:
        """Say where the rows of a file land: a PNG, csv or npy is the body."""
        media_type = request.headers["content-type"].partition(";")[0].strip().lower()
        content = await request.body()
        rows, names = await self.service.worker.run(uploads.read_file, content, media_type, self.format)
        inputs, told = self.service.inputs(rows)
        z, novelty = await self.service.survey(inputs)
        made, probs = await self.service.decode(z), self.service.probabilities(z)
        limit, classes = self.service.limit(), self.service.classes
        items = [
            schema.Landed(
                name=names[i],
                z=z[i].tolist(),
                predicted=classes[probs[i].argmax()] if classes else None,
                probabilities=probs[i].tolist() if classes else None,
                novelty=float(novelty[i]),
                is_novel=bool(novelty[i] > limit),
                x=x,
                x_rec=x_rec,
            )
            for i, (x, x_rec) in enumerate(zip(self.format.shown(rows), self.format.shown(made), strict=True))
        ]
        return schema.LandedFile(items=items, warnings=told)

    async def select(self, body: schema.Selection) -> schema.Group:
        """Return what a group of items is in the mean, and how far it spreads."""
        if max(body.items) >= len(self.points):
            raise Problem(422, f"items: there are items 0 to {len(self.points) - 1}")
        items = np.unique(body.items)
        z = self.points.z[items].astype(np.float64)
        made = await self.service.decode(z.mean(axis=0, keepdims=True))
        some = items[np.linspace(0, len(items) - 1, min(len(items), SPREAD_ROWS)).round().astype(np.int64)]
        spread = self.format.spread(rows_at(self.points.rows, some)) if len(items) > 1 else None
        label, predicted = self.points.label[items], self.points.predicted[items]
        counts = np.bincount(
            np.where(label >= 0, label, predicted) + 1, minlength=len(self.service.classes) + 1
        )
        by_class = {name: int(n) for name, n in zip(self.service.classes, counts[1:], strict=True) if n}
        return schema.Group(
            n=len(items),
            z_mean=z.mean(axis=0).tolist(),
            z_std=z.std(axis=0).tolist(),
            x=self.format.shown(made)[0],
            x_spread=spread,
            by_class=by_class,
        )


def _described(name: str, column: Column) -> schema.ColumnInfo:
    known = [str(value) for value in column.categories if value is not None]
    return schema.ColumnInfo(name=name, kind=column.kind, values=known if column.kind == "category" else None)


def _column_values(values: np.ndarray) -> Any:
    if values.dtype.kind in "fiub":
        return schema.ArrayData(**pack(np.asarray(values, dtype=np.float32)))
    return ["" if value is None else str(value) for value in values.tolist()]


# -------------------------------------------------------------------------------------- the page


def _static_routes() -> list[Route]:
    """Return a route for each file of the page as it is now, and for plotly.js: no path is ever looked up."""
    found = (
        {f"/{path.relative_to(PAGE).as_posix()}": path for path in PAGE.rglob("*") if path.is_file()}
        if PAGE.is_dir()
        else {}
    )
    routes = [Route(url, partial(_file, path)) for url, path in found.items()]
    if "/index.html" in found:
        routes.append(Route("/", partial(_file, found["/index.html"])))
    return [*routes, Route("/plotly.min.js", _Plotly())]


async def _file(path: Path, request: Request) -> Response:
    return FileResponse(path, headers={"cache-control": "no-cache"})


class _Plotly:
    """plotly.js of the installed package, compressed once."""

    content: tuple[bytes, bytes] | None = None

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if self.content is None:
            from plotly.offline import get_plotlyjs

            plain = get_plotlyjs().encode()
            self.content = plain, gzip.compress(plain, 6)
        response = _compressed(Request(scope), *self.content, "text/javascript")
        response.headers["cache-control"] = "max-age=3600"
        await response(scope, receive, send)


def _compressed(request: Request, content: bytes, zipped: bytes, media_type: str) -> Response:
    """Return content, compressed where that is understood."""
    if "gzip" not in request.headers.get("accept-encoding", ""):
        return Response(content, headers={"vary": "accept-encoding"}, media_type=media_type)
    headers = {"vary": "accept-encoding", "content-encoding": "gzip"}
    return Response(zipped, headers=headers, media_type=media_type)
