"""Folders in the layout of the public AudioLDM 2 models, saved by diffusers, with tiny random networks."""

import json
from pathlib import Path
from typing import Any

import torch

LETTERS = "abcdefghijklmnopqrstuvwxyz"


def write_folder(folder: Path, *, speaks: bool = False, token_head: bool = True) -> Path:
    """Write a folder as diffusers saves it; `token_head`: with a GPT2LMHeadModel, else a GPT2Model as on the hub."""
    from diffusers import AudioLDM2Pipeline

    torch.manual_seed(0)
    parts = {**_text_parts(folder.parent, speaks), **_audio_parts(speaks)}
    parts["language_model"] = _language_model(token_head)
    AudioLDM2Pipeline(**parts).save_pretrained(folder, safe_serialization=True)
    return folder


def _language_model(token_head: bool) -> Any:
    from transformers import GPT2Config, GPT2LMHeadModel, GPT2Model

    sizes = {"n_embd": 16, "n_head": 4, "n_layer": 2, "n_positions": 96, "vocab_size": 50}
    config = GPT2Config(**sizes, bos_token_id=0, eos_token_id=0, max_new_tokens=8)
    return (GPT2LMHeadModel if token_head else GPT2Model)(config)


def _text_parts(folder: Path, speaks: bool) -> dict[str, Any]:
    from diffusers import AudioLDM2ProjectionModel
    from transformers import ClapFeatureExtractor, RobertaTokenizer

    words = [
        "<s>",
        "<pad>",
        "</s>",
        "<unk>",
        "<mask>",
        "Ġ",
        *LETTERS,
        *LETTERS.upper(),
        *(f"Ġ{one}" for one in LETTERS),
    ]
    tokenizer = RobertaTokenizer(
        vocab={word: index for index, word in enumerate(words)}, merges=[], model_max_length=20
    )
    reader, width, tokenizer_2 = _speech_reader(folder) if speaks else _sound_reader()
    learned = {"use_learned_position_embedding": True, "max_seq_length": 24} if speaks else {}
    dims = {"text_encoder_dim": 16, "text_encoder_1_dim": width, "langauge_model_dim": 16}
    projection = AudioLDM2ProjectionModel(**dims, **learned)
    for parameter in projection.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    return {
        "text_encoder": _clap(len(words)),
        "text_encoder_2": reader,
        "tokenizer": tokenizer,
        "tokenizer_2": tokenizer_2,
        "feature_extractor": ClapFeatureExtractor(feature_size=16, max_length_s=2, truncation="rand_trunc"),
        "projection_model": projection,
    }


def _clap(vocab_size: int) -> Any:
    from transformers import ClapAudioConfig, ClapConfig, ClapModel, ClapTextConfig

    text = ClapTextConfig(
        vocab_size=vocab_size, hidden_size=8, intermediate_size=16, num_hidden_layers=2, num_attention_heads=2,
        max_position_embeddings=40, projection_dim=16,
    )  # fmt: skip
    audio = ClapAudioConfig(
        spec_size=64, window_size=4, num_mel_bins=16, hidden_size=16, patch_embeds_hidden_size=8,
        patch_embed_input_channels=1, depths=[1, 1], num_attention_heads=[1, 1], num_hidden_layers=2, projection_dim=16,
    )  # fmt: skip
    sizes = {"text_config": text.to_dict(), "audio_config": audio.to_dict(), "projection_dim": 16}
    return ClapModel(ClapConfig(**sizes))


def _sound_reader() -> tuple[Any, int, Any]:
    from transformers import T5Config, T5EncoderModel, T5Tokenizer

    pieces = ["<pad>", "</s>", "<unk>", "▁", *LETTERS, *(f"▁{one}" for one in LETTERS)]
    tokenizer = T5Tokenizer(vocab=[(piece, -float(index)) for index, piece in enumerate(pieces)], extra_ids=0)
    tokenizer.model_max_length = 16
    sizes = {"vocab_size": len(pieces), "d_model": 32, "d_ff": 37, "d_kv": 8, "num_heads": 4, "num_layers": 2}
    return T5EncoderModel(T5Config(**sizes)), 32, tokenizer


def _speech_reader(folder: Path) -> tuple[Any, int, Any]:
    from transformers import VitsConfig, VitsModel, VitsTokenizer

    symbols = ["<pad>", " ", ".", ",", "ˈ", *LETTERS, "ə", "ɪ", "ŋ", "<unk>"]
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "symbols.json"
    path.write_text(json.dumps({symbol: index for index, symbol in enumerate(symbols)}), encoding="utf-8")
    tokenizer = VitsTokenizer(
        str(path), add_blank=False, normalize=False, phonemize=False, model_max_length=24, is_uroman=False
    )
    config = VitsConfig(
        vocab_size=183, hidden_size=16, num_hidden_layers=2, num_attention_heads=2, ffn_dim=32, flow_size=16,
        spectrogram_bins=9, duration_predictor_num_flows=2, duration_predictor_filter_channels=16,
        prior_encoder_num_flows=2, upsample_initial_channel=16, upsample_rates=[8, 2], upsample_kernel_sizes=[16, 4],
        resblock_kernel_sizes=[3], resblock_dilation_sizes=[[1, 3]], depth_separable_num_layers=1,
        posterior_encoder_num_wavenet_layers=2, prior_encoder_num_wavenet_layers=2, wavenet_kernel_size=3,
    )  # fmt: skip
    return VitsModel(config), 16, tokenizer


def _audio_parts(speaks: bool) -> dict[str, Any]:
    from diffusers import AudioLDM2UNet2DConditionModel, AutoencoderKL, DDIMScheduler
    from transformers import SpeechT5HifiGan, SpeechT5HifiGanConfig

    contexts = (None, 16) if speaks else (None, 16, 32)
    unet = AudioLDM2UNet2DConditionModel(
        block_out_channels=(16, 32), layers_per_block=1, norm_num_groups=8, sample_size=32, in_channels=4,
        out_channels=4, down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"), attention_head_dim=(2, 4),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"), cross_attention_dim=(contexts, contexts),
    )  # fmt: skip
    vae = AutoencoderKL(
        block_out_channels=(8, 16), in_channels=1, out_channels=1, norm_num_groups=8, latent_channels=4,
        down_block_types=("DownEncoderBlock2D",) * 2, up_block_types=("UpDecoderBlock2D",) * 2, scaling_factor=0.43,
    )  # fmt: skip
    vocoder = SpeechT5HifiGan(
        SpeechT5HifiGanConfig(
            model_in_dim=8, sampling_rate=16000, upsample_initial_channel=16, upsample_rates=[2, 2],
            upsample_kernel_sizes=[4, 4], resblock_kernel_sizes=[3], resblock_dilation_sizes=[[1, 3]],
            normalize_before=False,
        )
    )  # fmt: skip
    for parameter in vocoder.parameters():
        if parameter.ndim > 1:  # fresh ones are so small that nothing could be heard, nor compared
            torch.nn.init.xavier_normal_(parameter)
    scheduler = DDIMScheduler(
        beta_start=0.0015, beta_end=0.0195, beta_schedule="scaled_linear", clip_sample=False, set_alpha_to_one=False,
        steps_offset=1,
    )  # fmt: skip
    return {"unet": unet, "vae": vae, "vocoder": vocoder, "scheduler": scheduler}
