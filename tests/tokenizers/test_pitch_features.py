"""Features of what is played: pitch classes, whatever the level and the octave, and what begins."""

import numpy as np
import pytest
import torch
from tests.requests import noise

from uniaudio.audio.io import Audio
from uniaudio.tokenizers.pitch_features import PitchFeatures
from uniaudio.tokenizers.semantic import SemanticTokenizer, make_features


def tone(pitch: float, seconds: float = 1.0, level: float = 0.2) -> torch.Tensor:
    """Return samples [1, N] of a MIDI note with three overtones, an octave apart each."""
    time = np.arange(round(seconds * 16000)) / 16000
    waves = sum(np.sin(2 * np.pi * 440 * 2 ** ((pitch - 69) / 12 + octave) * time) / 3**octave for octave in range(3))
    return torch.from_numpy((level * waves)[None].astype(np.float32))


@pytest.mark.parametrize("pitch", [48, 57, 60, 66, 71])
def test_the_loudest_class_is_the_notes(pitch: int):
    vectors = PitchFeatures().features(tone(pitch))
    assert vectors.shape == (1, 25, 15) and torch.isfinite(vectors).all()
    assert (vectors[0, 4:-4, :12].argmax(1) == pitch % 12).all()


def test_level_changes_the_level_alone_and_an_octave_the_height():
    features = PitchFeatures()
    one, louder, higher = (features.features(part)[0, 10] for part in (tone(60), tone(60, level=0.4), tone(72)))
    assert louder[13] > one[13] + 1 and (louder[:12].argsort()[-1] == one[:12].argsort()[-1])
    assert higher[12] > one[12] + 0.5 and higher[:12].argmax() == 0


def test_a_note_that_begins_is_a_rise():
    features = PitchFeatures()
    samples = torch.cat((tone(60), tone(67)), dim=1)
    rise = features.features(samples)[0, :, 14]
    assert 22 <= int(rise[5:].argmax()) + 5 <= 28


def test_tokens_of_music_are_saved_and_found_again(tmp_path):
    features = make_features(PitchFeatures().settings())
    fitted = SemanticTokenizer.fit(features, [noise(2.0), Audio(tone(60, 2.0).numpy(), 16000)], num_ids=6)
    fitted.save(tmp_path / "tokens")
    again, audio = SemanticTokenizer.load(tmp_path / "tokens"), noise(1.3, seed=3)
    ids, other = fitted.encode(audio).ids, again.encode(audio).ids
    assert ids is not None and other is not None and torch.equal(ids, other) and ids.shape == (33, 1)
