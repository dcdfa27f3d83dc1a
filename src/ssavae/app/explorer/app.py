"""FastAPI application of the explorer: the routes of its API, and the files of its page."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from fastapi import APIRouter, FastAPI, Query, Request, Response
from fastapi.responses import FileResponse, HTMLResponse
from starlette.middleware.gzip import GZipMiddleware
from starlette.routing import Route

from ssavae._version import __version__
from ssavae.app.explorer import errors, openapi, schema, uploads
from ssavae.app.explorer.errors import Problem
from ssavae.app.explorer.http.bodies import JSONRoute
from ssavae.app.explorer.http.in_flight import InFlight
from ssavae.app.explorer.limits import BODY_BYTES, IMAGE_PIXELS, ITEMS, JSON_VALUES, LANDED_ROWS, NEIGHBOURS
from ssavae.app.explorer.points import Points, rows_at
from ssavae.app.explorer.row_format import ArrayOrFrame, pack, show_cell
from ssavae.app.explorer.security import LOOPBACK, AccessMiddleware, AccessPolicy
from ssavae.app.explorer.service import Service
from ssavae.app.explorer.single_file import PAGE
from ssavae.estimator import SSAVAE
from ssavae.preprocessing.columns import Column
from ssavae.training.parameters import model_params

SPREAD_ROWS = 1000
COMPRESSED_BYTES = 100_000  # size from which replies are compressed
Axis = Annotated[int, Query(ge=0, description="axis of the latent space")]
NumberOf = Annotated[int, Query(ge=1, le=NEIGHBOURS, description="items")]
MapAxes = Annotated[
    Literal["pca", "umap"] | None,
    Query(description="the first two principal components instead, or a UMAP where the server has one"),
]
Axes = Annotated[Literal["pca"] | None, Query(description="the first two principal components instead")]


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
        Name of the model on the page.
    token : str or None
        Bearer token required of requests under /api; None for no token.
    hosts : tuple of str
        Accepted host names; empty for any.
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
    app.add_middleware(GZipMiddleware, minimum_size=COMPRESSED_BYTES, compresslevel=1)
    app.state.reader = service.reader
    app.state.in_flight = InFlight()
    policy = AccessPolicy(token, hosts, api.media_types)
    app.add_middleware(AccessMiddleware, policy=policy, in_flight=app.state.in_flight)
    app.openapi = partial(openapi.describe, app, service, token is not None)
    return app


class Api:
    """The routes under /api.

    Parameters
    ----------
    service : Service
    name : str
    """

    def __init__(self, service: Service, name: str) -> None:
        self.service = service
        self.name = name
        self.points = service.points
        self.format = service.format
        posts = (
            self.encode,
            self.decode,
            self.predict,
            self.novelty,
            self.sample,
            self.land,
            self.rows,
            self.select,
        )
        self.posts = {f"/api/{endpoint.__name__}": endpoint for endpoint in posts}

    @property
    def media_types(self) -> dict[str, tuple[str, ...]]:
        """Media types that may be posted to each path."""
        return {**dict.fromkeys(self.posts, ("application/json",)), "/api/land": uploads.MEDIA_TYPES}

    def router(self) -> APIRouter:
        """Return the routes."""
        router = APIRouter(route_class=JSONRoute)
        router.get("/api/model")(self.describe)
        router.get("/api/points")(self.map_points)
        router.get("/api/columns/{name:path}")(self.column)
        router.get("/api/trust")(self.trust)
        router.get("/api/items/{item}")(self.item)
        router.get("/api/items/{item}/neighbours")(self.neighbours)
        router.get("/api/items/{item}/classes")(self.through_classes)
        router.get("/api/dimensions")(self.dimensions)
        for path, endpoint in self.posts.items():
            router.post(path)(endpoint)
        return router

    # -------------------------------------------------------------------------------- the map

    async def describe(self) -> schema.ModelInfo:
        """Describe the model and its capabilities."""
        model = self.service.model
        preprocess = model.preprocess_
        limit = self.service.limit()
        is_table = preprocess.kind == "table"
        return schema.ModelInfo(
            name=self.name,
            kind=preprocess.kind,
            shape=list(preprocess.row_shape),
            latent_dim=self.service.latent_dim,
            map_dim=self.service.n_map,
            classes=self.service.classes,
            parameters=model_params(model.get_params(deep=False), model.seed_),
            columns=[_column_info(*column) for column in self.format.columns] if is_table else None,
            novelty_limit=limit if np.isfinite(limit) else None,
            has_umap=self.points.umap is not None,
            has_trust=len(model.calibration_.novelty_scores) > 0,
            n_points=len(self.points),
            extra_columns=list(self.points.columns),
            version=__version__,
            limits=schema.Limits(
                rows=self.format.n_most,
                landed_rows=LANDED_ROWS,
                items=ITEMS,
                body_bytes=BODY_BYTES,
                json_values=JSON_VALUES,
                image_pixels=IMAGE_PIXELS,
            ),
        )

    async def map_points(
        self, x_axis: Axis = 0, y_axis: Axis = 1, axes: MapAxes = None
    ) -> schema.PointsOnMap:
        """Return all points on a plane of the latent space, or on a UMAP of it."""
        points = self.points
        if axes == "umap":
            x, y, projection = *self._umap().T, None
        else:
            plane = self.service.read_plane(x_axis, y_axis, axes)
            x, y = plane.project(points.z)
            projection = schema.Projection(**plane.to_lists())
        return schema.PointsOnMap(
            n=len(points),
            n_all=points.n_all,
            x=pack(x),
            y=pack(y),
            label=pack(points.label),
            predicted=pack(points.predicted),
            confidence=pack(points.confidence),
            novelty=pack(points.novelty),
            row=pack(points.row),
            number=pack(points.number),
            projection=projection,
        )

    def _umap(self) -> np.ndarray:
        if self.points.umap is None:
            raise Problem(422, "axes: this server has no UMAP; start it with --umap")
        return self.points.umap

    async def trust(self, x_axis: Axis = 0, y_axis: Axis = 1, axes: Axes = None) -> schema.TrustGrid:
        """Return where a plane of the latent space is trustworthy."""
        return await self.service.trust(self.service.read_plane(x_axis, y_axis, axes))

    async def column(self, name: str) -> schema.ColumnValues:
        """Return the values of a column, one per item."""
        columns = dict(self.format.columns)
        if name in columns:
            values = self._table_column(list(columns).index(name), columns[name])
        elif name in self.points.columns:
            values = self.points.columns[name]
        else:
            raise Problem(404, "there is no column of this name; /api/model lists all columns")
        if values.dtype.kind in "fiub":
            return schema.ColumnValues(name=name, values=pack(np.asarray(values, dtype=np.float32)))
        texts = ["" if value is None else str(value) for value in values.tolist()]
        return schema.ColumnValues(name=name, values=texts)

    def _table_column(self, index: int, column: Column) -> np.ndarray:
        rows = rows_at(self.points.rows, slice(None))
        cells = rows[:, index] if isinstance(rows, np.ndarray) else rows.iloc[:, index].to_numpy()
        if column.kind == "category":
            return np.array([show_cell(cell, column) or "" for cell in cells])
        return cells.astype(np.float32)  # a table with text holds its numbers as objects

    async def item(self, item: int) -> schema.Item:
        """Return a point with its row and reconstruction."""
        self._check_item(item)
        points = self.points
        one = slice(item, item + 1)
        scored = (await self._scored_rows(rows_at(points.rows, one), points.z[one], points.novelty[one]))[0]
        index = points.label[item]
        return schema.Item(
            item=item,
            label=self.service.classes[index] if index >= 0 else None,
            confidence=max(scored.probabilities) if scored.probabilities else None,
            **dict(scored),
        )

    def _check_item(self, item: int) -> None:
        if not 0 <= item < len(self.points):
            raise Problem(404, f"there are items 0 to {len(self.points) - 1}")

    async def neighbours(
        self, item: int, n: NumberOf = 12, by: Literal["code", "features"] = "code"
    ) -> schema.Neighbours:
        """Return the items nearest to one: in the code, or in the encoder's last hidden features.

        The latter are of the 1,000 nearest in the code.
        """
        self._check_item(item)
        items, distances = await self.service.neighbours(item, n, by)
        return schema.Neighbours(items=items.tolist(), distances=distances.tolist())

    async def through_classes(self, item: int) -> schema.ThroughClasses:
        """Return an item as it would be in each class: its detail at a place of that class.

        Only of models with a code in two parts (`map_dim`).
        """
        self._check_item(item)
        if self.service.n_map == self.service.latent_dim:
            raise Problem(404, "the code of this model has one part: it was trained without map_dim")
        codes = self.service.through_classes(item)
        some = list(codes)[: self.format.n_most]
        z = np.array([codes[c] for c in some]).reshape(len(some), self.service.latent_dim)
        decoded = await self._decoded(z)
        return schema.ThroughClasses(
            classes=[self.service.classes[c] for c in some], z=z.tolist(), **dict(decoded)
        )

    async def dimensions(self) -> schema.Dimensions:
        """Return the dimensions of the detail, or of a code in one part, by their effect on rows."""
        return schema.Dimensions(dimensions=await self.service.dimensions())

    # ------------------------------------------------------------------------- rows and codes

    async def encode(self, body: schema.Rows) -> schema.Encoded:
        """Return the codes of rows."""
        inputs, warnings = self.service.inputs(await self.service.read_rows(body.x))
        return schema.Encoded(z=(await self.service.encode(inputs)).tolist(), warnings=warnings)

    async def decode(self, body: schema.CodesToDecode) -> schema.DecodedCodes:
        """Return the rows that codes decode to, and the classes that the model reads in the codes."""
        return await self._decoded(self.service.read_codes(body.z))

    async def _decoded(self, z: np.ndarray) -> schema.DecodedCodes:
        x = self.format.to_values(await self.service.decode(z)) if len(z) else []
        classes = self.service.classes
        if not classes:
            return schema.DecodedCodes(x=x, predicted=None, probabilities=None)
        probs = self.service.probabilities(np.asarray(z, dtype=np.float32))
        names = [classes[c] for c in probs.argmax(axis=1)]
        return schema.DecodedCodes(x=x, predicted=names, probabilities=probs.tolist())

    async def predict(self, body: schema.Rows) -> schema.Predicted:
        """Return the classes of rows, with their probabilities."""
        if not self.service.classes:
            raise Problem(422, "the model was trained without labels: it has no classes to predict")
        inputs, warnings = self.service.inputs(await self.service.read_rows(body.x))
        z = await self.service.encode(inputs)
        probs = self.service.probabilities(z)
        names = [self.service.classes[c] for c in probs.argmax(axis=1)]
        return schema.Predicted(
            predicted=names, probabilities=probs.tolist(), z=z.tolist(), warnings=warnings
        )

    async def novelty(self, body: schema.RowsToScore) -> schema.NoveltyScores:
        """Return the novelty of rows, and which rows are novel."""
        inputs, warnings = self.service.inputs(await self.service.read_rows(body.x))
        _, novelty = await self.service.score_all(inputs)
        is_novel = novelty > self.service.limit(body.alpha)
        return schema.NoveltyScores(novelty=novelty.tolist(), is_novel=is_novel.tolist(), warnings=warnings)

    async def sample(self, body: schema.SampleRequest) -> schema.Sampled:
        """Generate rows."""
        rows, y = await self.service.sample(body.n, body.y, body.sampler, body.seed)
        z = await self.service.encode(self.service.inputs(rows)[0])
        return schema.Sampled(x=self.format.to_values(rows), y=y, z=z.tolist())

    async def land(self, request: Request) -> schema.LandedFile:
        """Place the rows of a file on the map: a PNG, csv or npy is the body."""
        media_type = request.headers["content-type"].partition(";")[0].strip().lower()
        content = await request.body()
        rows, names = await self.service.read(uploads.read_file, content, media_type, self.format)
        inputs, warnings = self.service.inputs(rows)
        scored = await self._scored_rows(rows, *await self.service.score_all(inputs))
        items = [schema.LandedRow(name=name, **dict(row)) for name, row in zip(names, scored, strict=True)]
        return schema.LandedFile(items=items, warnings=warnings)

    async def _scored_rows(
        self, rows: ArrayOrFrame, z: np.ndarray, novelty: np.ndarray
    ) -> list[schema.ScoredRow]:
        """Return rows of codes z (n, K) and novelty (n,) with their classes and reconstructions."""
        x_rec = self.format.to_values(await self.service.decode(z))
        classes = self.service.classes
        probs = self.service.probabilities(z)
        limit = self.service.limit()
        return [
            schema.ScoredRow(
                z=z[i].tolist(),
                predicted=classes[probs[i].argmax()] if classes else None,
                probabilities=probs[i].tolist() if classes else None,
                novelty=float(novelty[i]),
                is_novel=bool(novelty[i] > limit),
                x=x,
                x_rec=x_rec[i],
            )
            for i, x in enumerate(self.format.to_values(rows))
        ]

    async def rows(self, body: schema.SomeItems) -> schema.Decoded:
        """Return the values of items, in their order."""
        if max(body.items) >= len(self.points):
            raise Problem(422, f"items: there are items 0 to {len(self.points) - 1}")
        if len(body.items) > self.format.n_most:
            raise Problem(422, f"items: at most {self.format.n_most} rows")
        return schema.Decoded(x=self.format.to_values(rows_at(self.points.rows, np.array(body.items))))

    async def select(self, body: schema.Selection) -> schema.Group:
        """Return mean and spread of a group of items."""
        if max(body.items) >= len(self.points):
            raise Problem(422, f"items: there are items 0 to {len(self.points) - 1}")
        items = np.unique(body.items)
        z = self.points.z[items].astype(np.float64)
        mean = await self.service.decode(z.mean(axis=0, keepdims=True))
        subset = items[np.linspace(0, len(items) - 1, min(len(items), SPREAD_ROWS)).round().astype(np.int64)]
        return schema.Group(
            n=len(items),
            z_mean=z.mean(axis=0).tolist(),
            z_std=z.std(axis=0).tolist(),
            x=self.format.to_values(mean)[0],
            x_spread=self.format.spread(rows_at(self.points.rows, subset)) if len(items) > 1 else None,
            by_class=self._count_classes(items),
        )

    def _count_classes(self, items: np.ndarray) -> dict[str, int]:
        """Count items by label, or by predicted class where they have no label."""
        label = self.points.label[items]
        index = np.where(label >= 0, label, self.points.predicted[items])
        counts = np.bincount(index + 1, minlength=len(self.service.classes) + 1)[1:]  # -1 is no class
        return {name: int(n) for name, n in zip(self.service.classes, counts, strict=True) if n}


def _column_info(name: str, column: Column) -> schema.ColumnInfo:
    known = [str(value) for value in column.categories if value is not None]
    return schema.ColumnInfo(name=name, kind=column.kind, values=known if column.kind == "category" else None)


# -------------------------------------------------------------------------------------- the page


def _static_routes() -> list[Route]:
    """Return a route for each file of the page: no path of a request is ever looked up."""
    files = {path.relative_to(PAGE).as_posix(): path for path in PAGE.rglob("*") if path.is_file()}
    routes = [Route(f"/{name}", partial(_send_file, path)) for name, path in files.items()]
    index = Route("/", partial(_send_file, PAGE / "index.html"))
    return [*routes, index, Route("/docs", _send_docs)]


async def _send_file(path: Path, request: Request) -> Response:
    return FileResponse(path, headers={"cache-control": "no-cache"})


async def _send_docs(request: Request) -> Response:
    return HTMLResponse(openapi.as_page(request.app.openapi()))
