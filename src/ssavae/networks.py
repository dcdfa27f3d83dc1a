"""The networks of the method, for tables (MLP), signals (1-D) and images (2-D convolutions).

All kinds share one architecture: an encoder whose layers halve the sides while they are long, its
mirror image as decoder, and the encoder's stack without batch normalisation as discriminator.
"""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from ssavae._checks import check

if TYPE_CHECKING:
    from jaxtyping import Float

SLOPE = 0.1  # of LeakyReLU: above 0, so that none of the hidden features compared in step 2 dies
SHORT_SIDE = 4  # convolutions halve the sides until none is longer than this
MOST_VALUES = 2**26  # of a row: twice the pixels of the largest cameras, and far more than memory allows
HIDDEN_DIM = 256  # units of the dense layer between the convolutions and the code
CLASSIFIER_DIM = 64  # units of the classifier's hidden layer
N_FREQUENCIES = 16  # of each column of a table that is embedded
FREQUENCY_STD = 0.1  # in periods for one scale of the column: most waves are long at first
Net = TypeVar("Net", bound=nn.Module)
_CONVS = {1: (nn.Conv1d, nn.ConvTranspose1d), 2: (nn.Conv2d, nn.ConvTranspose2d)}


@dataclass(frozen=True)
class Spec:
    """Sizes of the networks, as plain values that a model folder can hold.

    Parameters
    ----------
    input_shape : tuple of int
        Without the batch: (d,) for a table, (C, T) for a signal, (C, H, W) for an image.
    latent_dim : int
        K, the dimension of the code.
    n_classes : int
        At least 1; a model without labels has one class that is never trained.
    bounded : bool
        Whether inputs lie in [0, 1]; the decoder then ends in a sigmoid.
    widths : tuple of int
        Units or channels of each layer; empty means :func:`default_widths`.
    student_widths : tuple of int
        Units of each layer of the :class:`Student`; empty means no student.
    n_members : int
        Of a table: members of the encoder, each with half the widths, whose codes are averaged.
    map_dim : int or None
        Leading dimensions of the code that the classifier reads; None means all of them.
    embedded : tuple of int
        Of a table: inputs that the encoder embeds, those of numbers.
    embedding_dim : int
        Values that it makes of each of them, the input itself among them; 1 means that it embeds none.
    """

    input_shape: tuple[int, ...]
    latent_dim: int
    n_classes: int
    bounded: bool
    widths: tuple[int, ...] = ()
    student_widths: tuple[int, ...] = ()
    n_members: int = 1
    map_dim: int | None = None
    embedded: tuple[int, ...] = ()
    embedding_dim: int = 1

    def __post_init__(self) -> None:
        """Raise ValueError for sizes that no network can have."""
        check(len(self.input_shape) in (1, 2, 3), f"input_shape {self.input_shape} must have 1 to 3 axes")
        numbers = (self.n_map, self.n_classes, self.n_members, self.embedding_dim)
        sizes = (*self.input_shape, *numbers, *self.widths, *self.student_widths)
        check(min(sizes) >= 1, f"sizes of networks must be at least 1, found {min(sizes)}")
        n_values = math.prod(self.input_shape)
        check(n_values <= MOST_VALUES, f"a row has {n_values} values, {MOST_VALUES} are allowed: resize it")
        is_table = len(self.input_shape) == 1
        check(is_table or self.n_members == 1, f"n_members={self.n_members} is for tables: others have one")
        check(is_table or self.embedding_dim == 1, f"embedding_dim={self.embedding_dim} is for tables")
        are_inputs = all(0 <= i < self.input_shape[0] for i in self.embedded)
        check(are_inputs, f"embedded must be some of {self.input_shape[0]} inputs, found {self.embedded}")
        check(self.n_map <= self.latent_dim, f"map_dim {self.map_dim} is above latent_dim {self.latent_dim}")

    @property
    def n_map(self) -> int:
        """Number of dimensions of the map: those of the code that the classifier reads."""
        return self.latent_dim if self.map_dim is None else self.map_dim

    @property
    def layer_widths(self) -> tuple[int, ...]:
        """Units or channels of each layer."""
        return self.widths or default_widths(self.input_shape)

    @property
    def member_widths(self) -> tuple[int, ...]:
        """Units or channels of each layer of one member of the encoder."""
        return halved(self.layer_widths) if self.n_members > 1 else self.layer_widths

    @property
    def n_embedded(self) -> int:
        """Number of values that the encoder adds to the inputs."""
        return len(self.embedded) * (self.embedding_dim - 1)

    @property
    def n_hidden_layers(self) -> int:
        """Number of hidden features that the encoder returns."""
        return len(self.layer_widths) + (len(self.input_shape) > 1)


