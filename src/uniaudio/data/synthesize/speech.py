"""Make a corpus of speech with known text, speaker and phone times: flite and espeak-ng speak generated plans."""

import hashlib
import json
import random
import re
import shutil
import subprocess
import tempfile
from collections.abc import Generator, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from uniaudio.data.synthesize.sentences import all_sentences, split_of
from uniaudio.data.synthesize.speakers import Speaker, speakers
from uniaudio.errors import InputError

SAMPLE_RATE = 16000
_LEVEL = 0.06  # root-mean-square of every made utterance
_MARGIN_SECONDS = 0.08  # silence kept before and after the speech
_BASE_HZ_STDDEV = 0.14  # standard deviation of the pitch over its mean, as the natural voices have it
_MEAN_SECONDS = 2.9  # of one utterance, to turn hours into a count


@dataclass(frozen=True, kw_only=True)
class Utterance:
    """One planned utterance: who says what, at which tempo (1 = the engine's own)."""

    id: str
    text: str
    speaker: Speaker
    tempo: float


def plan(hours: float, seed: int) -> list[Utterance]:
    """Return the utterances of a corpus of about `hours`, in a fixed order for a seed.

    Test and dev speakers say only test and dev sentences and training speakers only training sentences.
    """
    random_ = random.Random(seed)
    texts: dict[str, list[str]] = {"train": [], "dev": [], "test": []}
    for sentence in all_sentences():
        texts[split_of(sentence)].append(sentence)
    voices = speakers()
    total = max(12, round(hours * 3600 / _MEAN_SECONDS))
    share = {"train": 0.95, "dev": 0.02, "test": 0.03}
    utterances: list[Utterance] = []
    for split, sentences in texts.items():
        group = [voice for voice in voices if voice.split == split]
        weights = [1.0 if voice.engine == "flite" else 0.4 for voice in group]
        order: list[str] = []
        for index in range(max(4, round(total * share[split]))):
            if not order:
                order = random_.sample(sentences, len(sentences))
            voice = random_.choices(group, weights)[0]
            tempo = round(random_.uniform(0.92, 1.08), 3)
            utterances.append(Utterance(id=f"{split}-{index:06d}", text=order.pop(), speaker=voice, tempo=tempo))
    random_.shuffle(utterances)
    return utterances


def speak(utterance: Utterance) -> tuple[Any, list[list[Any]] | None]:
    """Return (samples float32 [N] at 16 kHz, segments [[phone, start s, end s], ...] or None if unknown)."""
    return _flite(utterance) if utterance.speaker.engine == "flite" else (_espeak(utterance), None)


def _flite(utterance: Utterance) -> tuple[Any, list[list[Any]]]:
    import numpy as np
    import soundfile
    import soxr

    speaker = utterance.speaker
    ratio = speaker.formant_ratio
    mean_hz = speaker.pitch_hz / ratio
    settings = {
        "duration_stretch": ratio / utterance.tempo,
        "int_f0_target_mean": mean_hz,
        "int_f0_target_stddev": mean_hz * _BASE_HZ_STDDEV,
    }
    with tempfile.NamedTemporaryFile(suffix=".wav") as file:
        command = ["flite", "-voice", speaker.base, "-psdur", "-o", file.name, "-t", utterance.text]
        for key, value in settings.items():
            command += ["--setf", f"{key}={value:.4f}"]
        printed = _run(command, utterance)
        samples, rate = soundfile.read(file.name, dtype="float32")
    samples = soxr.resample(samples, rate * ratio, SAMPLE_RATE, quality="HQ")
    segments: list[list[Any]] = []
    start = 0.0
    for phone, end_text in re.findall(r"(\S+):([\d.]+)", printed):
        end = float(end_text) / ratio
        segments.append([phone, start, end])
        start = end
    begin = next((s for p, s, _ in segments if p != "pau"), 0.0)
    finish = next((e for p, _, e in reversed(segments) if p != "pau"), start)
    first = max(0, round((begin - _MARGIN_SECONDS) * SAMPLE_RATE))
    last = round((finish + _MARGIN_SECONDS) * SAMPLE_RATE)
    samples = samples[first:last]
    offset, length = first / SAMPLE_RATE, len(samples) / SAMPLE_RATE
    moved = [[p, round(max(0.0, s - offset), 4), round(min(length, e - offset), 4)] for p, s, e in segments]
    return _level(np.ascontiguousarray(samples)), [segment for segment in moved if segment[2] > segment[1]]


def _espeak(utterance: Utterance) -> Any:
    import soundfile
    import soxr

    with tempfile.NamedTemporaryFile(suffix=".wav") as file:
        speed = str(round(165 * utterance.tempo))
        command = ["espeak-ng", "-v", utterance.speaker.base, "-s", speed, "-w", file.name, utterance.text]
        _run(command, utterance)
        samples, rate = soundfile.read(file.name, dtype="float32")
    return _level(soxr.resample(samples, rate, SAMPLE_RATE, quality="HQ"))


