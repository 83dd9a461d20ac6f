"""Times of the phones of any recording with a transcript, by dynamic time warping against espeak-ng's timed speech.

N samples, T frames of 5 ms, R reference frames, C cepstra and their slopes, P phones, S states
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from uniaudio.data.alignment import transfer_times
from uniaudio.data.timed_espeak import MARKS, SAMPLE_RATE, WORDS_PER_MINUTE, TimedSpeech, timed_speech
from uniaudio.errors import InputError
from uniaudio.tokenizers.phoneme import STRESSES, TimedPhone, phonemes

_SILENT = MARKS | {"sil"}
_HOP, _WINDOW, _FFT = 80, 400, 512
_NUM_MELS, _NUM_CEPSTRA = 26, 13
_POWER_FLOOR = 2e-3  # of a mel band, against the mean power of a bin: what is quieter counts as silence
_SLOPE_WEIGHT = 5.0  # of the slopes of the cepstra, which are small, against the cepstra
_VARIANTS = ("m3", "f2")  # reference voices of espeak
_WARPS = (0.9, 1.0, 1.1)  # lengths of the vocal tract tried for the recording
_STEP_COSTS = np.array([0.2, 0.0, 0.15, 0.5], dtype=np.float32)  # reference frames 0, 1, 2, 3 per recorded frame
_QUIET_DB, _QUIET_SHARE = 42.0, 0.3  # silence is this far below the loud parts, or this near to the background noise
_PAUSE_FRAMES = 30  # 150 ms: longer than the closure of a stop
_PAUSE_COST = 20.0  # of a pause between phones where the text has no mark
_INSIDE_COST = 1000.0  # of a pause inside a phone
_MODEL_SCALE = 4.0  # costs of models over those of warping
_CLICK_FRAMES = 12  # a sound before or after all pauses is speech when it is at least this long
_SILENCE_RMS, _STEADY_DB = 1e-4, 3.0
_SHORTEST_PHONE = 0.025  # seconds on average; fluent speech has 60 to 100 ms
_STATES = 3
_PRIOR_FRAMES = 20.0  # weight of the statistics of all speech in those of one state
_VARIANCE_FLOOR = 0.02
_BLOCK_ROWS = 256
_BAND = 800  # frames (4 s) that a path may stray from the diagonal


@dataclass(frozen=True, eq=False)
class PhoneModels:
    """A Gaussian per third of a phone: `means` and `variances` [models, C]; `index` maps (bare phone, state) to one.

    Model 0 is that of all speech; it stands for phones that were never met.
    """

    index: dict[tuple[str, int], int]
    means: np.ndarray
    variances: np.ndarray


@dataclass(frozen=True, eq=False)
class _Speech:
    """The frames of a recording between whose ends it is spoken, with each long pause as a single row.

    `rows` [T + 1] are positions in 5 ms frames (the last is the end of speech); `pause` [T] marks the pauses.
    """

    rows: np.ndarray
    pause: np.ndarray
    features: list[np.ndarray]  # [T, C] for each of _WARPS
    seconds: float  # of the whole recording

    @property
    def spoken_frames(self) -> int:
        return int((~self.pause).sum())


def align(samples: np.ndarray, text: str, models: PhoneModels | None = None) -> list[TimedPhone]:
    """Return the phones of `phonemes(text)` with their times in a recording, without gaps, from 0 to its end.

    `samples` are float32 [N] at 16 kHz. The silence before the speech is "sil", the one after it the last mark of the
    text; a mark inside is there when it is a pause, and a pause without a mark is "sil". With `models` from
    `learn_models` the times are about a third nearer than without.
    Raises InputError for a text that cannot be spoken and for a recording that is silent or too short for it.
    """
    phones = phonemes(text)
    speech = _speech(samples, phones)
    starts = _warped(speech, text, phones) if models is None else _decoded(speech, phones, models)
    return _timed(speech, phones, starts)


def learn_models(recordings: Iterable[tuple[np.ndarray, str]], rounds: int = 2) -> PhoneModels:
    """Learn what each phone sounds like from (samples, text) of some recordings, which need no times.

    They are aligned by `align`, and `rounds` times again by the models of that. A hundred recordings, of any voices,
    are plenty. Recordings that cannot be aligned are left out; raises InputError when none is left.
    """
    examples: list[tuple[_Speech, list[str], np.ndarray]] = []
    for samples, text in recordings:
        try:
            phones = phonemes(text)
            speech = _speech(samples, phones)
            examples.append((speech, phones, _warped(speech, text, phones)))
        except InputError:
            continue
    if not examples:
        raise InputError("no recording could be aligned with its text: check that the texts are what is said")
    models = _estimate(examples)
    for _ in range(rounds - 1):
        examples = [(speech, phones, _decoded(speech, phones, models)) for speech, phones, _ in examples]
        models = _estimate(examples)
    return models


def boundary_errors(timed: Sequence[TimedPhone], text: str, segments: Sequence[Sequence[Any]]) -> np.ndarray:
    """Return by how many seconds the starts of the phones of a text differ from an engine's own segments (signed).

    Silences and marks are left out, and so are phones that share one segment of the engine or lie on its pauses: where
    they start is not known. Returns nothing when the phones themselves differ.
    """
    known = [entry for entry in transfer_times(phonemes(text), segments) if entry[0] not in _SILENT]
    found = [entry for entry in timed if entry[0] not in _SILENT]
    if [phone for phone, _, _ in known] != [phone for phone, _, _ in found]:
        return np.zeros(0)
    begins = {round(start, 4) for phone, start, _ in segments if phone != "pau"}
    ends = {round(end, 4) for _, _, end in segments}
    exact = [round(start, 4) in begins and round(end, 4) in ends for _, start, end in known]
    return np.array([ours[1] - theirs[1] for ours, theirs, kept in zip(found, known, exact, strict=True) if kept])


def _speech(samples: np.ndarray, phones: Sequence[str]) -> _Speech:
    """Return where a recording is spoken and what it sounds like there; raises InputError when it is not."""
    if samples.ndim != 1 or not np.isfinite(samples).all():
        raise InputError(f"samples {list(samples.shape)} cannot be aligned: give finite samples of one channel")
    level = float(np.sqrt(np.mean(samples**2))) if len(samples) else 0.0
    if level < _SILENCE_RMS:
        raise InputError("the recording is silent: nothing in it can be aligned with the text")
    frames = _frames(samples / level)  # [T, window]
    db = 10 * np.log10((frames**2).mean(1) + 1e-8)
    low, high = np.percentile(db, 5), np.percentile(db[db > db.max() - 40], 90)  # however little of it is speech
    if high - low < _STEADY_DB:
        raise InputError("the recording is one steady sound: no speech in it can be aligned with the text")
    loud = db > max(high - _QUIET_DB, low + _QUIET_SHARE * (high - low))
    rows, pause = _spoken_rows(loud)
    heard = int((~pause).sum()) * _HOP / SAMPLE_RATE
    count = len(_spoken(phones))
    if heard < count * _SHORTEST_PHONE:
        raise InputError(
            f"{heard:.2f} s of speech are too short for the {count} phones of the text: check that they belong together"
        )
    power = np.abs(np.fft.rfft(frames[rows], _FFT)) ** 2
    features = [_features(power, ~pause, warp) for warp in _WARPS]
    return _Speech(np.append(rows, rows[-1] + 1), pause, features, len(samples) / SAMPLE_RATE)


def _spoken_rows(loud: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the frames [T] from the start to the end of speech, one for each long pause, and which are pauses."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], loud, [False]]).astype(int))).reshape(-1, 2)
    parts: list[list[int]] = []  # between pauses: first frame, last frame + 1
    for start, end in edges.tolist():
        if parts and start - parts[-1][1] < _PAUSE_FRAMES:
            parts[-1][1] = end
        else:
            parts.append([start, end])
    clicks = [end - start < _CLICK_FRAMES for start, end in parts]
    while len(parts) > 1 and (clicks[0] or clicks[-1]):
        drop = 0 if clicks[0] else -1
        del parts[drop], clicks[drop]
    rows = [frame for start, end in parts for frame in range(start, end + 1)]  # the frame after a part is its pause
    pause = np.isin(rows, [end for _, end in parts[:-1]])
    return np.array(rows[:-1], dtype=int), pause[:-1]


def _frames(samples: np.ndarray) -> np.ndarray:
    """Return windowed frames [T, window]; frame t is centred on sample t * hop."""
    padded = np.pad(samples, _WINDOW // 2)
    return np.lib.stride_tricks.sliding_window_view(padded, _WINDOW)[::_HOP] * np.hanning(_WINDOW)


def _features(power: np.ndarray, spoken: np.ndarray, warp: float = 1.0) -> np.ndarray:
    """Return cepstra [T, C] of power spectra [T, bins], normalised over the spoken frames, and their slopes."""
    power = power / power[spoken].mean()
    cepstra = np.log(power @ _mel_bank(warp) + _POWER_FLOOR) @ _cosines()  # [T, cepstra]
    cepstra = (cepstra - cepstra[spoken].mean(0)) / (cepstra[spoken].std(0) + 1e-3)
    reach = 4
    padded = np.pad(cepstra, ((reach, reach), (0, 0)), mode="edge")
    last = len(padded) - reach
    slopes = sum(k * (padded[reach + k : last + k] - padded[reach - k : last - k]) for k in range(1, reach + 1)) / 60
    return np.concatenate([cepstra, _SLOPE_WEIGHT * slopes], axis=1).astype(np.float32)


@cache
def _mel_bank(warp: float) -> np.ndarray:
    """Return triangular mel filters [bins, mels] over frequencies that are multiplied by `warp`."""
    hz = np.linspace(0, SAMPLE_RATE / 2, _FFT // 2 + 1)[:, None] * warp
    low, high = 2595 * np.log10(1 + np.array([60, 7600]) / 700)
    edges = 700 * (10 ** (np.linspace(low, high, _NUM_MELS + 2) / 2595) - 1)
    rising = (hz - edges[:-2]) / (edges[1:-1] - edges[:-2])
    falling = (edges[2:] - hz) / (edges[2:] - edges[1:-1])
    return np.maximum(0, np.minimum(rising, falling))


@cache
def _cosines() -> np.ndarray:
    """Return the discrete cosine transform [mels, cepstra]."""
    angle = np.pi / _NUM_MELS * (np.arange(_NUM_MELS)[:, None] + 0.5) * np.arange(_NUM_CEPSTRA)
    return np.sqrt(2 / _NUM_MELS) * np.cos(angle)


def _spoken(phones: Sequence[str]) -> list[str]:
    return [phone for phone in phones if phone not in MARKS]


def _pause_costs(phones: Sequence[str]) -> np.ndarray:
    """Return the cost [P] of a pause after each spoken phone: none at a mark."""
    costs = [
        0.0 if after in MARKS else _PAUSE_COST
        for phone, after in zip(phones, [*phones[1:], "."], strict=True)
        if phone not in MARKS
    ]
    return np.array(costs, dtype=np.float32)


def _warped(speech: _Speech, text: str, phones: Sequence[str]) -> np.ndarray:
    """Return the first row [P] of each spoken phone by the cheapest warping of a reference voice."""
    slow = timed_speech(text, _VARIANTS[0])
    tempo = WORDS_PER_MINUTE * (slow.ends - slow.starts).sum() * SAMPLE_RATE / _HOP / speech.spoken_frames
    best, starts = np.inf, np.zeros(0, int)
    for variant in _VARIANTS:
        reference = timed_speech(text, variant, tempo)
        theirs, first = _reference_frames(reference)
        pauses = np.full(len(theirs), _INSIDE_COST, dtype=np.float32)
        pauses[np.append(first[1:], len(theirs)) - 1] = _pause_costs(phones)
        for ours in speech.features:
            path, cost = _warp(ours, theirs, speech.pause, pauses)
            if cost < best:
                best, starts = cost, np.searchsorted(path, first)
    if not len(starts):
        raise InputError("no path through the recording fits the text: check that they belong together")
    return starts


def _reference_frames(reference: TimedSpeech) -> tuple[np.ndarray, np.ndarray]:
    """Return features [R, C] of espeak's speech without its pauses, and the first frame [P] of each phone."""
    frames = _frames(reference.samples)
    seconds = np.arange(len(frames)) * _HOP / SAMPLE_RATE
    owner = np.searchsorted(reference.starts, seconds, side="right") - 1
    kept = (owner >= 0) & (seconds < reference.ends[np.maximum(owner, 0)])
    power = np.abs(np.fft.rfft(frames[kept], _FFT)) ** 2
    features = _features(power, np.ones(len(power), bool))
    return features, np.minimum(np.searchsorted(seconds[kept], reference.starts), len(power) - 1)