class Encoding(NamedTuple):
    """Output of the encoder: q(z|x) = N(mu, exp(logvar)) and the hidden features."""

    mu: Tensor
    logvar: Tensor
    features: tuple[Tensor, ...]


def reparameterize(
    mu: Float[Tensor, "b k"], logvar: Float[Tensor, "b k"], eps: Float[Tensor, "b k"]
) -> Float[Tensor, "b k"]:
    """Return z = mu + sigma * eps, with eps drawn from N(0, I), so that the gradient reaches mu and logvar.

    Examples
    --------
    >>> reparameterize(torch.ones(1, 2), torch.zeros(1, 2), torch.tensor([[0.0, 0.5]]))
    tensor([[1.0000, 1.5000]])
    """
    return mu + (0.5 * logvar).exp() * eps


def default_widths(input_shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return the widths of the layers for a shape of input.

    Examples
    --------
    >>> default_widths((1, 28, 28)), default_widths((52,))
    ((32, 64, 128), (256, 128))
    """
    if len(input_shape) == 1:
        return (256, 128)
    n_halvings = math.ceil(math.log2(max(input_shape[1:]) / SHORT_SIDE))
    return tuple(min(32 * 2**i, 128) for i in range(max(3, n_halvings)))


def halved(widths: tuple[int, ...]) -> tuple[int, ...]:
    """Return half of each width, at least 1."""
    return tuple(max(1, width // 2) for width in widths)


def layer_sides(input_shape: tuple[int, ...], n_layers: int) -> list[tuple[int, ...]]:
    """Return the sides of the input and of each layer's output: halved, rounded up, while one is long."""
    sides = [tuple(input_shape[1:])]
    for _ in range(n_layers):
        last = sides[-1]
        sides.append(tuple(math.ceil(s / 2) for s in last) if max(last, default=0) > SHORT_SIDE else last)
    return sides


class Layer(nn.Module):
    """Linear layer or convolution, normalisation, crop and LeakyReLU."""

    def __init__(self, linear: nn.Module, norm: nn.Module, crop: tuple[int, ...] = ()) -> None:
        super().__init__()
        self.linear = linear
        self.norm = norm
        self.crop = crop

    def forward(self, x: Tensor) -> Tensor:
        h = self.linear(x)
        for dim, size in enumerate(self.crop, start=2):
            h = h.narrow(dim, 0, size)
        return F.leaky_relu(self.norm(h), SLOPE)


class MemberLinear(nn.Module):
    """A linear layer for each of k members: (b, k * n_in) -> (b, k * n_out), block by block."""

    def __init__(self, k: int, n_in: int, n_out: int) -> None:
        super().__init__()
        bound = n_in**-0.5  # as in nn.Linear
        self.weight = nn.Parameter(torch.empty(k, n_in, n_out).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.empty(k, 1, n_out).uniform_(-bound, bound))

    def forward(self, h: Float[Tensor, "b i"]) -> Float[Tensor, "b o"]:
        blocks = h.unflatten(1, self.weight.shape[:2]).transpose(0, 1)
        return torch.baddbmm(self.bias, blocks, self.weight).transpose(0, 1).flatten(1)


class Embedding(nn.Module):
    r"""Adds to the inputs of a table an embedding of its numbers: linear maps of waves along each.

    .. math:: W_j \cos(2 \pi f_j x_j + \varphi_j) + c_j

    with frequencies, phases and weights that are learned (PBLD, Holzmueller 2024; docs/decisions.md).
    """

    def __init__(self, embedded: tuple[int, ...], dim: int) -> None:
        super().__init__()
        shape = (len(embedded), N_FREQUENCIES)
        self.register_buffer("embedded", torch.tensor(embedded), persistent=False)
        self.frequency = nn.Parameter(torch.empty(shape).normal_(std=FREQUENCY_STD))
        self.phase = nn.Parameter(torch.empty(shape).uniform_(-math.pi, math.pi))
        self.linear = MemberLinear(*shape, dim - 1)

    def forward(self, x: Float[Tensor, "b d"]) -> Float[Tensor, "b e"]:
        numbers = x.index_select(1, self.get_buffer("embedded"))
        waves = torch.cos(2.0 * math.pi * self.frequency * numbers.unsqueeze(2) + self.phase)
        return torch.cat([x, self.linear(waves.flatten(1))], dim=1)


def _dense(k: int, n_in: int, n_out: int) -> nn.Module:
    return nn.Linear(n_in, n_out) if k == 1 else MemberLinear(k, n_in, n_out)


def _join_members(values: Float[Tensor, "b kc"], k: int, training: bool) -> Tensor:
    """Return the mean of k members' values; in training mode the values, one member after the other."""
    if k == 1:
        return values
    members = values.unflatten(1, (k, -1))
    return members.transpose(0, 1).flatten(0, 1) if training else members.mean(dim=1)


def _norm(n_dims: int, width: int) -> nn.Module:
    return (nn.BatchNorm1d, nn.BatchNorm1d, nn.BatchNorm2d)[n_dims](width)


def _encoder_layers(spec: Spec, batch_norm: bool) -> tuple[nn.ModuleList, int]:
    """Build the encoder's stack; return it with the number of values in its output."""
    n_dims = len(spec.input_shape) - 1
    widths = spec.member_widths
    sides = layer_sides(spec.input_shape, len(widths))
    layers = nn.ModuleList()
    channels = spec.input_shape[0]
    k = spec.n_members
    for (before, after), width in zip(pairwise(sides), widths, strict=True):
        if n_dims == 0:
            linear = _dense(k, channels, width) if layers else nn.Linear(channels, k * width)
        else:
            linear = _CONVS[n_dims][0](channels, width, 3, 1 if before == after else 2, padding=1)
        layers.append(Layer(linear, _norm(n_dims, k * width) if batch_norm else nn.Identity()))
        channels = width
    return layers, channels * math.prod(sides[-1])


class Encoder(nn.Module):
    """E: x -> mu, logvar and the hidden features h_1 .. h_L that step 2 compares.

    Of a table it may be an ensemble of k members without a weight in common (cf. TabM, Gorishniy 2025), each
    of which learns to code every row for the same classifier. Its code is the mean of theirs, its features
    are theirs side by side. In training mode mu and logvar are those of each member, (k * b, latent_dim).
    ``masks`` of the hidden layers of a table multiply their units: dropout.
    """

    def __init__(self, spec: Spec) -> None:
        super().__init__()
        self.embedding = nn.Identity()
        stack = spec
        if spec.n_embedded:
            self.embedding = Embedding(spec.embedded, spec.embedding_dim)
            stack = replace(spec, input_shape=(spec.input_shape[0] + spec.n_embedded,))
        self.layers, size = _encoder_layers(stack, batch_norm=True)
        if len(spec.input_shape) > 1:
            dense = nn.Sequential(nn.Flatten(), nn.Linear(size, HIDDEN_DIM))
            self.layers.append(Layer(dense, _norm(0, HIDDEN_DIM)))
            size = HIDDEN_DIM
        self.n_members = spec.n_members
        self.mu = _dense(spec.n_members, size, spec.latent_dim)
        self.logvar = _dense(spec.n_members, size, spec.latent_dim)

    def forward(self, x: Float[Tensor, "b *shape"], masks: tuple[Tensor, ...] = ()) -> Encoding:
        features = []
        x = self.embedding(x)
        for i, layer in enumerate(self.layers):
            x = layer(x) * masks[i] if masks else layer(x)
            features.append(x)
        k = self.n_members
        mu, logvar = (_join_members(code(x), k, self.training) for code in (self.mu, self.logvar))
        return Encoding(mu, logvar, tuple(features))

    def member(self, x: Float[Tensor, "b *shape"], index: int) -> Float[Tensor, "b k"]:
        """Return the mean of the code of one member of an ensemble."""
        x = self.embedding(x)
        for layer in self.layers:
            x = layer(x)
        return self.mu(x).unflatten(1, (self.n_members, -1))[:, index]


class Classifier(nn.Sequential):
    """C: map of z -> logits, with one hidden layer: classes of a 2-D map need not be linearly separable."""

    def __init__(self, spec: Spec, hidden_dim: int = CLASSIFIER_DIM) -> None:
        super().__init__(
            nn.Linear(spec.n_map, hidden_dim), nn.LeakyReLU(SLOPE), nn.Linear(hidden_dim, spec.n_classes)
        )

    def forward(self, input: Float[Tensor, "b k"]) -> Float[Tensor, "b c"]:
        return super().forward(input[:, : self[0].in_features])


class AuxiliaryClassifier(nn.Module):
    """B: last hidden features h_L -> class logits, linear; of an ensemble, those of each member."""

    def __init__(self, spec: Spec) -> None:
        super().__init__()
        self.n_members = spec.n_members
        size = HIDDEN_DIM if len(spec.input_shape) > 1 else spec.member_widths[-1]
        self.linear = _dense(spec.n_members, size, spec.n_classes)

    def forward(self, h: Float[Tensor, "b u"]) -> Float[Tensor, "kb c"]:
        return _join_members(self.linear(h), self.n_members, self.training)


class Decoder(nn.Module):
    """G: z -> x, the encoder's stack mirrored."""

    def __init__(self, spec: Spec) -> None:
        super().__init__()
        n_dims = len(spec.input_shape) - 1
        widths = spec.layer_widths
        sides = layer_sides(spec.input_shape, len(widths))[::-1]
        channels = [*widths[::-1], spec.input_shape[0]]
        self.shape = (channels[0], *sides[0])
        self.bounded = spec.bounded
        size = math.prod(self.shape)
        self.start = Layer(nn.Linear(spec.latent_dim, size), _norm(0, size))
        layers = [
            Layer(_upsampling(n_dims, n_in, n_out, doubled=after != before), _norm(n_dims, n_out), crop=after)
            for (n_in, n_out), (before, after) in zip(pairwise(channels), pairwise(sides), strict=True)
        ]
        self.end = layers[-1].linear
        self.end_crop = sides[-1]
        self.layers = nn.Sequential(*layers[:-1])

    def forward(self, z: Float[Tensor, "b k"]) -> Float[Tensor, "b *shape"]:
        h = self.start(z).unflatten(1, self.shape)
        if h.ndim == 4:
            h = h.contiguous(memory_format=torch.channels_last)
        x = self.end(self.layers(h))
        for dim, size in enumerate(self.end_crop, start=2):
            x = x.narrow(dim, 0, size)
        return x.sigmoid() if self.bounded else x


def _upsampling(n_dims: int, channels: int, width: int, doubled: bool) -> nn.Module:
    """Build the decoder's counterpart of one layer of the encoder."""
    if n_dims == 0:
        return nn.Linear(channels, width)
    conv, transposed = _CONVS[n_dims]
    # Kernel 4 with stride 2 covers every output equally often, which avoids checkerboard artefacts.
    return transposed(channels, width, 4, 2, padding=1) if doubled else conv(channels, width, 3, padding=1)


class Discriminator(nn.Module):
    """D: x -> one logit per row; spectral norm keeps it from overpowering the decoder."""

    def __init__(self, spec: Spec) -> None:
        super().__init__()
        self.layers, size = _encoder_layers(replace(spec, n_members=1), batch_norm=False)
        for layer in self.layers:
            spectral_norm(layer.get_submodule("linear"))
        self.logit = spectral_norm(nn.Linear(size, 1))

    def forward(self, x: Float[Tensor, "b *shape"]) -> Float[Tensor, "b"]:
        for layer in self.layers:
            x = layer(x)
        return self.logit(x.flatten(1)).squeeze(1)


class Student(nn.Module):
    """S: x -> mu, dense layers distilled from the encoder."""

    def __init__(self, spec: Spec) -> None:
        super().__init__()
        shape = (math.prod(spec.input_shape),)
        flat = replace(spec, input_shape=shape, widths=spec.student_widths, n_members=1)
        self.layers, size = _encoder_layers(flat, batch_norm=False)  # inference in a tenth of the time
        self.mu = nn.Linear(size, spec.latent_dim)

    def forward(self, x: Float[Tensor, "b *shape"]) -> Float[Tensor, "b k"]:
        h = x.flatten(1)
        for layer in self.layers:
            h = layer(h)
        return self.mu(h)


class VEC(nn.Module):
    """The Variational Encoder Classifier of step 1, with optional auxiliary networks.

    Parameters
    ----------
    encoder, classifier : nn.Module
    detail, auxiliary : nn.Module or None
        Decoder of ``loss_detail`` and classifier of ``loss_distill``, which only step 1 needs, if at all.
    student : nn.Module or None
        Computes the codes instead of the encoder, in less time.
    """

    def __init__(
        self,
        encoder: nn.Module,
        classifier: nn.Module,
        detail: nn.Module | None = None,
        student: nn.Module | None = None,
        auxiliary: nn.Module | None = None,
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.classifier = classifier
        self.detail = detail
        self.student = student
        self.auxiliary = auxiliary

    def bare(self) -> VEC:
        """Return a VEC of the same encoder and classifiers, without auxiliary decoder and student."""
        return VEC(self.encoder, self.classifier, auxiliary=self.auxiliary)

    def drop_auxiliary(self) -> None:
        """Drop auxiliary decoder and classifier at the end of step 1."""
        self.detail = self.auxiliary = None

    def label_logits(self, z: Float[Tensor, "b k"], features: tuple[Tensor, ...]) -> Float[Tensor, "b c"]:
        """Return the class logits that learn from labels: of the auxiliary classifier, else of C."""
        return self.classifier(z) if self.auxiliary is None else self.auxiliary(features[-1])

    def code(self, x: Float[Tensor, "b *shape"]) -> Float[Tensor, "b k"]:
        """Return the mean of the code, from the student if there is one."""
        return self.encoder(x)[0] if self.student is None else self.student(x)

    def read(self, x: Float[Tensor, "b *shape"]) -> Encoding:
        """Return the encoder's output, with the mean of :meth:`code`."""
        encoding = Encoding(*self.encoder(x))
        return encoding if self.student is None else encoding._replace(mu=self.student(x))

    def forward(self, x: Float[Tensor, "b *shape"]) -> tuple[Tensor, Tensor]:
        """Return the mean of the code and its class logits."""
        mu = self.code(x)
        return mu, self.classifier(mu)


def to_memory_format(module: Net, spec: Spec) -> Net:
    """Convert the weights to channels last for images, which doubles the speed."""
    channels_last = len(spec.input_shape) == 3
    memory_format = torch.channels_last if channels_last else torch.contiguous_format
    return module.to(memory_format=memory_format)  # pyright: ignore[reportCallIssue]  # torch's stub lacks it


def build_vec(
    spec: Spec, with_detail: bool, encoder: nn.Module | None = None, with_auxiliary: bool = False
) -> VEC:
    """Build the networks of step 1, around the user's own encoder if given.

    The auxiliary decoder has half the widths: the code gets as informative at a third of the cost
    (docs/decisions.md).
    """
    detail = Decoder(replace(spec, widths=halved(spec.layer_widths))) if with_detail else None
    vec = VEC(encoder or Encoder(spec), Classifier(spec), detail)
    if spec.student_widths:
        vec.student = Student(spec)  # last, so that the others' initial weights do not depend on it
    vec.auxiliary = AuxiliaryClassifier(spec) if with_auxiliary else None
    return to_memory_format(vec, spec)


def copy_network(network: nn.Module) -> nn.Module:
    """Copy a network, even one that holds results of its last forward, as with ``nn.utils.weight_norm``."""
    derived = {
        id(value): value.detach().clone()
        for module in network.modules()
        for value in vars(module).values()
        if isinstance(value, Tensor) and not value.is_leaf
    }
    return copy.deepcopy(network, derived)


class Networks(NamedTuple):
    """The three networks of the method."""

    vec: VEC
    decoder: nn.Module
    discriminator: nn.Module


def build_networks(
    spec: Spec,
    with_detail: bool,
    encoder: nn.Module | None = None,
    decoder: nn.Module | None = None,
    with_auxiliary: bool = False,
) -> Networks:
    """Build the networks of both steps, around copies of the user's own encoder and decoder where given."""
    own = None if encoder is None else copy_network(encoder)
    vec = build_vec(spec, with_detail, own, with_auxiliary)
    return Networks(vec, *build_step2(spec, decoder))


def build_step2(spec: Spec, decoder: nn.Module | None = None) -> tuple[nn.Module, nn.Module]:
    """Build decoder and discriminator, around a copy of the user's own decoder where given."""
    own = Decoder(spec) if decoder is None else copy_network(decoder)
    return to_memory_format(own, spec), to_memory_format(Discriminator(spec), spec)
