"""THE METRIC TABLE: every figure of an evaluation, how a clip is scored for it, and what a better one is."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from uniaudio.evaluate.cases import Case
from uniaudio.evaluate.heard import Heard, like
from uniaudio.evaluate.metrics.caption_agreement import caption_agreement
from uniaudio.evaluate.metrics.chroma_similarity import chroma_similarity
from uniaudio.evaluate.metrics.class_accuracy import class_accuracy, contains
from uniaudio.evaluate.metrics.diversity import diversity
from uniaudio.evaluate.metrics.dnsmos import dnsmos
from uniaudio.evaluate.metrics.duration_error import duration_error
from uniaudio.evaluate.metrics.frechet_distance import frechet_distance
from uniaudio.evaluate.metrics.joins import join_click
from uniaudio.evaluate.metrics.kl_divergence import kl_divergence
from uniaudio.evaluate.metrics.mel_cepstral_distortion import mel_cepstral_distortion
from uniaudio.evaluate.metrics.mel_distance import mel_distance
from uniaudio.evaluate.metrics.pesq import pesq
from uniaudio.evaluate.metrics.pitch import pitch_error, voicing_error
from uniaudio.evaluate.metrics.rate import CLASSES, delivery, style_class, style_ratios
from uniaudio.evaluate.metrics.reverberation_ratio import gap_ratio
from uniaudio.evaluate.metrics.si_sdr import si_sdr
from uniaudio.evaluate.metrics.speaker_similarity import similarity
from uniaudio.evaluate.metrics.srmr import srmr
from uniaudio.evaluate.metrics.stoi import stoi
from uniaudio.evaluate.metrics.tempo import tempo_bpm, tempo_error
from uniaudio.evaluate.metrics.wer import character_errors, word_errors

# What a clip adds to a figure: (value, weight). The figure is the sum of the values over the sum of the weights, so
# that word errors count by words; of most metrics the weight is 1.
Score = tuple[float, float]
LEAST_VECTORS = 32  # seconds; with few the distance is too large, but columns of one set have equally many
OWN_JUDGE = "our own classifier of made audio"


@dataclass(frozen=True, kw_only=True)
class Metric:
    """One figure of clips. `judge` scores one and raises ValueError for a clip that it cannot judge."""

    about: str
    better: Literal["higher", "lower"]
    judge: Callable[[Case, Heard], Score]
    package: str | None = None  # an optional one: without it the figure is left out


@dataclass(frozen=True, kw_only=True)
class SetMetric:
    """One figure of a whole set: `judge` compares vectors [n, D] of the clips with those of the references."""

    about: str
    better: Literal["higher", "lower"]
    judge: Callable[[np.ndarray, np.ndarray], float]
    package: str | None = None


def _errors(count: Callable[[str, str], tuple[int, int]]) -> Callable[[Case, Heard], Score]:
    def judge(case: Case, made: Heard) -> Score:
        if not case.text:
            raise ValueError("the example has no words")
        errors, size = count(case.text, made.words)
        return float(errors), float(size)

    return judge


def _alone(value: Callable[[Heard], float]) -> Callable[[Case, Heard], Score]:
    return lambda case, made: (float(value(made)), 1.0)


def _beside(value: Callable[[Heard, Heard], float], in_step: bool = False) -> Callable[[Case, Heard], Score]:
    """Return the judge of a comparison with the reference; `in_step`: at its rate and with its length."""

    def judge(case: Case, made: Heard) -> Score:
        original = case.reference
        return float(value(original, Heard(like(original.audio, made.audio)) if in_step else made)), 1.0

    return judge


def _similarity(case: Case, made: Heard) -> Score:
    """Compare with the prompt's voice; where there is no prompt, with the reference's."""
    wanted = case.voices[case.speaker] if case.speaker in case.voices else case.reference.voice
    return similarity(made.voice, wanted), 1.0


def _nearest(case: Case, made: Heard) -> Score:
    if len(case.voices) < 2:
        raise ValueError("there is no other voice to compare with")
    nearest = max(case.voices, key=lambda name: similarity(made.voice, case.voices[name]))
    return float(nearest == case.speaker), 1.0


def _classes(case: Case, made: Heard) -> Score:
    labels = case.labels
    kind, asked = ("instrument", labels["instruments"]) if "instruments" in labels else ("event", labels.get("classes"))
    return class_accuracy(made.events.probabilities[kind], asked or ()), 1.0


def _edited(case: Case, made: Heard) -> Score:
    """Is what was added there, and what was removed gone? Edits of no event cannot be judged."""
    added, removed = (case.labels.get(name) or [] for name in ("added", "removed"))
    if not added and not removed:
        raise ValueError(f"the edit {case.labels.get('edit')!r} adds and removes no event")
    heard = made.events.probabilities["event"]
    right = all(contains(heard, name) for name in added) and not any(contains(heard, name) for name in removed)
    return float(right), 1.0


def _style(name: str) -> Callable[[Case, Heard], Score]:
    """Return the judge of a class of delivery, told from the reference, which was spoken as the instruction says."""

    def judge(case: Case, made: Heard) -> Score:
        asked = (case.labels.get("style") or {}).get(name)
        if asked not in CLASSES[name]:
            raise ValueError(f"the example does not say which {name} is asked for")
        spoken, reference = (delivery(one.audio, case.text) for one in (made, case.reference))
        ratio = style_ratios(spoken, reference)[name] * CLASSES[name][asked]
        return float(style_class(name, ratio) == asked), 1.0

    return judge


def _joins(case: Case, made: Heard) -> Score:
    """Score the worse of the two joins of an edit by how far it stands out, in dB."""
    edges = [seconds for seconds in case.labels.get("removed") or () if 0 < seconds < made.audio.seconds]
    if not edges:
        raise ValueError("the edit has no join inside the recording")
    return max(join_click(made.audio, seconds) for seconds in edges), 1.0


def _tempo(case: Case, made: Heard) -> Score:
    if "tempo_bpm" not in case.labels:
        raise ValueError("the example has no tempo")
    return tempo_error(tempo_bpm(made.audio), float(case.labels["tempo_bpm"])), 1.0


METRICS: Mapping[str, Metric] = {
    "wer": Metric(about="word errors per word, by pocketsphinx", better="lower", judge=_errors(word_errors)),
    "cer": Metric(about="letter errors per letter, by pocketsphinx", better="lower", judge=_errors(character_errors)),
    "speaker_similarity": Metric(about="cosine with the prompt, by resemblyzer", better="higher", judge=_similarity),
    "nearest_voice": Metric(
        about="share nearest to the asked speaker, of all speakers in the set", better="higher", judge=_nearest
    ),
    "dnsmos": Metric(
        about="DNSMOS P.835 overall, 1 to 5",
        better="higher",
        judge=_alone(lambda made: dnsmos(made.audio).overall),
        package="speechmos",
    ),
    "pesq": Metric(
        about="wide-band PESQ",
        better="higher",
        judge=_beside(lambda original, made: pesq(original.audio, made.audio), in_step=True),
        package="pesq",
    ),
    "stoi": Metric(
        about="short-time objective intelligibility",
        better="higher",
        judge=_beside(lambda original, made: stoi(original.audio, made.audio), in_step=True),
    ),
    "si_sdr": Metric(
        about="scale-invariant signal-to-distortion ratio, dB",
        better="higher",
        judge=_beside(lambda original, made: si_sdr(original.audio, made.audio), in_step=True),
    ),
    "srmr": Metric(
        about="speech-to-reverberation modulation energy ratio",
        better="higher",
        judge=_alone(lambda made: srmr(made.audio)),
    ),
    "mel_distance": Metric(
        about="log-mel distance from the reference, dB",
        better="lower",
        judge=_beside(lambda original, made: mel_distance(original.audio, made.audio)),
    ),
    "mel_cepstral_distortion": Metric(
        about="mel-cepstral distortion after alignment, dB",
        better="lower",
        judge=_beside(lambda original, made: mel_cepstral_distortion(original.audio, made.audio)),
    ),
    "pitch": Metric(
        about="share of voiced frames more than 50 cents from the reference",
        better="lower",
        judge=_beside(lambda original, made: pitch_error(original.pitch, made.pitch), in_step=True),
        package="parselmouth",
    ),
    "voicing": Metric(
        about="share of frames voiced in one and not in the other",
        better="lower",
        judge=_beside(lambda original, made: voicing_error(original.pitch, made.pitch), in_step=True),
        package="parselmouth",
    ),
    "duration_error": Metric(
        about="relative error of the length",
        better="lower",
        judge=_beside(lambda original, made: duration_error(original.audio, made.audio)),
    ),
    "speech_to_reverberation": Metric(
        about="energy of the speech over that in its gaps, dB",
        better="higher",
        judge=_beside(lambda original, made: gap_ratio(original.audio, made.audio)),
    ),
    "rate_class": Metric(
        about="share spoken at the asked rate: slow, normal, fast",
        better="higher",
        judge=_style("rate"),
        package="parselmouth",
    ),
    "pitch_class": Metric(
        about="share spoken at the asked pitch: low, normal, high",
        better="higher",
        judge=_style("pitch"),
        package="parselmouth",
    ),
    "join_click": Metric(about="how far the worse join stands out, dB", better="lower", judge=_joins),
    "tempo_error": Metric(about="relative error of the tempo", better="lower", judge=_tempo),
    "chroma_similarity": Metric(
        about="cosine of the chroma with the reference's",
        better="higher",
        judge=_beside(lambda original, made: chroma_similarity(original.audio, made.audio)),
    ),
    "class_accuracy": Metric(
        about=f"share of the asked events or instruments among the likeliest, by {OWN_JUDGE}",
        better="higher",
        judge=_classes,
    ),
    "edit_accuracy": Metric(
        about=f"share with the added event there and the removed one gone, by {OWN_JUDGE}",
        better="higher",
        judge=_edited,
    ),
    "caption_agreement": Metric(
        about=f"share of what the caption names that is heard, by {OWN_JUDGE}",
        better="higher",
        judge=lambda case, made: (caption_agreement(made.events.probabilities, case.example.given["caption"]), 1.0),
    ),
    "kl_divergence": Metric(
        about=f"divergence from the reference's classes, nats, by {OWN_JUDGE}",
        better="lower",
        judge=_beside(lambda original, made: kl_divergence(original.events.distribution, made.events.distribution)),
    ),
}

SET_METRICS: Mapping[str, SetMetric] = {
    "frechet_distance": SetMetric(
        about=f"Frechet distance from the references, over the seconds of {OWN_JUDGE}",
        better="lower",
        judge=lambda own, reference: frechet_distance(reference, own, LEAST_VECTORS),
    ),
    "diversity": SetMetric(
        about=f"mean cosine distance between seconds, by {OWN_JUDGE}",
        better="higher",
        judge=lambda own, reference: diversity(own),
    ),
}
