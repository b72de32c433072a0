"""Where the command's magnets come from."""

from __future__ import annotations

import os

from functorrent.commands.inputs import Inputs, Stream
from functorrent.errors import UsageError
from tests.commands_bed import FolderTestCase


class FakeReactor:
    """An IReactorFDSet that only remembers."""

    def __init__(self) -> None:
        self.readers: list[object] = []
        self.turns = 0

    def addReader(self, reader: object) -> None:
        self.turns += 1
        if reader not in self.readers:
            self.readers.append(reader)

    def removeReader(self, reader: object) -> None:
        if reader in self.readers:
            self.readers.remove(reader)


class InputsTests(FolderTestCase):
    def file(self, data: bytes, name: str = "a.txt") -> str:
        path = os.path.join(self.folder(), name)
        with open(path, "wb") as file:
            file.write(data)
        return path

    def drain(self, inputs: Inputs) -> list[tuple[str | None, int, str]]:
        lines = []
        while (line := inputs.next()) is not None:
            lines.append((inputs.source, line.number, line.text))
        return lines

    def test_arguments_then_files_in_order(self) -> None:
        first, second = self.file(b"one\n\n#\ntwo"), self.file(b"\xef\xbb\xbfthree\r\n")
        inputs = Inputs([" zero "], [first, second], 100)
        self.assertEqual(inputs.count(), 5, "an argument and line ends")
        self.assertEqual(
            self.drain(inputs),
            [(None, 0, "zero"), (first, 1, "one"), (first, 4, "two"), (second, 1, "three")],
        )
        self.assertTrue(inputs.ended)
        self.assertEqual(inputs.taken, 4)

    def test_an_overlong_argument(self) -> None:
        line = Inputs(["x" * 101], [], 100).next()
        self.assertTrue(line is not None and line.too_long)

    def test_bad_utf8_in_arguments_is_replaced(self) -> None:
        line = Inputs(["dn=\udcff"], [], 100).next()
        self.assertEqual(line and line.text, "dn=\ufffd")

    def test_what_cannot_be_read_is_said_before_anything_begins(self) -> None:
        folder = self.folder()
        for arguments in (([], []), ([], ["-", "-"]), ([], [folder]), (["x"], [folder + "/none"])):
            error = self.assertRaises(UsageError, Inputs, *arguments, 100)
            self.assertNotIn("\n", str(error))

    def test_a_file_that_fails_half_way_does_not_end_the_rest(self) -> None:
        first, second = self.file(b"one\n"), self.file(b"two\n")
        inputs = Inputs([], [first, second], 100)

        def broken() -> None:
            raise OSError(5, "Input/output error")

        inputs._sources[1].next = broken  # type: ignore[method-assign]
        self.assertEqual([text for _, _, text in self.drain(inputs)], ["two"])
        self.assertEqual(inputs.problems, [f"{first}: cannot be read on: Input/output error"])

    def test_a_pipe_is_a_stream(self) -> None:
        path = os.path.join(self.folder(), "pipe")
        os.mkfifo(path)
        keep = os.open(path, os.O_RDWR)
        self.addCleanup(os.close, keep)
        inputs = Inputs([], [path], 100)
        self.assertEqual(len(inputs.streams), 1)
        self.assertIsNone(inputs.count())
        self.assertIsNone(inputs.next())
        self.assertFalse(inputs.ended)
        inputs.close()
        self.assertTrue(inputs.ended)


class StreamTests(FolderTestCase):
    def setUp(self) -> None:
        reading, self.writing = os.pipe()
        self.addCleanup(self.end)
        self.stream = Stream("pipe", reading, 100)
        self.reactor = FakeReactor()
        self.woken = 0

    def end(self) -> None:
        if self.writing >= 0:
            os.close(self.writing)
            self.writing = -1
        self.stream.close()

    def wake(self) -> None:
        self.woken += 1

    def test_reads_when_the_reactor_says_so_and_stops_while_lines_wait(self) -> None:
        self.stream.attach(self.reactor, self.wake)
        self.assertIsNone(self.stream.next())
        self.assertEqual(self.reactor.readers, [self.stream])
        os.write(self.writing, b"one\ntwo\nthr")
        self.stream.doRead()
        self.assertEqual((self.woken, self.reactor.readers), (1, []))
        self.assertEqual([self.stream.next(), self.stream.next()], [(1, "one", False), (2, "two", False)])
        self.assertIsNone(self.stream.next())
        self.assertEqual(self.reactor.readers, [self.stream])
        os.write(self.writing, b"ee")
        self.stream.doRead()
        self.assertEqual((self.woken, self.reactor.readers), (1, [self.stream]))
        os.close(self.writing)
        self.writing = -1
        self.stream.doRead()
        self.assertEqual((self.woken, self.reactor.readers), (2, []))
        self.assertEqual(self.stream.next(), (3, "three", False))
        self.assertFalse(self.stream.waiting)

    def test_an_end_without_lines_wakes(self) -> None:
        self.stream.attach(self.reactor, self.wake)
        self.stream.next()
        os.close(self.writing)
        self.writing = -1
        self.stream.doRead()
        self.assertEqual(self.woken, 1)
        self.assertIsNone(self.stream.next())
        self.assertFalse(self.stream.waiting)

    def test_a_writer_that_hangs_up(self) -> None:
        """Where nothing is left to read, epoll reports no input, and the reactor calls connectionLost."""
        self.stream.attach(self.reactor, self.wake)
        os.write(self.writing, b"one")
        self.stream.next()
        self.stream.doRead()
        self.stream.connectionLost(None)
        self.assertEqual((self.woken, self.reactor.readers), (1, []))
        self.assertEqual(self.stream.next(), (1, "one", False))
        self.assertFalse(self.stream.waiting)
        self.stream.connectionLost(None)
        self.assertEqual(self.woken, 1)

    def test_blocking_reads_wait(self) -> None:
        os.write(self.writing, b"one\n")
        self.stream.blocking = True
        self.assertEqual(self.stream.next(), (1, "one", False))
        os.close(self.writing)
        self.writing = -1
        self.assertIsNone(self.stream.next())

    def test_an_error_comes_after_the_lines_before_it(self) -> None:
        self.stream.attach(self.reactor, self.wake)
        os.write(self.writing, b"one\n")
        self.stream.next()
        self.stream.doRead()
        os.dup2(self.writing, self.stream._descriptor)  # cannot be read from
        self.stream.doRead()
        self.assertEqual(self.stream.next(), (1, "one", False))
        self.assertRaises(OSError, self.stream.next)
        self.assertIsNone(self.stream.next())
