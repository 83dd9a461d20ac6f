"""placeholder"""

from pathlib import Path
from uniaudio import weights
from uniaudio.errors import InputError


def load_latent(name, precision="float32"):
    from uniaudio.engines.latent_public import is_public, load_public

    folder = weights.find(name)
    if precision != "float32":
        raise InputError(
            f"{folder} is a latent diffusion model, which is not computed in int8: leave the precision out"
        )
    return load_public(folder)
