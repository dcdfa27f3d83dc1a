"""Training that begins with the networks of an earlier fit."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from ssavae._checks import check
from ssavae.networks import Networks, Spec


@dataclass(frozen=True)
class EarlierFit:
    """Networks of an earlier fit, their sizes, and the classes that the classifier knows."""

    networks: Networks
    spec: Spec
    classes: np.ndarray

    def copy_to(self, networks: Networks, spec: Spec, classes: np.ndarray) -> None:
        """Copy the weights into new networks, those of the classifier only where the classes are the same.

        Raises
        ------
        ValueError
            If the new networks have other sizes.
        """
        sizes = replace(self.spec, n_classes=spec.n_classes)
        check(sizes == spec, f"warm_start=True goes on with {sizes}, but the parameters ask for {spec}")
        vec = self.networks.vec
        networks.vec.encoder.load_state_dict(vec.encoder.state_dict())
        if np.array_equal(self.classes, classes):
            networks.vec.classifier.load_state_dict(vec.classifier.state_dict())
        if vec.student is not None and networks.vec.student is not None:
            networks.vec.student.load_state_dict(vec.student.state_dict())
        networks.decoder.load_state_dict(self.networks.decoder.state_dict())
        networks.discriminator.load_state_dict(self.networks.discriminator.state_dict())
