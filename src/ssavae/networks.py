"""The networks of the method, for tables (MLP), signals (1-D) and images (2-D convolutions).

One recipe serves every kind: a stack of layers that halves the sides while they are long, its
mirror image as decoder, and the same stack without batch normalisation as discriminator.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import NamedTuple, TypeVar

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

SLOPE = 0.1  # of LeakyReLU: above 0 so that no hidden feature, which step 2 compares, goes dead
SHORT_SIDE = 4  # convolutions halve the sides until none is longer than this
HIDDEN_DIM = 256  # the dense layer between the convolutions and the code
Net = TypeVar("Net", bound=nn.Module)
_CONVS = {1: (nn.Conv1d, nn.ConvTranspose1d), 2: (nn.Conv2d, nn.ConvTranspose2d)}


@dataclass(frozen=True)
class Spec:
    """What has to be known to build the networks: plain values, so that a model folder can hold it.

    Parameters
    ----------
    input_shape : tuple of int
        Without the batch: (d,) for a table, (C, T) for a signal, (C, H, W) for an image.
    latent_dim : int
        K, the size of the code.
    n_classes : int
        At least 1; a model without labels has one class that is never trained.
    bounded : bool
        True where inputs lie in [0, 1], which ends the decoder in a sigmoid.
    widths : tuple of int
        Units or channels of each layer; empty means :func:`default_widths`.
    student_widths : tuple of int
        Units of each layer of the :class:`Student`; empty means that there is none.
    """

    input_shape: tuple[int, ...]
    latent_dim: int
    n_classes: int
    bounded: bool
    widths: tuple[int, ...] = ()
    student_widths: tuple[int, ...] = ()


class Encoding(NamedTuple):
    """What the encoder says of a batch: q(z|x) = N(mu, exp(logvar)) and its hidden features."""

    mu: Tensor
    logvar: Tensor
    features: tuple[Tensor, ...]


def reparameterize(
    mu: Float[Tensor, "b k"],
    logvar: Float[Tensor, "b k"],
    normal: Callable[[Tensor], Tensor] = torch.randn_like,
) -> Float[Tensor, "b k"]:
    """Draw z = mu + sigma * eps with eps ~ N(0, I), so that the gradient reaches mu and logvar.

    Examples
    --------
    >>> reparameterize(torch.ones(1, 2), torch.full((1, 2), -100.0))
    tensor([[1., 1.]])
    """
    return mu + (0.5 * logvar).exp() * normal(mu)


def default_widths(input_shape: tuple[int, ...]) -> tuple[int, ...]:
    """Widths of the layers, from the shape of a row.

    Examples
    --------
    >>> default_widths((1, 28, 28)), default_widths((52,))
    ((32, 64, 128), (256, 128))
    """
    if len(input_shape) == 1:
        return (256, 128)
    n_halvings = math.ceil(math.log2(max(input_shape[1:]) / SHORT_SIDE))
    return tuple(min(32 * 2**i, 128) for i in range(max(3, n_halvings)))


def _sides(input_shape: tuple[int, ...], n_layers: int) -> list[tuple[int, ...]]:
    """Sides of the input and after each layer: halved, rounded up, while one of them is long."""
    sides = [tuple(input_shape[1:])]
    for _ in range(n_layers):
        last = sides[-1]
        sides.append(tuple(math.ceil(s / 2) for s in last) if max(last, default=0) > SHORT_SIDE else last)
    return sides


class Layer(nn.Module):
    """Linear or convolution, then batch normalisation where wanted, then LeakyReLU."""

    def __init__(self, linear: nn.Module, norm: nn.Module, crop: tuple[int, ...] = ()) -> None:
        super().__init__()
        self.linear, self.norm, self.crop = linear, norm, crop

    def forward(self, x: Tensor) -> Tensor:
        h = self.linear(x)
        for dim, size in enumerate(self.crop, start=2):
            h = h.narrow(dim, 0, size)
        return F.leaky_relu(self.norm(h), SLOPE)


def _norm(n_dims: int, width: int) -> nn.Module:
    return (nn.BatchNorm1d, nn.BatchNorm1d, nn.BatchNorm2d)[n_dims](width)


def _encoder_layers(spec: Spec, batch_norm: bool) -> tuple[nn.ModuleList, int]:
    """Build the halving stack and say how many values leave it."""
    n_dims, widths = len(spec.input_shape) - 1, spec.widths or default_widths(spec.input_shape)
    sides = _sides(spec.input_shape, len(widths))
    layers, channels = nn.ModuleList(), spec.input_shape[0]
    for before, after, width in zip(sides, sides[1:], widths, strict=False):
        if n_dims == 0:
            linear = nn.Linear(channels, width)
        else:
            linear = _CONVS[n_dims][0](channels, width, 3, 1 if before == after else 2, padding=1)
        layers.append(Layer(linear, _norm(n_dims, width) if batch_norm else nn.Identity()))
        channels = width
    return layers, channels * math.prod(sides[-1])


class Encoder(nn.Module):
    """E: x -> mu, logvar and the hidden features h_1 .. h_L that step 2 compares."""

    def __init__(self, spec: Spec) -> None:
        super().__init__()
        self.layers, size = _encoder_layers(spec, batch_norm=True)
        if len(spec.input_shape) > 1:
            self.layers.append(
                Layer(nn.Sequential(nn.Flatten(), nn.Linear(size, HIDDEN_DIM)), _norm(0, HIDDEN_DIM))
            )
            size = HIDDEN_DIM
        self.mu, self.logvar = nn.Linear(size, spec.latent_dim), nn.Linear(size, spec.latent_dim)

    def forward(self, x: Float[Tensor, "b *shape"]) -> Encoding:
        features = []
        for layer in self.layers:
            x = layer(x)
            features.append(x)
        return Encoding(self.mu(x), self.logvar(x), tuple(features))


class Classifier(nn.Sequential):
    """C: z -> logits, one hidden layer, so that classes of a 2-D map may be islands."""

    def __init__(self, spec: Spec, hidden_dim: int = 64) -> None:
        super().__init__(
            nn.Linear(spec.latent_dim, hidden_dim), nn.LeakyReLU(SLOPE), nn.Linear(hidden_dim, spec.n_classes)
        )


class Decoder(nn.Module):
    """G: z -> x, the encoder's stack mirrored."""

    def __init__(self, spec: Spec) -> None:
        super().__init__()
        n_dims, widths = len(spec.input_shape) - 1, spec.widths or default_widths(spec.input_shape)
        sides, channels = _sides(spec.input_shape, len(widths))[::-1], [*widths[::-1], spec.input_shape[0]]
        self.shape, self.bounded = (channels[0], *sides[0]), spec.bounded
        self.start = Layer(nn.Linear(spec.latent_dim, math.prod(self.shape)), _norm(0, math.prod(self.shape)))
        layers = [
            Layer(_widening(n_dims, a, b, size != before), _norm(n_dims, b), size)
            for a, b, before, size in zip(channels, channels[1:], sides, sides[1:], strict=False)
        ]
        self.end, self.end_crop = layers[-1].linear, sides[-1]
        self.layers = nn.Sequential(*layers[:-1])

    def forward(self, z: Float[Tensor, "b k"]) -> Float[Tensor, "b *shape"]:
        h = self.start(z).unflatten(1, self.shape)
        if h.ndim == 4:
            h = h.contiguous(memory_format=torch.channels_last)
        x = self.end(self.layers(h))
        for dim, size in enumerate(self.end_crop, start=2):
            x = x.narrow(dim, 0, size)
        return x.sigmoid() if self.bounded else x


