"""Progress shows on a terminal, in one line, and nowhere else."""

import io

from emu.report import Progress


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_one_line_is_rewritten_in_place():
    stream = Terminal()
    progress = Progress(stream, 10.0)
    progress.update(2.0, 8_640, 12, 49)
    progress.update(4.0, 8_660, 12, 98)
    progress.close()
    assert stream.getvalue().split("\r")[1:] == [
        "[####................] 2.00 s, 8.00 s left  4 320 calls/s  12 fallbacks  49 gps",
        "[########............] 4.00 s, 6.00 s left  10.0 calls/s  12 fallbacks  98 gps \n"]


def test_lines_stay_off_the_last_column():
    stream = Terminal()
    progress = Progress(stream, 86_400)
    progress.update(43_200.0, 10**15, 10**15, 10**12)
    assert len(stream.getvalue().strip("\r")) <= 79


def test_silent_when_the_stream_is_no_terminal():
    stream = io.StringIO()
    for quiet in (Progress(stream, 10), Progress(None, 10)):
        quiet.update(1.0, 1, 1, 1)
        quiet.close()
    assert stream.getvalue() == ""


def test_a_run_past_its_time_or_without_one_is_draining():
    stream = Terminal()
    Progress(stream, 10).update(12.0, 1, 0, 0)
    Progress(stream, 0).update(0.0, 0, 0, 0)
    assert stream.getvalue().count("draining") == 2


def test_a_terminal_that_goes_away_ends_the_display_not_the_run():
    class Broken(Terminal):
        def write(self, text):
            raise OSError(5, "Input/output error")

    progress = Progress(Broken(), 10)
    progress.update(1.0, 1, 0, 0)
    progress.update(2.0, 1, 0, 0)
    progress.close()
    closed = Terminal()
    closed.close()
    late = Progress(closed, 10)
    late.update(1.0, 1, 0, 0)
    late.close()
    assert closed.closed


def test_close_ends_the_line_once_and_only_if_there_was_one():
    stream = Terminal()
    Progress(stream, 10).close()
    assert stream.getvalue() == ""
    progress = Progress(stream, 10)
    progress.update(1.0, 1, 0, 0)
    progress.close()
    progress.close()
    progress.update(2.0, 1, 0, 0)
    assert stream.getvalue().endswith("gps\n")
    assert stream.getvalue().count("\n") == 1
