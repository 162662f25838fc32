"""Words: what they accept, what they refuse, and that compiled code sees the same memory."""

import mmap

import pytest

from emu.arch import JIT, WORD_BYTES, Words, jit, private_words


@jit
def set_and_get(seg, i, value):
    seg[i] = value
    return seg[i]


@pytest.mark.parametrize("value", [0, 1, -1, (1 << 63) - 1, -(1 << 63)])
def test_compiled_code_and_python_see_the_same_word(words, value):
    assert set_and_get(words, 5, value) == value
    assert words[5] == value
    assert [words[i] for i in (4, 6)] == [0, 0]


def test_words_view_a_buffer_and_do_not_copy_it():
    raw = bytearray(4 * WORD_BYTES)
    words = Words(raw)
    words[2] = -2
    assert raw[16:24] == (-2).to_bytes(8, "little", signed=True)
    assert len(words) == 4


def test_words_over_a_mapping_can_be_released_and_the_mapping_closed():
    mapping = mmap.mmap(-1, 4096)
    words = Words(mapping)
    words[0] = 1
    words.release()
    mapping.close()
    assert words.addr == 0
    with pytest.raises(ValueError):
        words[0]


def test_a_part_of_a_word_is_refused():
    with pytest.raises(AssertionError, match="13 bytes"):
        Words(bytearray(13))


def test_a_buffer_that_cannot_be_written_is_refused():
    with pytest.raises((TypeError, BufferError)):
        Words(bytes(16))


@pytest.mark.parametrize("count", [1, 16, 1000])
def test_private_words_are_zero_and_start_on_a_line(count):
    words = private_words(count)
    assert words.addr % 128 == 0
    assert len(words) == count
    assert not any(words.words)


@pytest.mark.parametrize("index", [8, -9, 1 << 40])
def test_an_index_outside_is_refused_when_interpreted(index):
    with pytest.raises(IndexError):
        private_words(8)[index]


def test_a_value_outside_int64_is_refused_when_interpreted():
    with pytest.raises((ValueError, OverflowError)):
        private_words(8)[0] = 1 << 63


@pytest.mark.jit_only
def test_compiled_code_takes_nothing_but_words():
    from numba.core.errors import TypingError

    from emu.arch import load_relaxed

    @jit
    def load(seg):
        return load_relaxed(seg, 0)

    assert JIT
    with pytest.raises(TypingError):
        load(bytearray(16))
