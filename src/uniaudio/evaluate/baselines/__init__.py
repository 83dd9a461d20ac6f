"""What a user would try instead of a model: THE BASELINE TABLE, one file each, and what each needs installed."""

import importlib.util
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from uniaudio.audio.io import Audio
from uniaudio.errors import InputError
from uniaudio.evaluate.baselines.gating import gate
from uniaudio.evaluate.baselines.interpolation import edit
from uniaudio.evaluate.baselines.retrieval import Training, retrieve
from uniaudio.evaluate.baselines.rnnoise import denoise
from uniaudio.evaluate.baselines.splice import splice_words
from uniaudio.evaluate.baselines.sung import sing
from uniaudio.evaluate.baselines.tts import instructed_espeak, instructed_flite, spoken_by_espeak, spoken_by_flite
from uniaudio.evaluate.baselines.world import convert
from uniaudio.evaluate.baselines.wpe import dereverberate

RATE = 16000
_PROGRAMS = {"flite": "on Debian: apt-get install flite"}
_PACKAGES = {
    "espeakng_loader": "pip install espeakng-loader",
    "lhotse": "pip install lhotse",
    "nara_wpe": "pip install nara_wpe",
    "noisereduce": "pip install noisereduce",
    "pyrnnoise": "pip install --no-deps pyrnnoise",
    "pyworld": "pip install 'setuptools<81' pyworld (it needs a C++ compiler)",
    "scipy": "pip install scipy",
}


@dataclass(frozen=True, kw_only=True)
class Baseline:
    """One thing to try instead: `make` takes the fields of the request by name, `needs` are programs and packages.

    `make` gets audio at 16 kHz and mono, and `training` too if the baseline `learns`.
    """

    name: str
    about: str
    make: Callable[..., Audio]
    needs: tuple[str, ...] = ()
    learns: bool = False

    def missing(self) -> str | None:
        """Return what must be installed first and how, or None when everything is there."""
        for need in self.needs:
            if need in _PROGRAMS and shutil.which(need) is None:
                return f"the baseline {self.name} needs the program {need}, which is not installed: {_PROGRAMS[need]}"
            if need in _PACKAGES and importlib.util.find_spec(need) is None:
                return f"the baseline {self.name} needs the package {need}, which is not installed: {_PACKAGES[need]}"
        return None

    def run(self, request: Mapping[str, Any], training: Training | None = None) -> Audio:
        """Return the baseline's answer [1, N] at 16 kHz in [-1, 1]; the same request gives the same answer.

        `request` maps each field of the task to a text, a score or Audio. Raises InputError when something is missing
        or the request is wrong, ValueError with the reason for a clip that the baseline cannot do.
        """
        lacking = self.missing() or ("retrieval needs the training examples" if self.learns and not training else None)
        if lacking:
            raise InputError(lacking)
        fields = {name: _heard(name, value) for name, value in request.items()}
        made = self.make(**fields, training=training) if self.learns else self.make(**fields)
        made = made.mono().resample(RATE)
        if not made.samples.size or not np.isfinite(made.samples).all():
            raise ValueError(f"the baseline {self.name} makes no sound of this clip")
        return Audio(made.samples.clip(-1, 1), RATE)


def _heard(name: str, value: Any) -> Any:
    """Return a value of a request, audio at 16 kHz and mono; raises ValueError for audio that holds no numbers."""
    if not isinstance(value, Audio):
        return value
    if not value.samples.size or not np.isfinite(value.samples).all():
        raise ValueError(f"{name} is empty or holds values that are not numbers")
    return value.mono().resample(RATE)


_RETRIEVAL = Baseline(
    name="retrieval",
    about="the training clip with the nearest caption (TF-IDF)",
    make=retrieve,
    needs=("lhotse",),
    learns=True,
)

# Task -> its baselines; the first one that is installed stands in the table.
BASELINES: dict[str, tuple[Baseline, ...]] = {
    "tts": (
        Baseline(
            name="flite",
            about="flite, male or female and as high as the prompt",
            make=spoken_by_flite,
            needs=("flite",),
        ),
        Baseline(
            name="espeak-ng",
            about="espeak-ng, male or female and as high as the prompt",
            make=spoken_by_espeak,
            needs=("espeakng_loader",),
        ),
    ),
    "voice_conversion": (
        Baseline(
            name="WORLD",
            about="WORLD resynthesis, mean pitch and formants moved to the speaker's",
            make=convert,
            needs=("pyworld",),
        ),
    ),
    "speech_enhancement": (
        Baseline(name="RNNoise", about="RNNoise, a small recurrent denoiser", make=denoise, needs=("pyrnnoise",)),
        Baseline(name="spectral gating", about="noisereduce's spectral gate", make=gate, needs=("noisereduce",)),
    ),
    "target_speaker_extraction": (
        Baseline(name="mixture", about="the mixture as it is", make=lambda mixture, speaker: mixture),
    ),
    "singing_synthesis": (
        Baseline(
            name="espeak-ng, re-pitched",
            about="espeak-ng's monotone, each note moved to its pitch by overlap-add",
            make=sing,
            needs=("espeakng_loader",),
        ),
    ),
    "text_to_sound": (_RETRIEVAL,),
    "text_to_music": (_RETRIEVAL,),
    "audio_edit": (
        Baseline(
            name="interpolation",
            about="a hole filled by linear interpolation of the spectrum; other edits change nothing",
            make=edit,
            needs=("scipy",),
        ),
    ),
    "dereverberation": (
        Baseline(
            name="WPE", about="weighted prediction error, one channel", make=dereverberate, needs=("nara_wpe", "scipy")
        ),
    ),
    "instructed_tts": (
        Baseline(
            name="flite", about="flite, set by keywords of the instruction", make=instructed_flite, needs=("flite",)
        ),
        Baseline(
            name="espeak-ng",
            about="espeak-ng, set by keywords of the instruction",
            make=instructed_espeak,
            needs=("espeakng_loader",),
        ),
    ),
    "speech_edit": (
        Baseline(
            name="flite splice",
            about="flite's words cut into the recording at aligned word borders",
            make=splice_words,
            needs=("flite", "espeakng_loader"),
        ),
    ),
}


def baseline(task: str) -> Baseline:
    """Return the baseline that stands in the table of a task: the first that is installed, else the first."""
    return next((one for one in BASELINES[task] if one.missing() is None), BASELINES[task][0])


def missing(task: str) -> str | None:
    """Return why a task has no baseline on this machine and how to get one; None when it has one."""
    return baseline(task).missing()
