"""What requests and replies hold; ``ssavae.app.explorer.openapi`` adds what the model makes of rows and codes."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from ssavae.inference.samplers import SAMPLERS

Probability = Annotated[float, Field(ge=0.0, le=1.0)]
Codes = list[list[float]]


class ArrayData(BaseModel):
    """Numbers in one block, little endian, the last axis fastest; plotly takes one with one axis as it is."""

    model_config = ConfigDict(extra="forbid")
    dtype: Literal["f4", "i4", "u1"]
    shape: list[Annotated[int, Field(ge=0)]]
    bdata: str = Field(description="base64", json_schema_extra={"contentEncoding": "base64"})


# an image in bytes (H, W) or (H, W, 3), a signal (T, C), or a row of a table by column
Value = ArrayData | dict[str, float | int | str | None]
Warnings = Annotated[list[str], Field(description="what of the rows the model does not know")]


class Request(BaseModel):
    """What all bodies have in common."""

    model_config = ConfigDict(extra="forbid", strict=True)


class Rows(Request):
    """Rows in the units of the training data."""

    x: Any


class RowsToJudge(Rows):
    """Rows, and how many false alarms there may be."""

    alpha: float = Field(0.05, gt=0.0, lt=1.0, description="share of known rows that may be called novel")


class CodesToDecode(Request):
    """Codes."""

    z: Any


class Wish(Request):
    """Rows to generate."""

    n: int = Field(ge=1, description="rows")
    y: str | None = Field(None, description="class; null draws classes as often as training had them")
    sampler: Literal["class", "aggregate", "prior"] = "class"
    seed: int | None = Field(None, ge=0, lt=2**32)


class Selection(Request):
    """Items by number."""

    items: list[Annotated[int, Field(ge=0)]] = Field(min_length=1)


assert SAMPLERS == ("class", "aggregate", "prior")


class ColumnInfo(BaseModel):
    """A column of a table."""

    name: str
    kind: str = Field(json_schema_extra={"enum": ["number", "whole", "category"]})
    values: list[str] | None = Field(description="of a category")


class Limits(BaseModel):
    """The most that a request may hold."""

    rows: int
    landed_rows: int
    body_bytes: int
    image_pixels: int


class ModelInfo(BaseModel):
    """The model, and what it can be asked."""

    name: str
    kind: str = Field(json_schema_extra={"enum": ["table", "image", "signal"]})
    shape: list[int] = Field(description="of a row")
    latent_dim: int
    classes: list[str]
    parameters: dict[str, Any]
    columns: list[ColumnInfo] | None
    novelty_limit: float | None
    has_trust: bool
    n_points: int
    extra_columns: list[str]
    version: str
    limits: Limits


class Projection(BaseModel):
    """The plane shown: z = origin + x * x_axis + y * y_axis."""

    origin: list[float]
    x_axis: list[float]
    y_axis: list[float]


class PointsOnMap(BaseModel):
    """All points, item by item."""

    n: int
    n_all: int = Field(description="rows of the data; more than n where they are too many to show")
    x: ArrayData
    y: ArrayData
    label: ArrayData = Field(description="index of the class; -1 where there is none")
    predicted: ArrayData
    confidence: ArrayData
    novelty: ArrayData
    row: ArrayData = Field(
        description="row of the training data as `train --labels-from` counts; -1 of others"
    )
    projection: Projection


class ColumnValues(BaseModel):
    """A column to colour by, item by item."""

    name: str
    values: ArrayData | list[str]


class TrustGrid(BaseModel):
    """Where the map may be read: trusted[row of y][column of x]."""

    x: list[float]
    y: list[float]
    trusted: list[list[bool]]


class Item(BaseModel):
    """A point, with its row and what the model makes of it."""

    item: int
    label: str | None
    predicted: str | None
    probabilities: list[Probability] | None
    confidence: Probability | None
    novelty: float
    is_novel: bool
    z: list[float]
    x: Value
    x_rec: Value


class Encoded(BaseModel):
    """Codes of rows."""

    z: Codes
    warnings: Warnings


class Decoded(BaseModel):
    """Rows that codes are decoded to."""

    x: list[Value]


class Predicted(BaseModel):
    """Classes of rows."""

    predicted: list[str]
    probabilities: list[list[Probability]]
    z: Codes
    warnings: Warnings


class Judged(BaseModel):
    """How strange rows are."""

    novelty: list[float]
    is_novel: list[bool]
    warnings: Warnings


class Sampled(BaseModel):
    """Rows generated."""

    x: list[Value]
    y: list[str] | None


class Landed(BaseModel):
    """A row of a file that was handed in, and where it lands."""

    name: str
    z: list[float]
    predicted: str | None
    probabilities: list[Probability] | None
    novelty: float
    is_novel: bool
    x: Value
    x_rec: Value


class LandedFile(BaseModel):
    """The rows of a file."""

    items: list[Landed]
    warnings: Warnings


class Group(BaseModel):
    """Items taken together."""

    n: int
    z_mean: list[float]
    z_std: list[float]
    x: Value = Field(description="decoded at the mean")
    x_spread: Value | None = Field(description="standard deviation of the items' rows; null of a single one")
    by_class: dict[str, int] = Field(description="by label where there is one, else by the class predicted")
