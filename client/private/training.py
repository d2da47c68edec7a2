"""Local steps of the CNN that hide each patient: the private twin of `client.network`'s training.

At each step every patient is taken in with the same small probability, independent of the others
(Poisson sampling). A patient's gradient is that of its mean loss over its slices and views; it is
clipped to the norm C, the clipped ones are added up, noise of standard deviation z C is added, and
the sum is divided by a number that does not depend on who was drawn (Abadi et al., CCS 2016,
algorithm 1, with the patient for the example). One patient more or less changes the sum by at most
C, so a step is one sampled Gaussian mechanism of multiplier z.

Patients pass through the network one at a time. That gives Opacus what it needs, one gradient a
patient, takes a third of the time of its gradients by slice, and no memory for them. It also keeps
the random numbers of augmentation and dropout each patient's own: they depend on the patient's data
and the step alone, so one patient more or less does not change what the others give.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import Parameter, functional

from client.network.augment import augment, channels
from client.network.proximal import add_pull, copies
from client.network.slices import Slices
from client.private.question import PrivateQuestion, PrivateSteps, PrivateTrainingError
from client.private.secret_optimizer import SecretOptimizer
from common.cnn import ScarNet, build, flatten
from common.privacy.secret_noise import SecretNoise, digest_of, name_of


@dataclass(frozen=True, eq=False)
class PrivateResult:
    """Weights (m,) that may leave the site, and counts that may not.

    Attributes
    ----------
    drawn : (steps,) patients of each step
    clipped : share of their gradients that were longer than the clip
    unusable : gradients that were not finite, and counted as zero
    loss : mean training loss
    """

    weights: NDArray[np.float32]
    drawn: NDArray[np.int64]
    clipped: float
    unusable: int
    loss: float


def train_privately(question: PrivateQuestion, secret: bytes) -> PrivateResult:
    """Train for the steps of the question, and answer the same for the same arguments.

    Parameters
    ----------
    secret
        At least 32 random bytes that never leave the site: sampling and noise come from them.

    Raises
    ------
    PrivateTrainingError
        Slices and patients differ in number, or the weights are no longer finite.
    SecretTooShort
        The secret could be guessed.
    """
    torch.set_num_threads(1)
    slices, how, subject = question.slices, question.how, question.subject
    owned = _owned(slices, question.patient)
    network = _network(question)
    parameters = _trained(network, how.trained)
    optimizer = SecretOptimizer(
        _plain_optimizer(parameters, how),
        how.noise_multiplier,
        how.clip,
        how.expected_patients,
        SecretNoise(secret, b"noise", subject),
    )
    if question.proximal_mu > 0.0:
        optimizer.attach_step_hook(_pull(parameters, question.proximal_mu))
    sampling = SecretNoise(secret, b"patients", subject)
    views = name_of(secret, digest_of("views", question.place))
    drawn, losses, norms = [], [], []
    for step in range(how.steps):
        chosen = np.flatnonzero(sampling.uniforms(len(owned)) < how.sampling_rate)
        drawn.append(chosen.size)
        for number in chosen:
            own, tag = owned[number]
            seed = int.from_bytes(digest_of(views, str(step), tag)[:8], "big") >> 1
            loss, gradients = patient_gradient(network, own, how, question.class_weights, seed)
            norm = float(torch.stack([one.norm() for one in gradients]).norm())
            norms.append(norm)
            losses.append(loss)
            if np.isfinite(norm):
                optimizer.add_patient(gradients)
        optimizer.finish()
    weights = flatten(network)
    if not np.isfinite(weights).all():
        raise PrivateTrainingError(
            "The weights are no longer finite.", "Set a lower learning rate in the study."
        )
    usable = np.isfinite(norms)
    return PrivateResult(
        weights=weights,
        drawn=np.array(drawn, dtype=np.int64),
        clipped=float(np.mean(np.array(norms)[usable] > how.clip)) if usable.any() else 0.0,
        unusable=int((~usable).sum()),
        loss=float(np.mean(np.array(losses)[usable])) if usable.any() else 0.0,
    )


def patient_gradient(
    network: ScarNet,
    slices: Slices,
    how: PrivateSteps,
    class_weights: NDArray[np.float64],
    seed: int,
) -> tuple[float, list[Tensor]]:
    """Give the loss of one patient's slices, and its gradient by each parameter.

    The loss is the mean over slices and views of the class-weighted binary cross-entropy. `seed`
    is for augmentation and dropout.
    """
    labels = torch.from_numpy(slices.labels).repeat(how.views)
    images = torch.from_numpy(slices.images).repeat(how.views, 1, 1)
    masks = torch.from_numpy(slices.masks).repeat(how.views, 1, 1)
    balance = torch.tensor(class_weights, dtype=torch.float32)[labels]
    if how.augmentation == "none":
        batch = channels(images, masks)
    else:
        generator = torch.Generator().manual_seed(seed)
        intensity = how.augmentation == "geometry+intensity"
        batch = augment(images, masks, generator, intensity=intensity)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        loss = functional.binary_cross_entropy_with_logits(
            network(batch), labels.float(), weight=balance
        )
    learning = [parameter for parameter in network.parameters() if parameter.requires_grad]
    gradients = torch.autograd.grad(loss, learning)
    return float(loss.detach()), list(gradients)


def _network(question: PrivateQuestion) -> ScarNet:
    """Build the network, leaving torch's own generator as it was."""
    cnn, side = question.cnn, question.slices.images.shape[-1]
    with torch.random.fork_rng(devices=[]):
        network = build(question.weights, cnn.width, cnn.dropout, side)
    network.train()
    return network


def _owned(slices: Slices, patient: NDArray[np.int64]) -> list[tuple[Slices, bytes]]:
    """Cut slices by patient; each with a digest of its data."""
    if patient.shape != slices.labels.shape:
        raise PrivateTrainingError(
            f"There are {len(slices)} slices and patients of {patient.size}.",
            "Each slice belongs to one patient.",
        )
    found = []
    for number in np.unique(patient):
        own = patient == number
        part = Slices(slices.images[own], slices.masks[own], slices.labels[own])
        found.append((part, digest_of(part.images, part.masks, part.labels)))
    return found


def _trained(network: ScarNet, which: str) -> list[Parameter]:
    """Let only the layers of `which` learn, and list their parameters."""
    parts = {"all": ("",), "dense": ("dense.", "head."), "head": ("head.",)}[which]
    for name, parameter in network.named_parameters():
        parameter.requires_grad_(name.startswith(parts))
    return [parameter for parameter in network.parameters() if parameter.requires_grad]


def _plain_optimizer(parameters: list[Parameter], how: PrivateSteps) -> torch.optim.Optimizer:
    if how.optimizer == "sgd":
        return torch.optim.SGD(parameters, lr=how.learning_rate)
    return torch.optim.Adam(parameters, lr=how.learning_rate)


def _pull(parameters: list[Parameter], mu: float) -> Callable[[object], None]:
    """Add FedProx's pull to the noisy gradient: it depends on released weights alone."""
    received = copies(parameters)

    def hook(_: object) -> None:
        add_pull(parameters, received, mu)

    return hook
