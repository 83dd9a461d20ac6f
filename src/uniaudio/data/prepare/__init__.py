"""Real corpora: from the folder that their authors publish to a manifest of ours. Audio is not copied.

One file per corpus, and one entry here; a module is imported when its corpus is prepared.
"""

import importlib
from pathlib import Path

from uniaudio.data.prepare.base import Corpus, open_source, write_manifest
from uniaudio.errors import InputError

_SPEECH = (
    "tts",
    "voice_conversion",
    "speech_enhancement",
    "target_speaker_extraction",
    "dereverberation",
    "speech_edit",
)
_UNLABELLED = ("voice_conversion", "speech_enhancement", "target_speaker_extraction", "dereverberation")
_NOISE = ("speech_enhancement",)

CORPORA: dict[str, Corpus] = {
    "librispeech": Corpus(
        about="960 hours of read English, 16 kHz, text without punctuation",
        kind="speech",
        tasks=_SPEECH,
        licence="CC BY 4.0",
        download="download the parts you want (dev-clean.tar.gz, ...) from openslr.org/12 and unpack them into one "
        "folder; --source is LibriSpeech, which holds dev-clean and the others",
        expects=("*-*/*/*/*.trans.txt", "*-*/*/*/*.flac"),
        module="librispeech",
    ),
    "libritts": Corpus(
        about="585 hours of read English, 24 kHz, normalised text with punctuation",
        kind="speech",
        tasks=_SPEECH,
        licence="CC BY 4.0",
        download="download the parts you want (dev-clean.tar.gz, ...) from openslr.org/60 and unpack them into one "
        "folder; --source is LibriTTS, which holds dev-clean and the others",
        expects=("*-*/*/*/*.trans.tsv", "*-*/*/*/*.book.tsv", "*-*/*/*/*.wav"),
        module="libritts",
    ),
    "libritts_r": Corpus(
        about="LibriTTS with restored sound quality",
        kind="speech",
        tasks=_SPEECH,
        licence="CC BY 4.0",
        download="download the parts you want (dev_clean.tar.gz, ...) from openslr.org/141 and unpack them into one "
        "folder; --source is LibriTTS_R, which holds dev-clean and the others",
        expects=("*-*/*/*/*.trans.tsv", "*-*/*/*/*.book.tsv", "*-*/*/*/*.wav"),
        module="libritts",
    ),
    "librilight": Corpus(
        about="60,000 hours of read English without text, 16 kHz",
        kind="speech",
        tasks=_UNLABELLED,
        licence="public domain (LibriVox)",
        download="download small.tar, medium.tar or large.tar as github.com/facebookresearch/libri-light says and "
        "unpack them into one folder; --source is that folder, which holds small and the others",
        expects=("*/*/*/*.json", "*/*/*/*.flac"),
        module="librilight",
    ),
    "vctk": Corpus(
        about="44 hours of read English, 110 speakers with accents, 48 kHz",
        kind="speech",
        tasks=_SPEECH,
        licence="CC BY 4.0",
        download="download VCTK-Corpus-0.92.zip from datashare.ed.ac.uk/handle/10283/3443 and unpack it; --source is "
        "the folder that holds txt, wav48_silence_trimmed and speaker-info.txt",
        expects=("speaker-info.txt", "txt/*/*.txt", "wav48*/*/*.*"),
        module="vctk",
    ),
    "mls": Corpus(
        about="50,000 hours of read speech in eight languages, 16 kHz",
        kind="speech",
        tasks=_SPEECH,
        licence="CC BY 4.0",
        download="download mls_english.tar.gz or another language (flac or opus) from openslr.org/94 and unpack it; "
        "--source is the folder that holds mls_english and the others",
        expects=("mls_*/metainfo.txt", "mls_*/*/transcripts.txt", "mls_*/*/audio/*/*/*.*"),
        module="mls",
    ),
    "audiocaps": Corpus(
        about="about 50,000 ten-second clips of sound with one caption (training) or five",
        kind="sound",
        tasks=("text_to_sound",),
        licence="captions for research (see their repository); the audio belongs to its uploaders",
        download="copy train.csv, val.csv and test.csv from the dataset folder of github.com/cdjkim/audiocaps, and put "
        "the clips of the videos beside or below them as YOUTUBEID_START.wav (or .flac)",
        expects=("**/train.csv", "**/val.csv", "**/test.csv"),
        module="audiocaps",
        may_miss=0.99,
    ),
    "clotho": Corpus(
        about="about 6,000 clips of sound of 15 to 30 s with five captions each",
        kind="sound",
        tasks=("text_to_sound",),
        licence="captions: Tampere University licence, non-commercial; audio: Creative Commons, per clip",
        download="download the audio archives and caption tables of Clotho 2.1 from zenodo.org/records/4783391 and "
        "unpack them into one folder; --source is that folder, which holds development, validation, evaluation and "
        "clotho_captions_development.csv and the others",
        expects=("clotho_captions_*.csv", "*/*.wav"),
        module="clotho",
    ),
    "wavcaps": Corpus(
        about="about 400,000 clips of sound (7,500 hours) with one machine-made caption each",
        kind="sound",
        tasks=("text_to_sound",),
        licence="academic use only; the audio has its own licences",
        download="download cvssp/WavCaps from the Hugging Face hub (see github.com/XinhaoMei/WavCaps) and unpack the "
        "archives of Zip_files; --source is the folder that holds json_files and, at any depth, folders named "
        "AudioSet_SL, BBC_Sound_Effects, FreeSound and SoundBible with flac files",
        expects=("json_files/*/*_final.json", "**/*.flac"),
        module="wavcaps",
        may_miss=0.99,
    ),
    "musiccaps": Corpus(
        about="5,521 ten-second clips of music with captions by musicians",
        kind="music",
        tasks=("text_to_music",),
        licence="captions: CC BY-SA 4.0; the audio belongs to its uploaders",
        download="download musiccaps-public.csv from kaggle.com/datasets/googleai/musiccaps and put the clips of the "
        "videos beside or below it as YOUTUBEID.wav (or .flac)",
        expects=("musiccaps-public.csv",),
        module="musiccaps",
        may_miss=0.99,
    ),
    "fma": Corpus(
        about="106,574 tracks of music with genres, 30 s each or whole",
        kind="music",
        tasks=("text_to_music",),
        licence="metadata: CC BY 4.0; audio: the licence of each track, in the field `licence`",
        download="download fma_metadata.zip and one of fma_small, fma_medium, fma_large and fma_full.zip as "
        "github.com/mdeff/fma says; --source is the folder that holds fma_metadata and fma_small or another",
        expects=("fma_metadata/tracks.csv", "fma_*/*/*.mp3"),
        module="fma",
        may_miss=0.05,
    ),
    "opencpop": Corpus(
        about="5.2 hours of Mandarin pop songs by one singer, with phones and notes",
        kind="singing",
        tasks=("singing_synthesis",),
        licence="CC BY-NC-ND 4.0",
        download="ask for the download at wenet.org.cn/opencpop and unpack it; --source is the folder that holds "
        "segments",
        expects=("segments/train.txt", "segments/test.txt", "segments/wavs/*.wav"),
        module="opencpop",
    ),
    "opensinger": Corpus(
        about="50 hours of Mandarin songs by dozens of singers, with lyrics; without scores, so for the codec only",
        kind="singing",
        tasks=(),
        licence="academic use only (see its LICENSE file)",
        download="get OpenSinger as multi-singer.github.io says and unpack it; --source is the folder that holds "
        "ManRaw and WomanRaw",
        expects=("*Raw/*/*.txt", "*Raw/*/*.wav"),
        module="opensinger",
    ),
    "m4singer": Corpus(
        about="30 hours of Mandarin songs by 20 singers of four registers, with phones and notes",
        kind="singing",
        tasks=("singing_synthesis",),
        licence="CC BY-NC-SA 4.0",
        download="get M4Singer as github.com/M4Singer/M4Singer says and unpack it; --source is the folder that holds "
        "meta.json and folders such as Alto-1#newboy",
        expects=("meta.json", "*#*/*.wav"),
        module="m4singer",
    ),
    "maestro": Corpus(
        about="200 hours of piano performances with MIDI, 44.1 or 48 kHz stereo",
        kind="music",
        tasks=("text_to_music",),
        licence="CC BY-NC-SA 4.0",
        download="download maestro-v3.0.0.zip from magenta.tensorflow.org/datasets/maestro and unpack it; --source is "
        "the folder that holds maestro-v3.0.0.csv and folders of years",
        expects=("maestro-v*.csv", "*/*.midi", "*/*.wav"),
        module="maestro",
    ),
    "musan": Corpus(
        about="109 hours of music, speech and noise to mix with speech, 16 kHz",
        kind="noise",
        tasks=_NOISE,
        licence="CC BY 4.0 (its files: public domain or Creative Commons)",
        download="download musan.tar.gz from openslr.org/17 and unpack it; --source is musan, which holds music, "
        "speech and noise",
        expects=("music/*/ANNOTATIONS", "music/*/*.wav", "speech/*/*.wav", "noise/*/*.wav"),
        module="musan",
    ),
    "demand": Corpus(
        about="five minutes of noise in each of 18 environments, 16 or 48 kHz",
        kind="noise",
        tasks=_NOISE,
        licence="CC BY-SA 3.0",
        download="download DKITCHEN_16k.zip and the others from zenodo.org/records/1227121 and unpack them into one "
        "folder; --source is that folder, which holds DKITCHEN and the others, each with ch01.wav",
        expects=("**/ch01.wav",),
        module="demand",
    ),
    "wham": Corpus(
        about="noise of cafes, restaurants, bars and parks, 16 kHz stereo",
        kind="noise",
        tasks=_NOISE,
        licence="CC BY-NC 4.0",
        download="download wham_noise.zip from wham.whisper.ai and unpack it; --source is wham_noise, which holds tr, "
        "cv, tt and metadata",
        expects=("metadata/noise_meta_*.csv", "tr/*.wav", "cv/*.wav", "tt/*.wav"),
        module="wham",
    ),
    "rirs_noises": Corpus(
        about="60,000 simulated and 325 measured impulse responses of rooms, 16 kHz",
        kind="rooms",
        tasks=("dereverberation",),
        licence="Apache 2.0",
        download="download rirs_noises.zip from openslr.org/28 and unpack it; --source is RIRS_NOISES, which holds "
        "simulated_rirs, real_rirs_isotropic_noises and pointsource_noises",
        expects=("simulated_rirs/*/rir_list", "simulated_rirs/*/*/*.wav", "real_rirs_isotropic_noises/rir_list"),
        module="rirs_noises",
    ),
    "rirs_noises_noise": Corpus(
        about="the point-source and isotropic noises that come with RIRS_NOISES",
        kind="noise",
        tasks=_NOISE,
        licence="Apache 2.0",
        download="download rirs_noises.zip from openslr.org/28 and unpack it; --source is RIRS_NOISES, which holds "
        "simulated_rirs, real_rirs_isotropic_noises and pointsource_noises",
        expects=("pointsource_noises/*.wav", "real_rirs_isotropic_noises/*noise*.wav"),
        module="rirs_noises",
    ),
    "promptspeech": Corpus(
        about="28,000 utterances of LibriTTS with descriptions of how they are spoken",
        kind="speech",
        tasks=("instructed_tts",),
        licence="none stated for the descriptions; audio: CC BY 4.0 (LibriTTS)",
        download="download the real version's tables from speechresearch.github.io/prompttts and the parts of LibriTTS "
        "from openslr.org/60; --source is a folder with Real_training.csv (and others) and LibriTTS beside it",
        expects=("LibriTTS*/*-*/*/*/*.wav", "*.csv"),
        module="promptspeech",
        may_miss=0.99,
    ),
    "textrolspeech": Corpus(
        about="330 hours of LibriTTS, VCTK and emotional speech with descriptions of how it is spoken",
        kind="speech",
        tasks=("instructed_tts",),
        licence="none stated for the descriptions; audio: that of each corpus in it",
        download="download speech and text as github.com/jishengpeng/TextrolSpeech says; --source is the folder that "
        "holds caption (with its csv tables) and the folders that the column wav_fp names",
        expects=("caption/*.csv", "*/**/*.wav"),
        module="textrolspeech",
        may_miss=0.99,
    ),
}


def prepare(name: str, source: Path, out: Path) -> Path:
    """Write the manifest (returned) of the corpus `name` in the folder `source` to the folder `out`, or nothing.

    Raises InputError for an unknown name, for a source folder that is missing, empty, incomplete or of something else,
    and when `out` holds another corpus.
    """
    corpus = CORPORA.get(name)
    if corpus is None:
        raise InputError(f"there is no corpus {name!r}; the corpora are {', '.join(CORPORA)}")
    found = open_source(name, corpus, source)
    module = importlib.import_module(f"{__name__}.{corpus.module}")
    return write_manifest(out, found, module.cuts(found))
