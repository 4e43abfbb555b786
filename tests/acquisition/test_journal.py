"""What a journal survives, and what it refuses."""

import errno
import json
import os
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from acquisition.errors import DiskFullError, JournalError, StorageError
from acquisition.journal import Journal, read_journal


@pytest.fixture
def written(tmp_path):
    path = tmp_path / "journal.log"
    with Journal.create(path) as journal:
        for number in range(5):
            journal.append("step", field=number, name="Übersicht")
    return path


def test_what_is_appended_is_read_back_in_order(written):
    records = read_journal(written)
    assert [record.number for record in records] == list(range(5))
    assert [record.values["field"] for record in records] == list(range(5))
    assert {record.kind for record in records} == {"step"}


def test_a_journal_that_exists_is_not_begun_again(written):
    with pytest.raises(StorageError):
        Journal.create(written)
    assert len(read_journal(written)) == 5


def test_wherever_the_last_line_was_cut_the_others_survive_and_the_journal_goes_on(written):
    content = written.read_bytes()
    last = content.rfind(b"\n", 0, -1) + 1
    for cut in range(last, len(content)):
        written.write_bytes(content[:cut])
        journal, records = Journal.reopen(written)
        assert len(records) == 4
        with journal:
            journal.append("again")
        assert [record.kind for record in read_journal(written)] == ["step"] * 4 + ["again"]


@pytest.mark.parametrize("zeros", [1, 4096])
def test_blocks_of_zeros_after_a_power_cut_are_no_damage(written, zeros):
    content = written.read_bytes()
    for torn in (content, content[:-9]):
        written.write_bytes(torn + b"\0" * zeros)
        assert len(read_journal(written)) == (5 if torn == content else 4)


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_any_other_damage_is_refused(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("journal") / "journal.log"
    with Journal.create(path) as journal:
        for number in range(4):
            journal.append("step", field=number)
    content = bytearray(path.read_bytes())
    last = bytes(content).rfind(b"\n", 0, -1)
    place = data.draw(st.integers(0, last - 1))
    value = data.draw(st.integers(0, 255).filter(lambda v: v != content[place] and v != 0x0A))
    content[place] = value
    path.write_bytes(content)
    with pytest.raises(JournalError, match="damaged"):
        read_journal(path)


def test_a_line_that_is_missing_is_noticed(written):
    lines = written.read_bytes().splitlines(keepends=True)
    written.write_bytes(b"".join(lines[:2] + lines[3:]))
    with pytest.raises(JournalError, match="numbered 3"):
        read_journal(written)


def test_half_a_line_is_taken_back_when_the_disk_is_full(written, monkeypatch):
    journal, _ = Journal.reopen(written)
    real = os.write

    def half(handle, content):
        real(handle, content[:20])
        raise OSError(errno.ENOSPC, "No space left on device")

    with journal:
        with monkeypatch.context() as patch:
            patch.setattr(os, "write", half)
            with pytest.raises(DiskFullError):
                journal.append("lost")
        journal.append("ended")
    assert [record.kind for record in read_journal(written)] == ["step"] * 5 + ["ended"]


def test_what_json_can_not_hold_is_refused_and_leaves_no_trace(written):
    journal, _ = Journal.reopen(written)
    with journal, pytest.raises(ValueError, match="JSON"):
        journal.append("step", z_um=float("nan"))
    assert len(read_journal(written)) == 5


def test_a_record_that_was_written_anew_with_its_checksum_shows(written):
    lines = written.read_bytes().splitlines(keepends=True)
    text = lines[2].split(b" ", 2)[2].rstrip(b"\n").replace(b'"field":2', b'"field":7')
    lines[2] = b"%08x %d %b\n" % (zlib.crc32(text), len(text), text)
    written.write_bytes(b"".join(lines))
    with pytest.raises(JournalError, match=r"record 3 \(step\) doesn't follow the one before it"):
        read_journal(written)


def without_chain(path):
    """As versions before the chain wrote it."""
    lines = []
    for line in path.read_bytes().splitlines():
        values = json.loads(line.split(b" ", 2)[2])
        del values["prev"]
        text = json.dumps(values, ensure_ascii=False, separators=(",", ":")).encode()
        lines.append(b"%08x %d %b\n" % (zlib.crc32(text), len(text), text))
    path.write_bytes(b"".join(lines))


def test_a_journal_without_a_chain_is_read_and_goes_on_with_one(written):
    without_chain(written)
    journal, records = Journal.reopen(written)
    assert (len(records), journal.is_chained) == (5, False)
    with journal:
        journal.append("again")
        journal.append("and again")
    journal, records = Journal.reopen(written)
    journal.close()
    assert [record.kind for record in records[5:]] == ["again", "and again"]
    lines = written.read_bytes().splitlines(keepends=True)
    written.write_bytes(b"".join([*lines[:4], lines[4].replace(b" ", b" ", 1), *lines[6:]]))
    with pytest.raises(JournalError):
        read_journal(written)


def test_a_sound_journal_is_chained_from_its_first_record(written):
    journal, _ = Journal.reopen(written)
    journal.close()
    assert journal.is_chained


@pytest.mark.skipif(not hasattr(os, "O_NOFOLLOW"), reason="no such flag")
def test_a_link_in_the_place_of_a_journal_is_not_followed(written, tmp_path):
    link = tmp_path / "link.log"
    link.symlink_to(written)
    before = written.read_bytes()
    with pytest.raises(StorageError):
        Journal.reopen(link)
    assert written.read_bytes() == before