def _run(command: list[str], utterance: Utterance) -> str:
    """Return what an engine prints; raises InputError when it fails."""
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout
    except subprocess.CalledProcessError as error:
        said = " ".join((error.stderr or "").split())[:200] or "no message"
        what = f"{command[0]} cannot speak {utterance.id} ({utterance.text!r}, {utterance.speaker.name})"
        raise InputError(f"{what}, exit code {error.returncode}: {said}; check its installation") from error


def _level(samples: Any) -> Any:
    import numpy as np

    rms = float(np.sqrt(np.mean(samples**2)) + 1e-9)
    return np.clip(samples * (_LEVEL / rms), -0.99, 0.99).astype("float32")


def _make(job: tuple[Utterance, str]) -> dict[str, Any]:
    """Speak one utterance into its FLAC file; return its manifest row."""
    import soundfile

    utterance, folder = job
    samples, segments = speak(utterance)
    path = Path(folder) / "audio" / utterance.id[-2:] / f"{utterance.id}.flac"
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    soundfile.write(part, samples, SAMPLE_RATE, subtype="PCM_16", format="FLAC")
    part.replace(path)
    return {
        "id": utterance.id,
        "audio": str(path.relative_to(folder)),
        "text": utterance.text,
        "speaker": utterance.speaker.name,
        "split": utterance.id.split("-")[0],
        "seconds": round(len(samples) / SAMPLE_RATE, 4),
        "tempo": utterance.tempo,
        "segments": segments,
    }


def make_speech(out: Path, hours: float, seed: int = 0, workers: int = 2) -> Path:
    """Make (or finish) the corpus in `out`: the manifest (returned), `corpus.json`, `speakers.json`, `audio/`.

    Deterministic for a seed; a second call makes only what is missing. `workers` counts processes, 0 is this one alone.
    Raises InputError when an engine is missing or fails, and when the folder holds another corpus.
    """
    from tqdm import tqdm

    for program in ("flite", "espeak-ng"):
        if shutil.which(program) is None:
            raise InputError(f"{program} is not installed; on Debian: apt-get install {program}")
    out.mkdir(parents=True, exist_ok=True)
    manifest = out / "manifest.jsonl"
    utterances = plan(hours, seed)
    rows = list(_rows(manifest))
    _claim(out, utterances, rows, hours, seed)
    _write_json(out / "speakers.json", [asdict(speaker) for speaker in speakers()])
    done = {row["id"] for row in rows}
    jobs = [(utterance, str(out)) for utterance in utterances if utterance.id not in done]
    with manifest.open("a", encoding="utf-8") as file, closing(_made(jobs, workers)) as made:
        for row in tqdm(made, total=len(jobs), desc="speech", unit="utt"):
            file.write(json.dumps(row, ensure_ascii=False) + "\n")
    return manifest


def _made(jobs: list[tuple[Utterance, str]], workers: int) -> Generator[dict[str, Any], None, None]:
    """Yield the row of each job, made by `workers` processes or, for 0, here."""
    if workers == 0:
        yield from map(_make, jobs)
        return
    with ProcessPoolExecutor(workers) as pool:
        yield from pool.map(_make, jobs, chunksize=16)


def _claim(out: Path, utterances: list[Utterance], rows: list[dict[str, Any]], hours: float, seed: int) -> None:
    """Write `corpus.json` or compare with the one that is there; without it, the rows made must be planned ones."""
    planned = json.dumps([asdict(utterance) for utterance in utterances], sort_keys=True)
    ours = {"seed": seed, "hours": hours, "utterances_sha256": hashlib.sha256(planned.encode()).hexdigest()}
    path = out / "corpus.json"
    if path.exists():
        try:
            theirs = json.loads(path.read_text(encoding="utf-8"))
            differing = [name for name, value in ours.items() if theirs.get(name) != value]
        except (ValueError, AttributeError) as error:
            raise InputError(f"{path} is damaged: make the corpus anew in another folder") from error
        named = [name for name in differing if name in ("seed", "hours")] or ["sentences or speakers"]
        if differing:
            raise InputError(f"{out} holds a corpus of other {' and '.join(named)}; name another folder")
        return
    texts = {utterance.id: utterance.text for utterance in utterances}
    strange = next((row["id"] for row in rows if texts.get(row["id"]) != row["text"]), None)
    if strange is not None:
        raise InputError(f"{out} holds another corpus: {strange} is not as planned for this seed and these hours")
    _write_json(path, ours)


def _write_json(path: Path, value: Any) -> None:
    part = path.with_suffix(".part")
    part.write_text(json.dumps(value, indent=1), encoding="utf-8")
    part.replace(path)


def _rows(manifest: Path) -> Iterator[dict[str, Any]]:
    """Yield the rows already made; a last line cut by a kill is dropped from the file."""
    if not manifest.exists():
        return
    lines = manifest.read_text(encoding="utf-8").splitlines(keepends=True)
    if lines and not lines[-1].endswith("\n"):
        manifest.write_text("".join(lines[:-1]), encoding="utf-8")
        lines = lines[:-1]
    for line in lines:
        yield json.loads(line)
