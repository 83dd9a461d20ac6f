"""The task table: what each task is given, what it predicts, and how it is judged (standard library only)."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True)
class Task:
    """One kind of generation, as data.

    `given` maps each request field to its modality (or modalities, where one field gives several items), in
    sequence order. `target` is (audio type, modality): the only part of the sequence that carries loss.
    `length` says where the number of target frames comes from: "text" (spoken length of the phonemes), "seconds"
    (asked for by the user) or the name of the field whose frames the target follows one to one.
    """

    name: str
    about: str
    given: Mapping[str, str | tuple[str, ...]]
    target: tuple[str, str]
    length: str
    metrics: tuple[str, ...]
    stage: int = 1
    help: Mapping[str, str] = field(default_factory=dict)

    @property
    def items(self) -> list[tuple[str, str]]:
        """(field, modality) pairs in sequence order; a field with two modalities appears twice."""
        pairs: list[tuple[str, str]] = []
        for name, modalities in self.given.items():
            for modality in (modalities,) if isinstance(modalities, str) else modalities:
                pairs.append((name, modality))
        return pairs


# Modality -> whether its frames run in step with the target (frame t of one belongs to frame t of the other).
MODALITIES: dict[str, bool] = {
    "codec": True,
    "voice": False,
    "phoneme": False,
    "phoneme_duration": True,
    "midi": True,
    "semantic": True,
    "caption": False,
}

_SPEAKER = "a recording of the voice to use (about 3 s)"

_TABLE = (
    Task(
        name="tts",
        about="Speak a text in a given voice.",
        given={"text": "phoneme", "speaker": "voice"},
        target=("speech", "codec"),
        length="text",
        metrics=("wer", "speaker_similarity", "nearest_voice", "dnsmos"),
        help={"text": "the English text to speak", "speaker": _SPEAKER},
    ),
    Task(
        name="voice_conversion",
        about="Say what a recording says, in another voice.",
        given={"source": "semantic", "speaker": "voice"},
        target=("speech", "codec"),
        length="source",
        metrics=("wer", "speaker_similarity", "nearest_voice", "dnsmos"),
        help={"source": "the recording whose words are kept", "speaker": _SPEAKER},
    ),
    Task(
        name="speech_enhancement",
        about="Remove the noise from a recording of speech.",
        given={"noisy": "codec"},
        target=("speech", "codec"),
        length="noisy",
        metrics=("dnsmos", "wer", "pesq", "stoi", "si_sdr"),
        help={"noisy": "the noisy recording"},
    ),
    Task(
        name="target_speaker_extraction",
        about="Keep one talker out of a mixture.",
        given={"mixture": "codec", "speaker": "voice"},
        target=("speech", "codec"),
        length="mixture",
        metrics=("wer", "speaker_similarity", "nearest_voice", "stoi"),
        help={"mixture": "a recording with several talkers", "speaker": "a recording of the talker to keep"},
    ),
    Task(
        name="singing_synthesis",
        about="Sing a score in a given voice.",
        given={"score": ("phoneme_duration", "midi"), "speaker": "voice"},
        target=("singing", "codec"),
        length="score",
        metrics=("pitch", "voicing", "wer", "speaker_similarity"),
        help={"score": "a score with lyrics (JSON, MusicXML or MIDI)", "speaker": _SPEAKER},
    ),
    Task(
        name="text_to_sound",
        about="Make the sound that a caption describes.",
        given={"caption": "caption"},
        target=("sound", "codec"),
        length="seconds",
        metrics=("class_accuracy", "caption_agreement", "kl_divergence", "frechet_distance", "diversity"),
        help={"caption": "a description of the sound"},
    ),
    Task(
        name="text_to_music",
        about="Make the music that a caption describes.",
        given={"caption": "caption"},
        target=("music", "codec"),
        length="seconds",
        metrics=("class_accuracy", "caption_agreement", "tempo_error", "frechet_distance", "diversity"),
        help={"caption": "a description of the music"},
    ),
    Task(
        name="audio_edit",
        about="Change a recording as an instruction says.",
        given={"caption": "caption", "source": "codec"},
        target=("sound", "codec"),
        length="source",
        metrics=("edit_accuracy", "mel_distance"),
        stage=2,
        help={"caption": "what to add, remove or replace", "source": "the recording to change"},
    ),
    Task(
        name="dereverberation",
        about="Remove the room from a recording of speech.",
        given={"reverberant": "codec"},
        target=("speech", "codec"),
        length="reverberant",
        metrics=("dnsmos", "wer", "srmr", "speech_to_reverberation"),
        stage=2,
        help={"reverberant": "the reverberant recording"},
    ),
    Task(
        name="instructed_tts",
        about="Speak a text in the way an instruction describes.",
        given={"text": "phoneme", "instruction": "caption"},
        target=("speech", "codec"),
        length="text",
        metrics=("wer", "rate_class", "pitch_class", "dnsmos"),
        stage=2,
        help={"text": "the English text to speak", "instruction": "how to speak, for example 'a low, slow voice'"},
    ),
    Task(
        name="speech_edit",
        about="Change words inside a recording of speech.",
        given={"edited_text": "phoneme_duration", "source": "codec", "text": "phoneme"},
        target=("speech", "codec"),
        length="edited_text",
        metrics=("wer", "mel_cepstral_distortion", "speaker_similarity", "join_click"),
        stage=2,
        help={
            "source": "the recording to change",
            "text": "what the recording says now",
            "edited_text": "what it should say",
        },
    ),
)

TASKS: dict[str, Task] = {task.name: task for task in _TABLE}
