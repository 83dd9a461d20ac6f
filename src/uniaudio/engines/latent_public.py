"""Public AudioLDM 2 models: a folder that diffusers saved, run by our bridge, denoiser and loop.

B batch, N samples, T latent frames, C channels, M rows of text, D widths
"""

import functools
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from uniaudio.audio.io import Audio
from uniaudio.diffusion.autoencoder import MEL_FLOOR
from uniaudio.diffusion.bridge import Bridge, BridgeConfig, Condition, public_weights
from uniaudio.diffusion.denoiser import NoiseConfig, adopt
from uniaudio.diffusion.library import diffusers_class
from uniaudio.diffusion.samplers import make_scheduler
from uniaudio.engines.items import as_text
from uniaudio.engines.kinds import PUBLIC_INDEX, class_name, public_tasks, read_json
from uniaudio.engines.latent import LatentEngine, LatentSampling
from uniaudio.engines.latent_parts import Same, Shape, Told
from uniaudio.errors import InputError
from uniaudio.tasks import Task
from uniaudio.tokenizers.phoneme import ipa
from uniaudio.tokenizers.text import check_caption

NOTICE = "public AudioLDM 2 weights are CC BY-NC-SA 4.0: no commercial use, and the same licence for what you share"
VOICE = "A person is speaking clearly."  # what CLAP hears of a speech port's voice: a request has no words for it
SAMPLING = LatentSampling(sampler="dpmpp", steps=25, guidance=3.5, unconditional="rollout")
_STOP = 182  # ends the phones of a speech port (the original's convention), whose padding is 0
_SPEECH_TOKENS, _SOUND_TOKENS = 512, 8
_MEL_RATE = 16000


def load_public(folder: Path) -> LatentEngine:
    """Return the engine of a public folder, in float32, in evaluation mode; prints the licence once a process.

    Raises InputError for a folder that is incomplete, damaged, or of another pipeline.
    """
    tasks = public_tasks(folder)
    _notice(str(folder))
    try:
        return LatentEngine(PublicModel(folder, tuple(tasks)), SAMPLING)
    except (OSError, KeyError, TypeError, ValueError, RuntimeError) as error:
        if isinstance(error, InputError):
            raise
        reason = " ".join(str(error).split())[:300]
        raise InputError(f"{folder} is incomplete or damaged ({reason}): download the model again") from error


@functools.cache
def _notice(folder: str) -> None:
    print(f"uniaudio: {folder}: {NOTICE}", file=sys.stderr)


