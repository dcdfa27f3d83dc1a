"""Bodies of requests and replies; ``ssavae.app.explorer.openapi`` adds the schemas of rows and codes."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, FailFast, Field

from ssavae.app.explorer.limits import AXES, ITEMS, ROWS
from ssavae.inference import SAMPLERS

Probability = Annotated[float, Field(ge=0.0, le=1.0)]
Codes = list[list[float]]


class ArrayData(BaseModel):
    """An array: its bytes little endian, in C order."""

    model_config = ConfigDict(extra="forbid")
    dtype: Literal["f4", "i4", "u1"]
    shape: list[Annotated[int, Field(strict=True, ge=0, lt=2**31)]] = Field(max_length=AXES)
    bdata: str = Field(description="base64", json_schema_extra={"contentEncoding": "base64"})


# image in bytes (H, W) or (H, W, 3), signal (T, C), or row of a table by column
Value = ArrayData | dict[str, float | int | str | None]
Warnings = Annotated[list[str], Field(description="values of the rows that the model does not know")]


class Request(BaseModel):
    """Base of all request bodies."""

    model_config = ConfigDict(extra="forbid", strict=True)


class Rows(Request):
    """Rows in the units of the training data."""

    x: Any


class RowsToScore(Rows):
    """Rows to score for novelty."""

    alpha: float = Field(0.05, gt=0.0, lt=1.0, description="fraction of known rows that may be called novel")


class CodesToDecode(Request):
    """Codes to decode."""

    z: Any


class SampleRequest(Request):
    """Rows to generate."""

    n: int = Field(ge=1, description="rows")
    y: str | None = Field(None, description="class; null draws classes with their frequencies in training")
    sampler: Literal["class", "aggregate", "prior"] = "class"
    seed: int | None = Field(None, ge=0, lt=2**32)


class SomeItems(Request):
    """Some items by index."""

    items: Annotated[list[Annotated[int, Field(ge=0)]], Field(min_length=1, max_length=ROWS), FailFast()]


class Selection(Request):
    """Items by index."""

    items: Annotated[list[Annotated[int, Field(ge=0)]], Field(min_length=1, max_length=ITEMS), FailFast()]


assert SAMPLERS == ("class", "aggregate", "prior")


class ColumnInfo(BaseModel):
    """A column of a table."""

    name: str
    kind: str = Field(json_schema_extra={"enum": ["number", "whole", "category"]})
    values: list[str] | None = Field(description="categories")


class Limits(BaseModel):
    """Largest sizes of a request."""

    rows: int
    landed_rows: int
    items: int = Field(description="of a selection")
    body_bytes: int
    json_values: int = Field(description="keys, lists and objects included")
    image_pixels: int


class ModelInfo(BaseModel):
    """The model and its capabilities."""

    name: str
    kind: str = Field(json_schema_extra={"enum": ["table", "image", "signal"]})
    shape: list[int] = Field(description="of a row")
    latent_dim: int
    map_dim: int = Field(description="leading dimensions of a code that are the map; the rest is the detail")
    classes: list[str]
    parameters: dict[str, Any]
    columns: list[ColumnInfo] | None
    novelty_limit: float | None
    has_trust: bool
    has_umap: bool = Field(description="whether /api/points has axes=umap")
    n_points: int
    extra_columns: list[str]
    version: str
    limits: Limits


class Projection(BaseModel):
    """The plane of the map: z = origin + x * x_axis + y * y_axis."""

    origin: list[float]
    x_axis: list[float]
    y_axis: list[float]


class PointsOnMap(BaseModel):
    """All points, one value per item in each array."""

    n: int
    n_all: int = Field(description="rows of the data; more than n if there are too many to show")
    x: ArrayData
    y: ArrayData
    label: ArrayData = Field(description="index of the class; -1 where there is none")
    predicted: ArrayData
    confidence: ArrayData
    novelty: ArrayData
    row: ArrayData = Field(
        description="row number in the training data, as `train --labels-from` counts; -1 for others"
    )
    number: ArrayData = Field(description="row number in the data, as `predict` counts")
    projection: Projection | None = Field(
        description="null for axes=umap: between its points there are no codes"
    )


class ColumnValues(BaseModel):
    """Values of a column, one per item."""

    name: str
    values: ArrayData | list[str]


class TrustGrid(BaseModel):
    """Trustworthy regions of the map: trusted[row of y][column of x]."""

    x: list[float]
    y: list[float]
    trusted: list[list[bool]]


class ScoredRow(BaseModel):
    """A row with its code, class, novelty and reconstruction."""

    z: list[float]
    predicted: str | None
    probabilities: list[Probability] | None
    novelty: float
    is_novel: bool
    x: Value
    x_rec: Value


class Item(ScoredRow):
    """A point of the map."""

    item: int
    label: str | None
    confidence: Probability | None


class Encoded(BaseModel):
    """Codes of rows."""

    z: Codes
    warnings: Warnings


class Decoded(BaseModel):
    """Decoded rows."""

    x: list[Value]


class DecodedCodes(Decoded):
    """Decoded rows, and the classes that the model reads in their codes."""

    predicted: list[str] | None
    probabilities: list[list[Probability]] | None = Field(description="of each class of /api/model")


class ThroughClasses(DecodedCodes):
    """An item with its detail at the place of each class."""

    classes: list[str]
    z: Codes


class Neighbours(BaseModel):
    """The nearest items, the nearest first."""

    items: list[int]
    distances: list[float]


class Dimension(BaseModel):
    """A dimension of the code, and how much it changes."""

    index: int = Field(description="in the code, from 0")
    low: float = Field(description="1st percentile of the items")
    high: float = Field(description="99th percentile of the items")
    effect: float = Field(
        description="mean change of a decoded network input from -1 to +1 standard deviation"
    )


class Dimensions(BaseModel):
    """Dimensions of the detail, or of a code in one part, those with the largest effect first."""

    dimensions: list[Dimension]


class Predicted(Encoded):
    """Codes and classes of rows."""

    predicted: list[str]
    probabilities: list[list[Probability]]


class NoveltyScores(BaseModel):
    """Novelty of rows."""

    novelty: list[float]
    is_novel: list[bool]
    warnings: Warnings


class Sampled(BaseModel):
    """Generated rows."""

    x: list[Value]
    y: list[str] | None
    z: Codes = Field(description="where the encoder places each row")


class LandedRow(ScoredRow):
    """A row of an uploaded file."""

    name: str


class LandedFile(BaseModel):
    """The rows of an uploaded file."""

    items: list[LandedRow]
    warnings: Warnings


class Group(BaseModel):
    """Statistics of selected items."""

    n: int
    z_mean: list[float]
    z_std: list[float]
    x: Value = Field(description="decoded at the mean")
    x_spread: Value | None = Field(description="standard deviation of their rows; null for a single item")
    by_class: dict[str, int] = Field(description="by label, else by predicted class")
