"""THE MODALITY TABLE: the class that turns the value of each modality into frames, imported when asked for."""

import importlib
from typing import Any

# Modality (a key of tasks.MODALITIES) -> "module:class" in this package. A new modality is one file and one line here.
TOKENIZERS: dict[str, str] = {
    "codec": "codec:CodecTokenizer",
    "voice": "voice:VoiceTokenizer",
    "phoneme": "phoneme:PhonemeTokenizer",
    "phoneme_duration": "phoneme:PhonemeDurationTokenizer",
    "midi": "midi:MidiTokenizer",
    "semantic": "semantic:SemanticTokenizer",
    "caption": "caption:CaptionTokenizer",
}


def tokenizer_class(modality: str) -> type[Any]:
    """Return the tokenizer class of a modality. Raises KeyError for a name that is not in `TOKENIZERS`."""
    module, name = TOKENIZERS[modality].split(":")
    return getattr(importlib.import_module(f"{__name__}.{module}"), name)
