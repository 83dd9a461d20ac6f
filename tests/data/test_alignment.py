"""Times carried over from flite's phones to ours: exact where the phones agree, without gaps everywhere."""

import pytest

from uniaudio.data.alignment import transfer_times

HORSE = [["pau", 0.0, 0.1], ["hh", 0.1, 0.2], ["ao", 0.2, 0.3], ["r", 0.3, 0.4], ["s", 0.4, 0.6], ["pau", 0.6, 0.7]]


def test_the_same_phones_keep_their_times():
    timed = transfer_times(["h", "ˈɔːɹ", "s", "."], HORSE)
    assert timed == [("sil", 0.0, 0.1), ("h", 0.1, 0.2), ("ˈɔːɹ", 0.2, 0.4), ("s", 0.4, 0.6), (".", 0.6, 0.7)]


def test_a_phone_that_the_engine_did_not_say_shares_a_segment():
    timed = transfer_times(["h", "ˈɔː", "ɹ", "s", "ə", "."], HORSE)
    assert [phone for phone, _, _ in timed] == ["sil", "h", "ˈɔː", "ɹ", "s", "ə", "."]
    assert timed[4][2] == pytest.approx(0.5) and timed[5] == ("ə", pytest.approx(0.5), 0.6)


def test_a_comma_without_a_pause_is_left_out_and_one_with_a_pause_gets_it():
    segments = [
        ["pau", 0.0, 0.1],
        ["n", 0.1, 0.2],
        ["ow", 0.2, 0.4],
        ["pau", 0.4, 0.6],
        ["s", 0.6, 0.7],
        ["ow", 0.7, 0.9],
    ]
    timed = transfer_times(["n", "ˈoʊ", ",", "s", "ˈoʊ"], segments)
    assert (",", 0.4, 0.6) in timed
    without = [["pau", 0.0, 0.1], ["n", 0.1, 0.2], ["ow", 0.2, 0.4], ["s", 0.4, 0.7], ["ow", 0.7, 0.9]]
    assert "," not in [phone for phone, _, _ in transfer_times(["n", "ˈoʊ", ",", "s", "ˈoʊ"], without)]


@pytest.mark.parametrize("phones", [["h", "ˈɔːɹ", "s", "."], ["t", "ˈuː", "."], ["a"] * 12, ["m"]])
def test_there_is_never_a_gap(phones: list[str]):
    timed = transfer_times(phones, HORSE)
    assert timed[0][1] == 0.0 and timed[-1][2] == pytest.approx(0.7)
    for (_, _, end), (_, start, stop) in zip(timed, timed[1:], strict=False):
        assert start == pytest.approx(end) and stop > start
