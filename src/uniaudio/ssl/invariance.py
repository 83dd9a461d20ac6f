"""Directions of a feature space that a nuisance disturbs least, for what there is to tell; it knows nothing of sound.

N vectors, D width of a vector, W width that is kept
"""

import torch
from torch import Tensor

from uniaudio.errors import InputError


def least_disturbed(vectors: Tensor, disturbances: Tensor, width: int, floor: float = 0.03) -> Tensor:
    """Return a matrix [D, W]: `vectors @ matrix` has the W directions of the most variance per variance of nuisance.

    `disturbances` [N', D] are the changes of some vectors that mean nothing. In the result they have about variance 1
    in every direction (linear discriminant analysis with the nuisance as what is within a class; `floor` is added to
    it, as a share of the vectors' own variance). Raises InputError for more directions than there are.
    """
    size = vectors.shape[1]
    if not 1 <= width <= size:
        raise InputError(f"{width} directions cannot be kept of {size}: use 1 to {size}")
    total = torch.cov(vectors.double().T).reshape(size, size)
    nuisance = disturbances.double().T @ disturbances.double() / len(disturbances)
    values, directions = torch.linalg.eigh(nuisance + torch.diag(floor * total.diagonal() + 1e-9))
    whitened = directions * values.rsqrt()  # [D, D]: the nuisance has variance 1 in every direction
    _, order = torch.linalg.eigh(whitened.T @ total @ whitened)  # ascending variance
    return (whitened @ order[:, -width:].flip(1)).float()