def _warp(ours: np.ndarray, theirs: np.ndarray, pause: np.ndarray, pause_costs: np.ndarray) -> tuple[np.ndarray, float]:
    """Return the reference frame [T] of every row and the cost per row of the cheapest path from end to end.

    Each row moves 0 to 3 reference frames on: asymmetric, so that paths on references of any length compare. A row of
    a pause costs `pause_costs` [R] in place of the distance of the features.
    """
    num_rows, width = len(ours), len(theirs)
    moves = np.zeros((num_rows, width), dtype=np.int8)
    options = np.full((len(_STEP_COSTS), width), np.inf, dtype=np.float32)
    columns = np.arange(width)
    lefts = np.maximum(0, np.arange(num_rows) * width // num_rows - _BAND)
    rights = np.minimum(width, lefts + 2 * _BAND)
    total = np.full(width, np.inf, dtype=np.float32)
    distance, offset = np.zeros((0, 0), dtype=np.float32), 0
    for row in range(num_rows):
        left, right = lefts[row], rights[row]
        if row % _BLOCK_ROWS == 0:
            offset = left
            block = slice(row, row + _BLOCK_ROWS)
            distance = _distances(ours[block], theirs[left : rights[block][-1]])
        here = pause_costs[left:right] if pause[row] else distance[row % _BLOCK_ROWS, left - offset : right - offset]
        if row == 0:
            total[0] = here[0]
            continue
        for step, price in enumerate(_STEP_COSTS):
            begin, price = max(step, left), 0.0 if pause[row] and step == 0 else price
            options[step, begin:right] = total[begin - step : right - step] + price
        moves[row, left:right] = options[:, left:right].argmin(0)
        total = np.full(width, np.inf, dtype=np.float32)
        total[left:right] = options[moves[row, left:right], columns[left:right]] + here
    return _backtrack(moves), float(total[-1]) / num_rows


def _distances(ours: np.ndarray, theirs: np.ndarray) -> np.ndarray:
    """Return the root-mean-square difference [rows, R] of features."""
    squares = (ours**2).sum(1)[:, None] + (theirs**2).sum(1) - 2 * ours @ theirs.T
    return np.sqrt(np.maximum(squares, 0) / ours.shape[1])


def _backtrack(moves: np.ndarray) -> np.ndarray:
    """Return the column [T] of each row on the path to the last corner, given the columns that each step came on."""
    path = np.zeros(len(moves), dtype=int)
    column = moves.shape[1] - 1
    for row in range(len(moves) - 1, -1, -1):
        path[row] = column
        column -= int(moves[row, column])
    return path


def _decoded(speech: _Speech, phones: Sequence[str], models: PhoneModels) -> np.ndarray:
    """Return the first row [P] of each spoken phone on the likeliest path through the states of all phones."""
    spoken = _spoken(phones)
    ours = speech.features[_WARPS.index(1.0)]
    states = [models.index.get((_bare(phone), state), 0) for phone in spoken for state in range(_STATES)]
    mean, precision = models.means[states], 1 / models.variances[states]
    cost = (ours**2) @ precision.T - 2 * ours @ (mean * precision).T + (mean**2 * precision - np.log(precision)).sum(1)
    cost[speech.pause] = _INSIDE_COST * _MODEL_SCALE
    cost[np.ix_(speech.pause, np.arange(_STATES - 1, len(states), _STATES))] = _MODEL_SCALE * _pause_costs(phones)
    moves = np.zeros(cost.shape, dtype=np.int8)
    total = np.full(len(states), np.inf)
    total[0] = cost[0, 0]
    for row in range(1, len(cost)):
        arrived = np.append(np.inf, total[:-1])
        moves[row] = arrived < total
        total = np.minimum(arrived, total) + cost[row]
    return np.searchsorted(_backtrack(moves), np.arange(0, len(states), _STATES))


def _estimate(examples: Sequence[tuple[_Speech, list[str], np.ndarray]]) -> PhoneModels:
    """Return the Gaussians of the thirds of each phone, drawn towards those of all speech where frames are few."""
    pool: dict[tuple[str, int], list[np.ndarray]] = defaultdict(list)
    everything: list[np.ndarray] = []
    for speech, phones, starts in examples:
        ours = speech.features[_WARPS.index(1.0)]
        everything.append(ours[~speech.pause])
        bounds = _bounds(starts, len(ours))
        for phone, begin, end in zip(_spoken(phones), bounds, bounds[1:], strict=False):
            frames = ours[begin:end][~speech.pause[begin:end]]
            third = np.minimum((np.arange(len(frames)) + 0.5) * _STATES // max(1, len(frames)), _STATES - 1)
            for state in range(_STATES):
                pool[_bare(phone), state].append(frames[third == state])
    speech_frames = np.concatenate(everything)
    means, variances = [speech_frames.mean(0)], [speech_frames.var(0) + _VARIANCE_FLOOR]
    index: dict[tuple[str, int], int] = {}
    for key in sorted(pool):
        frames = np.concatenate(pool[key])
        if not len(frames):
            continue
        own = len(frames) / (len(frames) + _PRIOR_FRAMES)
        index[key] = len(means)
        means.append(own * frames.mean(0) + (1 - own) * means[0])
        variances.append(own * frames.var(0) + (1 - own) * variances[0] + _VARIANCE_FLOOR)
    return PhoneModels(index, np.stack(means), np.stack(variances))


def _bare(phone: str) -> str:
    return phone.lstrip("".join(STRESSES))


def _bounds(starts: np.ndarray, num_rows: int) -> np.ndarray:
    """Return [P + 1] strictly increasing rows from 0 to the end, as near to the starts as that allows."""
    count = np.arange(len(starts) + 1)
    rows = np.append(starts, num_rows)
    rows[0] = 0
    rows = np.maximum.accumulate(rows - count) + count
    return np.minimum(rows, num_rows - count[::-1])


def _timed(speech: _Speech, phones: Sequence[str], starts: np.ndarray) -> list[TimedPhone]:
    """Return all phones, marks and pauses with their times, given the first row of each spoken phone."""
    bounds = _bounds(starts, len(speech.pause)).tolist()
    seconds = np.clip((speech.rows - 0.5) * _HOP / SAMPLE_RATE, 0.0, speech.seconds).tolist()  # between two frames
    timed: list[TimedPhone] = [("sil", 0.0, seconds[0])]
    number = -1
    for position, phone in enumerate(phones):
        if phone in MARKS:
            continue
        number += 1
        begin, end = bounds[number], bounds[number + 1]
        pauses = np.flatnonzero(speech.pause[begin + 1 : end])
        stop = begin + 1 + int(pauses[0]) if len(pauses) else end
        timed.append((phone, seconds[begin], seconds[stop]))
        if stop < end:
            after = phones[position + 1] if position + 1 < len(phones) else "."
            timed.append((after if after in MARKS else "sil", seconds[stop], seconds[end]))
    timed.append((phones[-1] if phones[-1] in MARKS else "sil", seconds[-1], speech.seconds))
    return [entry for entry in timed if entry[2] > entry[1]]
