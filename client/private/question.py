"""What private training is asked for, and the name of its answer."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.metadata import version
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray

from client.network.slices import Slices
from common.errors import MyoFedError
from common.privacy.secret_noise import digest_of, name_of
from common.study_tables import Cnn


class PrivateTrainingError(MyoFedError):
    """Private training was asked for with impossible arguments, or went astray."""

    code = "private-training-failed"
    public = "The site could not train with privacy."


@dataclass(frozen=True)
class PrivateSteps:
    """How to train. None of it may depend on the patients' data.

    Attributes
    ----------
    steps : steps of the optimiser
    sampling_rate : probability that a patient is taken in at a step, above 0 and at most 1
    expected_patients : what the noisy sum of a step is divided by; about the rate times the
        patients, from numbers that are public or were themselves released with noise
    noise_multiplier : z; 0 adds no noise and hides nobody
    clip : C, the largest norm of a patient's gradient
    learning_rate, optimizer : of the steps, by Adam or plain gradient descent
    views : augmented copies of each slice, averaged before clipping (De et al., arXiv:2204.13650)
    augmentation : as in the study
    trained : which layers: all, the dense ones and the head, or the head alone (257 weights); the
        others stay as received. The noise grows with the root of their number.
    """

    steps: int
    sampling_rate: float
    expected_patients: float
    noise_multiplier: float
    clip: float
    learning_rate: float
    optimizer: Literal["adam", "sgd"] = "adam"
    views: int = 1
    augmentation: Literal["geometry+intensity", "geometry", "none"] = "geometry+intensity"
    trained: Literal["all", "dense", "head"] = "all"

    def __post_init__(self) -> None:
        if not (
            self.steps >= 0
            and 0.0 < self.sampling_rate <= 1.0
            and 0.0 < self.expected_patients < np.inf
            and 0.0 <= self.noise_multiplier < np.inf
            and 0.0 < self.clip < np.inf
            and 0.0 < self.learning_rate < np.inf
            and self.views >= 1
        ):
            raise PrivateTrainingError(
                f"These settings cannot be trained with: {self}.",
                "Rates lie above 0 and at most 1; noise is 0 or more; all others are above 0.",
            )


@dataclass(frozen=True, eq=False)
class PrivateQuestion:
    """All that the answer depends on but the secret.

    Attributes
    ----------
    weights : (m,) the received network
    slices : n slices
    patient : (n,) the patient of each slice, any integers
    class_weights : (2,) of negative and positive slices; public, or made of noisy counts
    proximal_mu : of FedProx; 0 for none
    place : where in which run, for example ``run-7/train/fold 0/round 3``
    """

    weights: NDArray[np.float32]
    slices: Slices
    patient: NDArray[np.int64]
    cnn: Cnn
    how: PrivateSteps
    class_weights: NDArray[np.float64]
    proximal_mu: float
    place: str

    @property
    def subject(self) -> bytes:
        """Give a digest of everything, and of the software and processor that compute it."""
        slices = self.slices
        software = [f"{name} {version(name)}" for name in ("torch", "numpy", "scipy", "opacus")]
        return digest_of(
            *(self.place, repr(self.how), self.cnn.model_dump_json(), repr(self.proximal_mu)),
            *(*software, torch.backends.cpu.get_cpu_capability()),
            *(self.weights, self.class_weights, self.patient),
            *(slices.images, slices.masks, slices.labels),
        )

    def name(self, secret: bytes) -> str:
        """Name the answer for the ledger: an answer of the same name costs nothing anew."""
        return name_of(secret, self.subject)
