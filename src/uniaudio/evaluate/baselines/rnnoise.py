"""Noise removed by RNNoise (Valin 2018), from the library inside the package pyrnnoise, called directly.

The package's own Python needs audio packages that we do not; only its library and the weights in it are used.

N samples
"""

import ctypes
import functools
import importlib.util
from pathlib import Path

import numpy as np

from uniaudio.audio.io import Audio
from uniaudio.errors import InputError

_RATE, _FRAME = 48000, 480  # what RNNoise works in
_DELAY = 960  # samples from input to output: one frame of overlap and one of look-ahead
_NAMES = ("librnnoise.so", "librnnoise.dylib", "rnnoise.dll")
_FULL_SCALE = 32768.0


def denoise(noisy: Audio) -> Audio:
    """Return the recording as RNNoise leaves it, in step with the input and as long.

    Raises InputError when its library cannot be loaded.
    """
    library = _library()
    loud = noisy.resample(_RATE).samples[0] * _FULL_SCALE
    frames = np.pad(loud, (0, _DELAY + -(len(loud) + _DELAY) % _FRAME)).reshape(-1, _FRAME).astype(np.float32)
    result = np.empty_like(frames)
    state = library.rnnoise_create(None)
    for frame, place in zip(frames, result, strict=True):
        library.rnnoise_process_frame(state, place.ctypes.data, frame.ctypes.data)
    library.rnnoise_destroy(state)
    made = result.reshape(-1)[_DELAY : _DELAY + len(loud)] / _FULL_SCALE
    back = Audio(made.clip(-1, 1)[None], _RATE).resample(noisy.sample_rate).samples
    size = noisy.samples.shape[1]
    return Audio(np.pad(back, ((0, 0), (0, max(0, size - back.shape[1]))))[:, :size], noisy.sample_rate)


@functools.cache
def _library() -> ctypes.CDLL:
    found = importlib.util.find_spec("pyrnnoise")  # found, not imported: its imports are not needed
    folder = Path(found.origin).parent if found is not None and found.origin else Path()
    path = next((folder / name for name in _NAMES if (folder / name).exists()), None)
    if path is None:
        raise InputError("RNNoise's library is not inside pyrnnoise: pip install --no-deps --force-reinstall pyrnnoise")
    try:
        library = ctypes.CDLL(str(path))
    except OSError as error:
        raise InputError(f"RNNoise's library does not load on this machine ({error}): leave RNNoise out") from error
    library.rnnoise_create.argtypes, library.rnnoise_create.restype = [ctypes.c_void_p], ctypes.c_void_p
    library.rnnoise_destroy.argtypes = [ctypes.c_void_p]
    library.rnnoise_process_frame.argtypes = [ctypes.c_void_p] * 3  # state, output, input
    library.rnnoise_process_frame.restype = ctypes.c_float
    return library