def _widening(n_dims: int, channels: int, width: int, doubled: bool) -> nn.Module:
    """Return the layer of the decoder that undoes one layer of the encoder."""
    if n_dims == 0:
        return nn.Linear(channels, width)
    conv, transposed = _CONVS[n_dims]
    # Kernel 4 with stride 2 covers every output equally often: no checkerboard.
    return transposed(channels, width, 4, 2, padding=1) if doubled else conv(channels, width, 3, padding=1)


class Discriminator(nn.Module):
    """D: x -> one logit a row; spectral norm in place of batch norm keeps it from winning outright."""

    def __init__(self, spec: Spec) -> None:
        super().__init__()
        self.layers, size = _encoder_layers(spec, batch_norm=False)
        for layer in self.layers:
            spectral_norm(layer.get_submodule("linear"))
        self.logit = spectral_norm(nn.Linear(size, 1))

    def forward(self, x: Float[Tensor, "b *shape"]) -> Float[Tensor, "b"]:
        for layer in self.layers:
            x = layer(x)
        return self.logit(x.flatten(1)).squeeze(1)


class Student(nn.Module):
    """S: x -> mu, dense layers on the values of a row, that learn the map from the encoder."""

    def __init__(self, spec: Spec) -> None:
        super().__init__()
        flat = replace(spec, input_shape=(math.prod(spec.input_shape),), widths=spec.student_widths)
        self.layers, size = _encoder_layers(flat, batch_norm=False)  # a tenth of the time at rest
        self.mu = nn.Linear(size, spec.latent_dim)

    def forward(self, x: Float[Tensor, "b *shape"]) -> Float[Tensor, "b k"]:
        h = x.flatten(1)
        for layer in self.layers:
            h = layer(h)
        return self.mu(h)


