"""The AudioLDM 2 engine: request -> language of audio -> latent, by windows -> audio (2308.05734).

B rows (requests times candidates), N samples, T latent frames, L vectors of the language of audio, D width
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from uniaudio.audio.io import Audio
from uniaudio.diffusion.denoiser import Given
from uniaudio.diffusion.samplers import Diffusion, Keep, Start, make_noise, sample, spans, windowed
from uniaudio.engines.base import Progress, check_request
from uniaudio.engines.latent_parts import LatentModel, Plan, Told, joined, repeated
from uniaudio.errors import InputError
from uniaudio.tokenizers.base import count_frames
from uniaudio.tokenizers.codec import codec_samples

DEFAULT_SECONDS, MAX_SECONDS, MAX_CANDIDATES = 5.0, 60.0, 16
_OVERLAP = 4  # a window shares at least one such part of itself with the next
_CANDIDATE_SPACING = 7919  # between the seeds of the candidates of one request


@dataclass(frozen=True, kw_only=True)
class LatentSampling(Diffusion):
    """How a latent is sampled, from which seed, and how many `candidates` of a request are made to keep the best."""

    seed: int = 0
    candidates: int = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 1 <= self.candidates <= MAX_CANDIDATES:
            raise ValueError(f"candidates must be from 1 to {MAX_CANDIDATES}, not {self.candidates}")


@dataclass(frozen=True, kw_only=True)
class Work:
    """What is to be made: `frames` for each of some plans, each with its own sampling (they differ in their seeds).

    `loa` gives the language of audio [rows, L, D] of the frames between two places, where it is not rolled out from
    what the plans say; `start` and `keep` are one latent for all rows.
    """

    plans: Sequence[Plan]
    samplings: Sequence[LatentSampling]
    frames: int
    loa: Callable[[int, int, Told], Tensor] | None = None
    start: Start | None = None
    keep: Keep | None = None
    on_step: Progress | None = None


class LatentEngine:
    """Generates audio with a latent diffusion model on the language of audio."""

    precision = "float32"

    def __init__(
        self, model: LatentModel, sampling: LatentSampling, task_sampling: Mapping[str, LatentSampling] | None = None
    ) -> None:
        self.model, self.name, self.tasks = model, model.name, model.tasks
        self.sampling, self.task_sampling = sampling, dict(task_sampling or {})

    @property
    def sample_rate(self) -> int:
        return self.model.shape.sample_rate

    def sampling_for(self, task_name: str) -> LatentSampling:
        """Return how a task is sampled unless a call says otherwise."""
        return self.task_sampling.get(task_name, self.sampling)

    def generate(
        self,
        task_name: str,
        request: Mapping[str, Any],
        *,
        sampling: LatentSampling | None = None,
        seconds: float | None = None,
        on_frame: Progress | None = None,
    ) -> Audio:
        """Return the audio [1, N] for one request: the candidate that fits it best.

        `seconds` is the length, for the tasks where it is free. Raises InputError for a task or a value that does not
        fit.
        """
        sampling = sampling or self.sampling_for(task_name)
        return self.generate_batch(task_name, [request], [sampling], seconds=seconds, on_frame=on_frame)[0]

    def generate_batch(
        self,
        task_name: str,
        requests: Sequence[Mapping[str, Any]],
        samplings: Sequence[LatentSampling],
        *,
        seconds: float | None = None,
        on_frame: Progress | None = None,
    ) -> list[Audio]:
        """Return the audio of several requests of one task, generated together; each draws from its own seed.

        Raises ValueError unless there is one sampling per request and they differ in their seeds only.
        """
        _check_samplings(requests, samplings)
        task = [check_request(self, task_name, request) for request in requests][0]
        if seconds is not None and task.length != "seconds":
            raise InputError(f"the length of {task.name} follows from its {task.length}: leave `seconds` out")
        plans = [self.model.plan(task, request) for request in requests]
        lengths = [plan.seconds or check_seconds(seconds) for plan in plans]
        frames = [self.frames_of(length) for length in lengths]
        chosen: dict[int, Audio] = {}
        for count in dict.fromkeys(frames):  # those of one length together: then each is what it is alone
            own = [index for index, one in enumerate(frames) if one == count]
            rows = [plans[i] for i in own], [samplings[i] for i in own]
            work = Work(plans=rows[0], samplings=rows[1], frames=count, on_step=on_frame)
            best = self._best(work, [requests[i] for i in own])
            chosen |= {i: self.audio(samples, lengths[i]) for i, samples in zip(own, best, strict=True)}
        return [chosen[index] for index in range(len(requests))]

    def _best(self, work: Work, requests: Sequence[Mapping[str, Any]]) -> list[Tensor]:
        """Return the samples [N] of the best candidate of each request."""
        latent, loa = self.make(work)
        count, best = work.samplings[0].candidates, []
        for index, request in enumerate(requests):
            own = slice(index * count, (index + 1) * count)
            samples = self.samples(latent[own])
            best.append(samples[self.model.scores(samples, loa[own], request).argmax() if count > 1 else 0])
        return best

    def frames_of(self, seconds: float) -> int:
        """Return how many latent frames hold `seconds`: whole windows where the model makes no parts of one."""
        shape = self.model.shape
        least = shape.window if shape.fixed else 1
        return max(least, count_frames(seconds, shape.rate))

    @torch.no_grad()
    def make(self, work: Work) -> tuple[Tensor, Tensor]:
        """Return latents [B, C, T, F], the candidates of each plan together, and the first window's [B, L, D].

        A long one is made by windows that overlap, each with its own language of audio.
        """
        shape, settings = self.model.shape, work.samplings[0]
        seeds = [one.seed + _CANDIDATE_SPACING * k for one in work.samplings for k in range(one.candidates)]
        generators = [torch.Generator().manual_seed(seed) for seed in seeds]
        noise = make_noise((shape.channels, work.frames, shape.bins), generators)
        places = spans(work.frames, shape.window, shape.window // _OVERLAP)
        given = [self._given(work, first, last) for first, last in places]
        predicts = [self.model.denoiser.guided(*pair, settings.guidance, settings.rescale) for pair in given]
        scheduler = self.model.scheduler(settings.sampler)
        parts = {"start": work.start, "keep": work.keep, "on_step": work.on_step}
        latent = sample(windowed(predicts, places), scheduler, noise, settings, generators=generators, **parts)
        return latent, given[0][0].loa

    def _given(self, work: Work, first: int, last: int) -> tuple[Given, Given | None]:
        """Return what a window is generated from, with and (where there is guidance) without the conditions."""
        settings, model = work.samplings[0], self.model
        told = repeated(joined([plan.told(first, last) for plan in work.plans]), settings.candidates)
        made = work.loa(first, last, told) if work.loa else self.roll_out(told)
        loa = made.expand(len(next(iter(told.conditions.values()))[0]), -1, -1)
        given = Given(loa=loa, text=told.text, text_mask=told.text_mask, extra=told.extra)
        if settings.guidance == 1:
            return given, None
        empty = model.nothing(told)
        zeros = torch.zeros_like(loa) if settings.unconditional == "zeros" else self.roll_out(empty, loa.shape[1])
        return given, Given(loa=zeros, text=empty.text, text_mask=empty.text_mask, extra=empty.extra)

    def roll_out(self, told: Told, num_tokens: int | None = None, prefix: Tensor | None = None) -> Tensor:
        """Return the language of audio [B, L, D] of what requests say, from a `prefix` on."""
        return self.model.bridge.rollout(told.conditions, num_tokens or self.model.shape.num_tokens, prefix)

    @torch.no_grad()
    def samples(self, latent: Tensor) -> Tensor:
        """Return what latents [B, C, T, F] sound like, [B, N]; one after the other, for the memory's sake."""
        return torch.cat([self.model.to_samples(row[None]) for row in latent])

    def audio(self, samples: Tensor, seconds: float) -> Audio:
        """Return the first seconds of samples [N] as audio."""
        wanted = samples[: int(seconds * self.sample_rate + 1e-6)]
        return Audio(wanted.clamp(-1, 1)[None].float().cpu().numpy(), self.sample_rate)

    def networks(self) -> list[nn.Module]:
        """Return the networks that decide what is generated."""
        return self.model.parts()

    @torch.no_grad()
    def round_trip(self, audio: Audio) -> Audio:
        """Return a recording after the autoencoder and the vocoder: what no result of this model can surpass."""
        samples = codec_samples(audio, self.sample_rate)[None]
        made = self.model.to_samples(self.model.to_latent(samples))[0]
        return self.audio(made, samples.shape[1] / self.sample_rate)


def check_seconds(seconds: float | None) -> float:
    """Return the length of a result; raises InputError for one out of range."""
    if seconds is not None and not 0 < seconds <= MAX_SECONDS:
        raise InputError(f"seconds must be above 0 and at most {MAX_SECONDS:g}, not {seconds}")
    return DEFAULT_SECONDS if seconds is None else seconds


def _check_samplings(requests: Sequence[Mapping[str, Any]], samplings: Sequence[LatentSampling]) -> None:
    if not requests or len(requests) != len(samplings):
        raise ValueError(f"need one sampling per request, got {len(samplings)} for {len(requests)} requests")
    if any(replace(one, seed=samplings[0].seed) != samplings[0] for one in samplings):
        raise ValueError("the samplings of a batch may differ in their seeds only")
