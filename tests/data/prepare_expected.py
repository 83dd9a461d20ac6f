"""What preparing each miniature corpus must give."""

from typing import Any

from prepare_layouts import Expected

EVEN = {"train": 1, "dev": 1, "test": 1}
OPENCPOP_SCORE = [
    {"pitch": 60, "start": 0.0, "end": 0.25, "lyric": "gan"},
    {"pitch": 61, "start": 0.25, "end": 0.45, "lyric": "shou"},
    {"pitch": 62, "start": 0.45, "end": 0.65, "lyric": "-"},
]
M4SINGER_SCORE = [
    {"pitch": 62, "start": 0.2, "end": 0.6, "lyric": "ni"},
    {"pitch": 64, "start": 0.6, "end": 1.0, "lyric": "-"},
]
STYLE = {"gender": "F", "pitch": "low", "speaking_speed": "slow", "energy": "normal"}


def row(split: str, text: str = "", speaker: str = "", **custom: Any) -> dict[str, Any]:
    return {"split": split, "text": text, "speaker": speaker, **custom}


EXPECTED: dict[str, Expected] = {
    "librispeech": Expected(
        splits={"train": 2, "dev": 2, "test": 2},
        rows={"1272-128104-0001": row("dev", "a second line", "1272", language="en")},
        needed="train-clean-100/103/1240/103-1240-0001.flac",
    ),
    "libritts": Expected(
        splits=EVEN,
        rows={"103_1241_000001_000000": row("train", "Mister Quilter, seven.", "103", snr_db=23.5, gender="F")},
        needed="dev-clean/1272/128104/1272_128104.book.tsv",
    ),
    "libritts_r": Expected(
        splits=EVEN,
        rows={"1089_134686_000001_000000": row("test", "Mister Quilter, seven.", "1089")},
        needed="test-clean/1089/134686/1089_134686_000001_000000.wav",
    ),
    "librilight": Expected(
        splits={"train": 2, "dev": 2, "test": 2},
        rows={
            "small-100-sea_fairies_0812_librivox_64kb_mp3-01_baum_sea_fairies_64kb-0001": row(
                "train", "", "100", book="The Sea Fairies", snr_db=11.2
            )
        },
        starts={"small-100-sea_fairies_0812_librivox_64kb_mp3-01_baum_sea_fairies_64kb-0001": (0.5, 0.5)},
        needed="small/106/sea_fairies_0812_librivox_64kb_mp3/01_baum_sea_fairies_64kb.json",
    ),
    "vctk": Expected(
        splits=EVEN,
        rows={"p236_001_mic2": row("test", "Please call Stella.", "p236", accent="English", age=23)},
        needed="wav48_silence_trimmed/p228/p228_001_mic2.flac",
    ),
    "mls": Expected(
        splits={"train": 2, "dev": 2, "test": 2},
        rows={
            "german-11_20_000000": row("dev", "zdanie pierwsze", "11", language="de", gender="F"),
            "polish-10_20_000000": row("train", "zdanie pierwsze", "10", language="pl"),
        },
        needed="mls_polish/dev/transcripts.txt",
    ),
    "audiocaps": Expected(
        splits=EVEN,
        rows={"ddd-30": row("test", captions=["ddd 0", "ddd 1"]), "ccc-30": row("dev", captions=["ccc 0"])},
        needed="dataset/val.csv",
        named="val.csv",
    ),
    "clotho": Expected(
        splits=EVEN,
        rows={"evaluation-Old_door_01": row("test", captions=[f"A door, number {number}." for number in range(5)])},
        needed="clotho_captions_validation.csv",
    ),
    "wavcaps": Expected(
        splits=EVEN,
        rows={
            "FreeSound-2219": row("dev", captions=["A bell."], subset="FreeSound"),
            "SoundBible-2219": row("test", captions=["A plane."]),
            "AudioSet_SL-Yvideo000000": row("train", captions=["Wind."]),
        },
        needed="json_files",
    ),
    "musiccaps": Expected(
        splits=EVEN,
        rows={
            "video000003-30": row("test", captions=["A calm song, slow."], aspects=["pop", "low voice"]),
            "video000005-30": row("dev", start_seconds=30.0),
        },
        needed="musiccaps-public.csv",
    ),
    "fma": Expected(
        splits=EVEN,
        rows={
            "000002": row("train", captions=["hip-hop music"], title="Food", licence="CC BY"),
            "000005": row("dev", title="This, World", captions=None),
        },
        needed="fma_metadata/tracks.csv",
    ),
    "opencpop": Expected(
        splits={"train": 2, "dev": 1, "test": 1},
        rows={"2044000001": row("test", "感受", "opencpop", score=OPENCPOP_SCORE, piece="2044", language="zh")},
        needed="segments/wavs/2001000001.wav",
    ),
    "opensinger": Expected(
        splits=EVEN,
        rows={"ManRaw-1_左边_0": row("test", "忍不住化身一条固执的鱼", "man-1", piece="左边", score=None)},
        needed="WomanRaw/4_默/4_默_0.txt",
    ),
    "m4singer": Expected(
        splits=EVEN,
        rows={
            "Alto-1#newboy#0000": row("dev", "你", "Alto-1", score=M4SINGER_SCORE, piece="newboy"),
            "Tenor-3#美错#0000": row("test", "你", "Tenor-3", piece="美错"),
        },
        needed="Bass-2#newboy/0001.wav",
    ),
    "maestro": Expected(
        splits=EVEN,
        rows={"P_1": row("dev", composer="Alban Berg", title="Sonata, Op. 1", year=2018)},
        needed="2018/P_2.midi",
    ),
    "musan": Expected(
        splits={"train": 3, "dev": 3, "test": 3},
        rows={
            "music-fma-0001": row("dev", noise_type="music", genres=["rock", "pop"]),
            "noise-free-sound-0037": row("test", noise_type="noise"),
            "speech-librivox-0000": row("train", noise_type="speech"),
        },
        needed="music/fma/music-fma-0002.wav",
    ),
    "demand": Expected(splits=EVEN, rows={"TBUS": row("test", noise_type="bus")}, needed="NPARK_16k/NPARK/ch01.wav"),
    "wham": Expected(
        splits=EVEN, rows={"01cv0101_0.1": row("dev", noise_type="place 1")}, needed="metadata/noise_meta_tt.csv"
    ),
    "rirs_noises": Expected(
        splits={"train": 2, "dev": 1, "test": 1},
        rows={
            "small-Room050-00001": row("dev", room="small-Room050", size="small", simulated=True),
            "real-air_type1_air_binaural_aula_carolina_1_1_90_3": row(
                "train", room="air_type1_aula_carolina", simulated=False
            ),
        },
        needed="simulated_rirs/smallroom/Room001/Room001-00001.wav",
    ),
    "rirs_noises_noise": Expected(
        splits={"train": 2, "dev": 1, "test": 1},
        rows={"noise-free-sound-0010": row("dev", noise_type="point source")},
        needed="pointsource_noises",
    ),
    "promptspeech": Expected(
        splits=EVEN,
        rows={
            "103_1241_000001_000000": row(
                "train", "Mister Quilter.", "103", instructions=["A woman, slowly.", "Slow and low."], style=STYLE
            )
        },
        needed="LibriTTS",
    ),
    "textrolspeech": Expected(
        splits={"train": 2, "dev": 1, "test": 1},
        rows={
            "emotion_dataset-RAVDESS-Actor_12-03-01-06-01-02-01-12": row(
                "train", "Please call.", "emotion_dataset-12", instructions=["She speaks, gladly."]
            ),
            "VCTK-Corpus-0.92-wav48-p228-p228_001": row("dev", "Please call.", "VCTK-Corpus-0.92-p228"),
        },
        needed="caption",
    ),
}