class PublicModel:
    """The networks of a public folder; the sizes of all of them are read, none is assumed."""

    def __init__(self, folder: Path, tasks: tuple[str, ...]) -> None:
        from transformers import ClapModel, SpeechT5HifiGan, T5EncoderModel, VitsModel
        from transformers.utils.logging import disable_progress_bar

        disable_progress_bar()  # "Loading weights" of each part is no news
        self.folder, self.name, self.tasks = folder, folder.name, tasks
        self.speaks = tasks == ("tts",)
        self.index = read_json(folder / PUBLIC_INDEX)
        self.vae = self._load("vae", diffusers_class("AutoencoderKL"))
        self.clap = self._load("text_encoder", ClapModel)
        self.reader = self._load("text_encoder_2", VitsModel if self.speaks else T5EncoderModel)
        self.vocoder = self._load("vocoder", SpeechT5HifiGan)
        self.tokenizers = tuple(self._tokenizer(name) for name in ("tokenizer", "tokenizer_2"))
        self.bridge = self._bridge()
        self.schedule = read_json(folder / "scheduler" / "scheduler_config.json")
        betas = self.schedule["beta_start"], self.schedule["beta_end"], self.schedule["num_train_timesteps"]
        noise = NoiseConfig(
            start=betas[0], end=betas[1], num_steps=betas[2], prediction=self.schedule.get("prediction_type", "epsilon")
        )
        unet = self._load("unet", diffusers_class("AudioLDM2UNet2DConditionModel"))
        self.denoiser = adopt(unet, noise).eval().requires_grad_(False)
        sizes, reduction = self.vocoder.config, 2 ** (len(self.vae.config["block_out_channels"]) - 1)
        hop = functools.reduce(lambda a, b: a * b, sizes.upsample_rates)
        self.shape = Shape(
            sample_rate=sizes.sampling_rate,
            rate=sizes.sampling_rate / hop / reduction,
            window=self.denoiser.unet.config["sample_size"],  # pyright: ignore[reportArgumentType, reportIndexIssue]
            fixed=False,
            channels=self.denoiser.config.latent_channels,
            bins=sizes.model_in_dim // reduction,
            num_tokens=self.bridge.config.num_tokens,
        )

    def _load(self, part: str, kind: Any) -> Any:
        words = {"torch_dtype" if issubclass(kind, diffusers_class("ModelMixin")) else "dtype": torch.float32}
        model = kind.from_pretrained(self.folder / part, local_files_only=True, use_safetensors=True, **words)
        return model.eval().requires_grad_(False)

    def _tokenizer(self, part: str) -> Any:
        import transformers

        known = ("RobertaTokenizer", "T5Tokenizer", "VitsTokenizer")
        name = class_name(self.index, part).removesuffix("Fast")
        if name not in known:
            raise InputError(f"{self.folder / part} is a {name}: need one of {', '.join(known)}")
        return getattr(transformers, name).from_pretrained(self.folder / part, local_files_only=True)

    def _bridge(self) -> Bridge:
        """Return ours with the weights of the two public modules; the language model may have a token head or none."""
        from transformers import GPT2Model

        projection, gpt = (
            self._load("projection_model", diffusers_class("AudioLDM2ProjectionModel")),
            self._load("language_model", GPT2Model),
        )
        sizes, widths = gpt.config, projection.config
        tokens = read_json(self.folder / "language_model" / "config.json").get("max_new_tokens")
        learned = {"text": widths["max_seq_length"]} if widths.get("use_learned_position_embedding") is not None else {}
        config = BridgeConfig(
            conditions={"clap": widths["text_encoder_dim"], "text": widths["text_encoder_1_dim"]},
            learned_positions=learned,
            loa_dim=widths["langauge_model_dim"],  # misspelt in every public folder
            num_tokens=tokens or (_SPEECH_TOKENS if self.speaks else _SOUND_TOKENS),
            width=sizes.n_embd,
            layers=sizes.n_layer,
            heads=sizes.n_head,
            max_positions=sizes.n_positions,
            padding_counts=True,
        )
        bridge = Bridge(config)
        bridge.load_state_dict(public_weights(projection.state_dict(), gpt.state_dict()))
        return bridge.eval().requires_grad_(False)

    def parts(self) -> list[nn.Module]:
        return [self.clap, self.reader, self.bridge, self.denoiser, self.vae, self.vocoder]

    def scheduler(self, sampler: str) -> Any:
        return make_scheduler(sampler, self.schedule)

    def plan(self, task: Task, request: Mapping[str, Any]) -> Same:
        """Return the plan of a caption; of a text, for a speech port (the voice of its speaker is not taken up)."""
        if self.speaks:
            text = as_text(request["text"])
            return Same(self.told(VOICE, ipa(text)), seconds=self._speech_seconds(text))
        return self.words(as_text(request["caption"]))

    def words(self, caption: str | None) -> Same:
        if self.speaks:
            raise InputError(f"{self.name} speaks texts only: choose a model of sound or music")
        if caption is not None:
            check_caption(caption)
        return Same(self.told(caption or ""))

    def _speech_seconds(self, text: str) -> float:
        """Return about how long a text is: a speech port has one window, at whose end silence follows."""
        return min(self.shape.window_seconds, 1.0 + 0.09 * len(text))

    @torch.no_grad()
    def told(self, prompt: str, transcription: str | None = None) -> Told:
        """Return what a prompt says, and for a speech port a transcription as its tokenizer takes it."""
        values, mask = self._phones(transcription) if transcription is not None else self._text(prompt)
        return Told(conditions={"clap": self._clap(prompt), "text": (values, mask)}, text=values, text_mask=mask)

    @torch.no_grad()
    def nothing(self, told: Told) -> Told:
        assert told.text is not None
        rows, length = told.text.shape[:2]
        if self.speaks:
            values, mask = torch.zeros_like(told.text), torch.zeros(rows, length, dtype=torch.long)
        else:
            values, mask = (part.expand(rows, *part.shape[1:]) for part in self._text("", length))
        clap, clap_mask = self._clap("")
        conditions = {"clap": (clap.expand(rows, -1, -1), clap_mask.expand(rows, -1)), "text": (values, mask)}
        return Told(conditions=conditions, text=values, text_mask=mask)

    def _clap(self, prompt: str) -> Condition:
        """Return CLAP's embedding [1, 1, D] of a prompt."""
        tokenizer = self.tokenizers[0]
        tokens = _tokens(tokenizer, prompt, "max_length", tokenizer.model_max_length)
        features = self.clap.get_text_features(tokens.input_ids, attention_mask=tokens.attention_mask)
        return getattr(features, "pooler_output", features)[:, None], torch.ones(1, 1, dtype=torch.long)

    def _text(self, prompt: str, length: int | None = None) -> Condition:
        """Return T5's states [1, M, D] of a prompt, padded to `length`."""
        tokenizer = self.tokenizers[1]
        padding = True if length is None else "max_length"
        tokens = _tokens(tokenizer, prompt, padding, length or tokenizer.model_max_length)
        return self.reader(tokens.input_ids, attention_mask=tokens.attention_mask)[0], tokens.attention_mask

    def _phones(self, transcription: str) -> Condition:
        """Return the states [1, M, D] of VITS' text encoder; a text in IPA, as phonemizer would give it."""
        tokenizer = self.tokenizers[1]
        tokenizer.phonemize = False  # done already, without another package
        tokens = _tokens(tokenizer, transcription, "max_length", tokenizer.model_max_length)
        ids, mask = tokens.input_ids, tokens.attention_mask
        free = (ids[0] == 0).nonzero()
        if len(free):
            ids[0, free[0]], mask[0, free[0]] = _STOP, 1
        return self.reader.text_encoder(ids, attention_mask=mask, padding_mask=mask[..., None])[0], mask

    @torch.no_grad()
    def to_latent(self, samples: Tensor) -> Tensor:
        from uniaudio.audio.filterbanks import TacotronMel

        if self.shape.sample_rate != _MEL_RATE:
            raise InputError(
                f"{self.name} has spectrograms of {self.shape.sample_rate} Hz: only {_MEL_RATE} is known here"
            )
        bands = self.vocoder.config.model_in_dim
        reduction = bands // self.shape.bins
        hop = round(_MEL_RATE / self.shape.rate / reduction)
        mel = TacotronMel(_MEL_RATE, hop_length=hop, num_mels=bands)(samples)[:, None]  # [B, 1, frames, bands]
        mel = torch.nn.functional.pad(mel, (0, 0, 0, -mel.shape[2] % reduction), value=MEL_FLOOR)
        return self.vae.encode(mel).latent_dist.mode() * self.vae.config["scaling_factor"]

    @torch.no_grad()
    def to_samples(self, latent: Tensor) -> Tensor:
        mel = self.vae.decode(latent / self.vae.config["scaling_factor"]).sample  # [B, 1, frames, bands]
        return self.vocoder(mel[:, 0]).reshape(len(latent), -1)

    def loa(self, samples: Tensor) -> Tensor:
        return self._audiomae.loa(samples, 1 if self.speaks else 8)

    @functools.cached_property
    def _audiomae(self) -> Any:
        """AudioMAE, which the public folders leave out: its timm-format weights in the folder `audiomae` beside."""
        from uniaudio.ssl.audiomae import load_timm

        folder = self.folder / "audiomae"
        if not folder.is_dir():
            raise InputError(
                f"{self.name} has no AudioMAE, which hears a recording's language of audio: put the model.safetensors "
                f"of gaunernst/vit_base_patch16_1024_128.audiomae_as2m in {folder}"
            )
        return load_timm(folder)

    @torch.no_grad()
    def scores(self, samples: Tensor, loa: Tensor, request: Mapping[str, Any]) -> Tensor:
        """Return CLAP's similarity [n] of each result with the words of its own request."""
        from transformers import ClapFeatureExtractor

        extractor = ClapFeatureExtractor.from_pretrained(self.folder / "feature_extractor", local_files_only=True)
        rate = extractor.sampling_rate
        sounds = [Audio(row[None].float().numpy(), self.shape.sample_rate).resample(rate).samples[0] for row in samples]
        sounds = [sound[: extractor.nb_max_samples] for sound in sounds]  # it would cut longer ones at random
        heard = extractor(sounds, sampling_rate=rate, return_tensors="pt")
        features = self.clap.get_audio_features(**heard)
        features = getattr(features, "pooler_output", features)
        text = self._clap(VOICE if self.speaks else as_text(request["caption"]))[0][:, 0]
        return torch.nn.functional.cosine_similarity(features, text)


def _tokens(tokenizer: Any, text: str, padding: bool | str, length: int) -> Any:
    return tokenizer([text], padding=padding, max_length=length, truncation=True, return_tensors="pt")