class VEC(nn.Module):
    """The Variational Encoder Classifier of step 1: encoder, classifier and, where wanted, their helpers.

    Parameters
    ----------
    encoder, classifier : nn.Module
    detail : nn.Module or None
        The auxiliary decoder of ``loss_detail``; None where ``weight_detail`` is 0.
    student : nn.Module or None
        What codes rows in the encoder's place, faster.
    """

    def __init__(
        self,
        encoder: nn.Module,
        classifier: nn.Module,
        detail: nn.Module | None = None,
        student: nn.Module | None = None,
    ) -> None:
        super().__init__()
        self.encoder, self.classifier, self.detail, self.student = encoder, classifier, detail, student

    def bare(self) -> VEC:
        """Return encoder and classifier, the very same ones, without their helpers."""
        return VEC(self.encoder, self.classifier)

    def code(self, x: Float[Tensor, "b *shape"]) -> Float[Tensor, "b k"]:
        """Return the code's mean: the student's where there is one."""
        return self.encoder(x)[0] if self.student is None else self.student(x)

    def read(self, x: Float[Tensor, "b *shape"]) -> Encoding:
        """Return all that the encoder says of a batch, with the mean of :meth:`code`."""
        encoding = Encoding(*self.encoder(x))
        return encoding if self.student is None else encoding._replace(mu=self.student(x))

    def forward(self, x: Float[Tensor, "b *shape"]) -> tuple[Tensor, Tensor]:
        """Return the code's mean and the class logits read from it."""
        mu = self.code(x)
        return mu, self.classifier(mu)


def to_memory_format(module: Net, spec: Spec) -> Net:
    """Lay the weights out with channels last for images, which doubles their speed."""
    channels_last = len(spec.input_shape) == 3
    memory_format = torch.channels_last if channels_last else torch.contiguous_format
    return module.to(memory_format=memory_format)  # pyright: ignore[reportCallIssue]  # torch's stub lacks it


def build_vec(spec: Spec, with_detail: bool, encoder: nn.Module | None = None) -> VEC:
    """Make the networks of step 1, around the user's own encoder where there is one.

    The auxiliary decoder gets half the widths: it keeps the code as rich at a third of the cost
    (docs/decisions.md).
    """
    widths = spec.widths or default_widths(spec.input_shape)
    halved = replace(spec, widths=tuple(max(1, width // 2) for width in widths))
    detail = Decoder(halved) if with_detail else None
    vec = VEC(encoder or Encoder(spec), Classifier(spec), detail)
    if spec.student_widths:
        vec.student = Student(spec)  # last: what is drawn before is the same without one
    return to_memory_format(vec, spec)
