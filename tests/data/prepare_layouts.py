"""Miniature copies of the public corpora in their true layout, and what their manifests must hold."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

WRITERS: dict[str, Callable[[Path], None]] = {}


@dataclass(frozen=True, kw_only=True)
class Expected:
    """What preparing a miniature gives: cuts in each split, some rows by id, and the file that a test removes."""

    splits: Mapping[str, int]
    rows: Mapping[str, Mapping[str, Any]]  # id -> text, speaker, split, and custom values
    needed: str  # removed for the incomplete folder; the message names it or `named`
    named: str = ""
    starts: Mapping[str, tuple[float, float]] = field(default_factory=dict)  # id -> (start s, duration s)


def tone(path: Path, seconds: float = 0.2, rate: int = 16000, channels: int = 1) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    wave = 0.3 * np.sin(2 * np.pi * 440 * np.arange(round(seconds * rate)) / rate)
    samples = np.stack([wave * (1 - 0.5 * channel) for channel in range(channels)], axis=1)
    opus = {"format": "OGG", "subtype": "OPUS"} if path.suffix == ".opus" else {}
    soundfile.write(path, samples.astype(np.float32), rate, **opus)


def put(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def layout(writer: Callable[[Path], None]) -> Callable[[Path], None]:
    WRITERS[writer.__name__] = writer
    return writer


@layout
def librispeech(root: Path) -> None:
    parts = {"dev-clean": "1272-128104", "test-clean": "1089-134686", "train-clean-100": "103-1240"}
    put(root / "SPEAKERS.TXT", ";ID  |SEX| SUBSET           |MINUTES| NAME\n")
    for part, chapter in parts.items():
        folder = root / part / chapter.replace("-", "/")
        put(folder / f"{chapter}.trans.txt", f"{chapter}-0000 MISTER QUILTER\n{chapter}-0001 A SECOND LINE\n")
        for number in range(2):
            tone(folder / f"{chapter}-{number:04d}.flac")


@layout
def libritts(root: Path) -> None:
    parts = {"dev-clean": "1272_128104", "test-clean": "1089_134686", "train-clean-100": "103_1241"}
    put(root / "SPEAKERS.txt", ";ID  |SEX| SUBSET           |MINUTES| NAME\n103  | F | train-clean-100  | 25.03 | X\n")
    for part, chapter in parts.items():
        folder, id = root / part / chapter.replace("_", "/"), f"{chapter}_000001_000000"
        put(folder / f"{chapter}.trans.tsv", f"{id}\tMr. Quilter, 7.\tMister Quilter, seven.\n")
        put(folder / f"{chapter}.book.tsv", f"{id}\tMr. Quilter, 7.\t0.0\t1.0\t23.5\n")
        put(folder / f"{id}.normalized.txt", "Mister Quilter, seven.")
        tone(folder / f"{id}.wav", rate=24000)


WRITERS["libritts_r"] = libritts


@layout
def librilight(root: Path) -> None:
    for speaker in ("100", "106", "119"):
        file = root / "small" / speaker / "sea_fairies_0812_librivox_64kb_mp3" / "01_baum_sea_fairies_64kb"
        tone(file.with_suffix(".flac"), seconds=1.0)
        facts = {"speaker": speaker, "book_meta": {"title": "The Sea Fairies"}, "snr": 11.2}
        put(file.with_suffix(".json"), json.dumps({**facts, "voice_activity": [[0.1, 0.4], [0.5, 1.2]]}))


@layout
def vctk(root: Path) -> None:
    header = "ID  AGE  GENDER  ACCENTS  REGION COMMENTS\n"
    put(root / "speaker-info.txt", header + "".join(f"{s}  23  F  English  Southern England\n" for s in _VCTK))
    for speaker in _VCTK:
        put(root / "txt" / speaker / f"{speaker}_001.txt", "Please call Stella.\n")
        for microphone in (1, 2):
            tone(root / "wav48_silence_trimmed" / speaker / f"{speaker}_001_mic{microphone}.flac", rate=48000)


_VCTK = ("p225", "p228", "p236")


@layout
def mls(root: Path) -> None:
    header = " SPEAKER   |   GENDER   | PARTITION  |  MINUTES   |  BOOK ID   |  TITLE  |  CHAPTER\n"
    for folder, extension in (("mls_polish", "flac"), ("mls_german_opus", "opus")):
        rows = "".join(f"  {s}   |   F   | x  | 1.0 | 20 | T | C\n" for s in (10, 11, 12))
        put(root / folder / "metainfo.txt", header + rows)
        for speaker, part in ((10, "train"), (11, "dev"), (12, "test")):
            put(root / folder / part / "transcripts.txt", f"{speaker}_20_000000\tzdanie pierwsze\n")
            put(root / folder / part / "segments.txt", f"{speaker}_20_000000\thttp://x\t0.0\t0.2\n")
            tone(root / folder / part / "audio" / str(speaker) / "20" / f"{speaker}_20_000000.{extension}")


@layout
def audiocaps(root: Path) -> None:
    for name, videos in (("train", ("aaa", "-bb")), ("val", ("ccc",)), ("test", ("ddd", "ddd"))):
        rows = [f"{number}{len(name)},{video},30,{video} {number}\n" for number, video in enumerate(videos)]
        put(root / "dataset" / f"{name}.csv", "audiocap_id,youtube_id,start_time,caption\n" + "".join(rows))
    for name in ("train/aaa_30.wav", "val/ccc_30000_40000.wav", "test/Yddd.flac"):
        tone(root / "audio" / name, rate=32000)


@layout
def clotho(root: Path) -> None:
    columns = "file_name,caption_1,caption_2,caption_3,caption_4,caption_5\n"
    for part in ("development", "validation", "evaluation"):
        captions = ",".join(f'"A door, number {number}."' for number in range(5))
        put(root / f"clotho_captions_{part}.csv", f"{columns}Old door 01.wav,{captions}\n")
        tone(root / part / "Old door 01.wav", rate=44100)


@layout
def wavcaps(root: Path) -> None:
    subsets = {
        "AudioSet_SL/as": [{"id": "Yvideo000000.wav", "caption": "Wind."}, {"id": "Ybanned.wav", "caption": "No."}],
        "FreeSound/fsd": [{"id": "2219", "caption": "A bell.", "author": "uploader1"}],
        "SoundBible/sb": [{"id": "2219", "caption": "A plane.", "author": "uploader33"}],
    }
    for path, rows in subsets.items():
        put(root / "json_files" / f"{path}_final.json", json.dumps({"num_captions_per_audio": 1, "data": rows}))
        for row in rows:
            subset = path.split("/")[0]
            tone(root / "Zip_files" / subset / f"{subset}_flac" / f"{row['id'].removesuffix('.wav')}.flac", rate=32000)
    held_out = {"AudioSet": ["Ybanned.wav"], "FreeSound": []}
    put(root / "json_files/blacklist/blacklist_exclude_test_ac.json", json.dumps(held_out))


@layout
def musiccaps(root: Path) -> None:
    columns = "ytid,start_s,end_s,audioset_positive_labels,aspect_list,caption,author_id,is_balanced_subset"
    rows = [f"{columns},is_audioset_eval\n"]
    for video, is_eval in (("video000000", False), ("video000005", False), ("video000003", True), ("gone", True)):
        rows.append(f"{video},30,40,/m/1,\"['pop', 'low voice']\",\"A calm song, slow.\",4,False,{is_eval}\n")
    put(root / "musiccaps-public.csv", "".join(rows))
    for name in ("video000000", "[video000005]-[30-40]", "video000003_30"):
        tone(root / "wav" / f"{name}.wav", rate=48000, channels=2)


@layout
def fma(root: Path) -> None:
    header = ",set,set,track,track,track,artist\n,split,subset,genre_top,title,license,name\ntrack_id,,,,,,\n"
    rows = '2,training,small,Hip-Hop,Food,CC BY,AWOL\n5,validation,small,,"This, World",CC0,AWOL\n'
    put(root / "fma_metadata" / "tracks.csv", header + rows + "10,test,small,Pop,Freeway,CC BY-NC,Kurt\n")
    for track in ("000002", "000005", "000010"):
        tone(root / "fma_small" / "000" / f"{track}.mp3", seconds=0.5, rate=44100, channels=2)


@layout
def opencpop(root: Path) -> None:
    phones = "g an sh ou ou SP|C4 C4 C#4/Db4 C#4/Db4 D4 rest|.25 .25 .2 .2 .2 .1|.1 .15 .05 .15 .2 .1|0 0 0 0 1 0"
    for name, songs in (("train", ("2001", "2002", "2003")), ("test", ("2044",))):
        put(root / "segments" / f"{name}.txt", "".join(f"{song}000001|感受|{phones}\n" for song in songs))
        for song in songs:
            tone(root / "segments" / "wavs" / f"{song}000001.wav", seconds=0.75, rate=44100)


@layout
def opensinger(root: Path) -> None:
    for where in ("ManRaw/1_左边", "WomanRaw/4_默", "WomanRaw/5_默"):
        name = where.split("/")[1]
        put(root / where / f"{name}_0.txt", "忍不住化身一条固执的鱼\n")
        put(root / where / f"{name}_0.lab", "ren bu zhu")
        tone(root / where / f"{name}_0.wav", rate=24000)


@layout
def m4singer(root: Path) -> None:
    notes = {"phs": ["<AP>", "n", "i", "i"], "is_slur": [0, 0, 0, 1], "ph_dur": [0.2, 0.1, 0.3, 0.4]}
    rows = []
    for item in ("Alto-1#newboy#0000", "Bass-2#newboy#0001", "Tenor-3#美错#0000"):
        rows.append(
            {"item_name": item, "txt": "你", **notes, "notes": [0, 62, 62, 64], "notes_dur": [0.2, 0.4, 0.4, 0.4]}
        )
        folder, number = item.rsplit("#", 1)
        tone(root / folder.replace("美错", "#U7f8e#U9519") / f"{number}.wav", seconds=1.0, rate=48000)
    put(root / "meta.json", json.dumps(rows))


@layout
def maestro(root: Path) -> None:
    rows = ["canonical_composer,canonical_title,split,year,midi_filename,audio_filename,duration\n"]
    for number, split in enumerate(("train", "validation", "test")):
        rows.append(f'Alban Berg,"Sonata, Op. 1",{split},2018,2018/P_{number}.midi,2018/P_{number}.wav,0.2\n')
        tone(root / "2018" / f"P_{number}.wav", rate=48000, channels=2)
        put(root / "2018" / f"P_{number}.midi", "MThd")
    put(root / "maestro-v3.0.0.csv", "".join(rows))


@layout
def musan(root: Path) -> None:
    music = "".join(f"music-fma-000{n} rock,pop N musician{(0, 6, 16)[n]} x\n" for n in range(3))
    put(root / "music/fma/ANNOTATIONS", music)
    put(root / "music/fma/LICENSE", "CC")
    names = [f"music/fma/music-fma-000{n}.wav" for n in range(3)]
    names += [f"speech/librivox/speech-librivox-00{n}.wav" for n in ("00", "11", "37")]
    for name in names + [f"noise/free-sound/noise-free-sound-00{n}.wav" for n in ("00", "10", "37")]:
        tone(root / name)


@layout
def demand(root: Path) -> None:
    for name in ("DKITCHEN", "NPARK", "TBUS"):
        for channel in (1, 2):
            tone(root / f"{name}_16k" / name / f"ch{channel:02d}.wav")


@layout
def wham(root: Path) -> None:
    columns = "utterance_id,Noise Band,File ID,L to R Width (cm),Reverberation Level,Location ID,Location Day ID\n"
    for number, part in enumerate(("tr", "cv", "tt")):
        put(root / "metadata" / f"noise_meta_{part}.csv", f"{columns}01{part}0101_0.1.wav,1,7,16.5 cm,l,{number},3\n")
        tone(root / part / f"01{part}0101_0.1.wav", channels=2)


@layout
def rirs_noises(root: Path) -> None:
    rows = ""
    for room in ("001", "050", "032"):
        path = f"simulated_rirs/smallroom/Room{room}/Room{room}-00001.wav"
        rows += f"--rir-id small-Room{room}-00001 --room-id small-Room{room} RIRS_NOISES/{path}\n"
        tone(root / path)
    put(root / "simulated_rirs/smallroom/rir_list", rows)
    real = "real_rirs_isotropic_noises"
    tone(root / real / "air_type1_air_binaural_aula_carolina_1_1_90_3.wav", channels=2)
    line = f"RIRS_NOISES/{real}/air_type1_air_binaural_aula_carolina_1_1_90_3.wav"
    put(root / real / "rir_list", f"--rir-id 00001 --room-id air_type1_aula_carolina {line}\n")
    tone(root / real / "RVB2014_type1_noise_largeroom1_1.wav", channels=8)
    for number in ("0000", "0010", "0037"):
        tone(root / "pointsource_noises" / f"noise-free-sound-{number}.wav")


WRITERS["rirs_noises_noise"] = rirs_noises


@layout
def promptspeech(root: Path) -> None:
    libritts(root / "LibriTTS")
    columns = "item_name,spk_id,gender,pitch,speaking_speed,energy,style_prompt,content_prompt\n"
    rows = ""
    for chapter in ("1272_128104", "1089_134686", "103_1241"):
        for prompt in ("A woman, slowly.", "Slow and low."):
            rows += f'{chapter}_000001_000000,{chapter.split("_")[0]},F,low,slow,normal,"{prompt}",Mister Quilter.\n'
    put(root / "Real_training.csv", columns + rows + "77_1_000001_000000,77,M,low,slow,low,Quiet.,Not on disk.\n")


@layout
def textrolspeech(root: Path) -> None:
    columns = "num,wav_fp,item_name,gender,pitch,tempo,energy,emotion,style_prompt,content_prompt\n"
    rows = ""
    for path in (
        "LibriTTS/train-clean-100/103/1241/103_1241_000000_000001.wav",
        "VCTK-Corpus-0.92/wav48/p228/p228_001.wav",
        "emotion_dataset/RAVDESS/Actor_12/03-01-06-01-02-01-12.wav",
        "LibriTTS/test-clean/1089/1/1089_1_000000_000001.wav",
    ):
        name = Path(path).stem
        rows += f'0,/{path},{name},F,high,normal,low,happy,"She speaks, gladly.",Please call.\n'
        tone(root / path)
    put(root / "caption" / "random_train.csv", columns + rows)
