"""Opinion of noisy speech without a reference: DNSMOS P.835 (Reddy et al. 2022), its model inside `speechmos` (MIT).

It tells noise from speech, and prefers some synthetic voices to human ones: no measure of naturalness.
"""

import functools
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from uniaudio.audio.io import Audio
from uniaudio.evaluate.metrics import judge_package

RATE = 16000
WINDOW = int(9.01 * RATE)  # samples that the network hears at once; windows start every second
MIN_SECONDS = 0.5
# The published mapping of the network's answers to opinions (DNS-Challenge, dnsmos_local.py), highest power first.
_MAPPINGS = {
    "overall": (-0.06766283, 1.11546468, 0.04602535),
    "signal": (-0.08397278, 1.22083953, 0.0052439),
    "background": (-0.13166888, 1.60915514, -0.39604546),
}


class Opinion(NamedTuple):
    """Mean opinion scores, 1 (worst) to 5: overall, of the speech, of the background (5: none is heard)."""

    overall: float
    signal: float
    background: float


def dnsmos(audio: Audio) -> Opinion:
    """Return the opinion of a recording, the mean over windows of 9.01 s; a shorter one is doubled until it fits.

    Raises ValueError below 0.5 s and for digital silence, and InputError when a package is missing.
    """
    samples = audio.mono().resample(RATE).samples[0]
    if len(samples) < MIN_SECONDS * RATE or not np.any(samples):
        raise ValueError(f"DNSMOS needs {MIN_SECONDS} s of sound that is not silent, got {len(samples) / RATE:.2f} s")
    while len(samples) < WINDOW:
        samples = np.concatenate([samples, samples])
    network = _network()
    # As the published code counts: a last window that ends in a begun second is left out.
    starts = [RATE * index for index in range(int(len(samples) // RATE - WINDOW / RATE) + 1)]
    raw = np.stack([network.run(None, {"input_1": samples[None, s : s + WINDOW]})[0][0] for s in starts])
    signal, background, overall = raw.T  # [windows] each
    answers = {"overall": overall, "signal": signal, "background": background}
    return Opinion(**{name: float(np.polyval(_MAPPINGS[name], values).mean()) for name, values in answers.items()})


@functools.cache
def _network() -> Any:
    """Open the network on one thread. The package's own code would need librosa, for a model that is not used here."""
    runtime = judge_package("onnxruntime")
    options = runtime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    path = Path(judge_package("speechmos").__file__).parent / "dnsmos_models" / "sig_bak_ovr.onnx"
    return runtime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
