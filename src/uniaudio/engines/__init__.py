"""Engines: request -> audio."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from uniaudio.engines.base import Engine


def load(name_or_folder: str, *, compiled: bool = True, precision: str = "float32") -> "Engine":
    """Return the engine of a shipped model (by name) or of a checkpoint folder; raises InputError if there is none.

    A folder says what it holds: a language model over codes, or a latent diffusion model, ours or a public one. Unless
    `compiled` is False, each frame of the first kind is computed by one graph of ONNX Runtime, where it is installed
    and the model is multi-scale: in float32 the ids are the plain model's. `precision` "int8" needs it, and computes
    with 8-bit weights; raises InputError where that cannot be.
    """
    from uniaudio.engines.kinds import is_latent

    if is_latent(name_or_folder):
        from uniaudio.engines.latent_folder import load_latent

        return load_latent(name_or_folder, precision)
    from uniaudio.engines.bundle import load_engine

    engine = load_engine(name_or_folder)
    if compiled or precision != "float32":
        engine.compile(precision)
    return engine
