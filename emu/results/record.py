"""One run, one file: a record goes to disk whole or not at all, and comes back checked.

Holds   write_result() and read_result(), the same two over bytes, blank_record(), and the table of migrations.
Rule    the file is one msgpack array [format, version, sha256 of the body, body]; the body is the record,
        msgpack again. Format and version can be judged before anything else is decoded; the digest makes a
        flipped bit an error, never another figure. Nothing in a file is executed. A record of an older
        version passes through MIGRATIONS, one step for each version; one of a newer version is refused.
        The file appears by rename after it was synced: a reader sees an old one, a new one, or none.
Limits  MAX_FILE_BYTES; lists and tables of at most MAX_ITEMS; whole numbers of 64 bits.
"""

import contextlib
import hashlib
import os
from collections.abc import Callable
from pathlib import Path

import msgpack

from emu.errors import ResultError
from emu.results.schema import blank, problems

FORMAT = "emu-result"
VERSION = 1
MAX_FILE_BYTES = 512 << 20
MAX_ITEMS = 1 << 24

# version -> function(record of that version) -> record of the next version (its "version" is set for it)
MIGRATIONS: dict[int, Callable[[dict], dict]] = {}

_AGAIN = "run the scenario again, or take another copy of the file"


def blank_record():
    """A record with every key and no run in it, of this format and version: what a writer begins with."""
    return blank() | {"format": FORMAT, "version": VERSION}


def check_record(record, name="record"):
    """Raise ResultError, naming `name` and up to ten faults, unless `record` fits the schema."""
    found = problems(record)
    if found:
        raise ResultError(f"{name}: " + "; ".join(found) + f"; not a record of version {VERSION}: {_AGAIN}")


def pack_result(record, name="record"):
    """The bytes of a result file. ResultError when the record does not fit the schema or is too large."""
    check_record(record, name)
    return pack(record, name, FORMAT, VERSION)


def pack(record, name, format_, version):
    """The bytes of a file of `format_`: its record, already checked, in the envelope."""
    if record["format"] != format_ or record["version"] != version:
        raise ResultError(f"{name}: format = {record['format']!r}, version = {record['version']}: "
                          f"must be {format_!r}, {version}: a program writes its own version only")
    try:
        body = msgpack.packb(record, use_bin_type=True, unicode_errors="surrogateescape")
    except (TypeError, ValueError, OverflowError) as error:
        raise ResultError(f"{name}: cannot be written: {error}; only numbers of 64 bits, text, lists, tables") from None
    if len(body) >= MAX_FILE_BYTES:
        raise ResultError(f"{name}: {len(body)} bytes: must be below {MAX_FILE_BYTES}; "
                          "lower trace.events_per_process or run for a shorter time")
    _decode_as_written(body, name)
    return msgpack.packb([format_, version, hashlib.sha256(body).digest(), body], use_bin_type=True)


def _decode_as_written(body, name):
    """What the types cannot say (keys of free tables that are not text, lists too long) shows when it is read back."""
    try:
        _decode(body, name, "record")
    except ResultError as error:
        raise ResultError(f"{name}: would not be readable again; keys must be text, lists at most {MAX_ITEMS} long "
                          f"({error.__cause__ or error})") from None


def _refuse_ext(code, data):
    raise ValueError(f"extension type {code}")


def _decode(data, name, part):
    try:
        return msgpack.unpackb(data, raw=False, strict_map_key=True, unicode_errors="surrogateescape",
                               ext_hook=_refuse_ext, max_array_len=MAX_ITEMS, max_map_len=MAX_ITEMS)
    except Exception as error:  # msgpack raises a dozen kinds, and none of them is our caller's concern
        why = str(error) or type(error).__name__
        raise ResultError(f"{name}: {part} cannot be decoded ({why}): truncated or damaged; {_AGAIN}") from error


def _version(version, name):
    if type(version) is not int or version < 0:
        raise ResultError(f"{name}: version = {version!r}: must be a whole number; the file is damaged: {_AGAIN}")
    if version > VERSION:
        raise ResultError(f"{name}: version = {version}: made by a newer emu, this one reads up to version {VERSION}; "
                          "use the newer emu to read it")
    return version


def _migrate(record, version, name):
    while version < VERSION:
        step = MIGRATIONS.get(version)
        if step is None:
            raise ResultError(f"{name}: version = {version}: too old, no way leads from it to version {VERSION}; "
                              "read it with the emu that made it")
        try:
            record = step(record)
        except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
            raise ResultError(f"{name}: version = {version}: cannot be brought to version {version + 1} "
                              f"({type(error).__name__}: {error}): damaged; {_AGAIN}") from None
        version += 1
        record["version"] = version
    return record


def _magic(format_):
    return b"\x94" + msgpack.packb(format_)


def is_format(data, format_):
    """True if bytes begin as a file of this format."""
    return data.startswith(_magic(format_))


def unpack(data, name, format_):
    """(record, version) in the bytes of a file of `format_`: whole and as written, its shape not yet checked."""
    magic = _magic(format_)
    if not data:
        raise ResultError(f"{name}: empty: not a result file; {_AGAIN}")
    if not is_format(data, format_):
        if magic.startswith(data):
            raise ResultError(f"{name}: {len(data)} bytes: truncated; {_AGAIN}")
        raise ResultError(f"{name}: does not begin as format {format_!r}: not a result file of emu; "
                          "give a file that 'emu run' wrote")
    outer = _decode(data, name, "file")
    version = _version(outer[1], name)
    digest, body = outer[2], outer[3]
    if type(body) is not bytes or hashlib.sha256(body).digest() != digest:
        raise ResultError(f"{name}: the digest does not fit the content: damaged; {_AGAIN}")
    record = _decode(body, name, "record")
    if type(record) is not dict or record.get("format") != format_ or record.get("version") != version:
        raise ResultError(f"{name}: format or version inside differ from those in front: damaged; {_AGAIN}")
    return record, version


def unpack_result(data, name="record"):
    """The record in the bytes of a result file, of the present version. ResultError for everything else."""
    record, version = unpack(data, name, FORMAT)
    record = _migrate(record, version, name)
    check_record(record, name)
    return record


def _os_error(path, verb, error):
    return ResultError(f"{path}: cannot be {verb}: {error.strerror or error}; "
                       "check the path, its permissions and the free space")


def write_result(record, path):
    """Write `record` to `path`: checked, synced, renamed into place; makes missing folders. Returns the path.

    ResultError when the record does not fit or the file cannot be written; an older file at `path` is then
    untouched and no temporary one stays. Safe beside other writers: the last rename wins, whole.
    """
    return write_bytes(pack_result(record, str(path)), path)


def write_bytes(data, path):
    """Let `data` appear at `path` whole, by rename, synced. Returns the path; ResultError as write_result()."""
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with open(temporary, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)
        except BaseException:  # also Ctrl-C: leave nothing behind
            with contextlib.suppress(OSError):
                temporary.unlink()
            raise
        _sync_folder(path.parent)
    except OSError as error:
        raise _os_error(path, "written", error) from None
    return path


def _sync_folder(folder):
    """Make the rename itself survive a power cut, where the file system can."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def read_bytes(path):
    """What the file at `path` holds. ResultError when it is missing, unreadable or too large for a result."""
    path = Path(path)
    try:
        if path.is_file() and path.stat().st_size > MAX_FILE_BYTES + 1024:
            raise ResultError(f"{path}: {path.stat().st_size} bytes: must be at most {MAX_FILE_BYTES}; "
                              "not a result file of emu")
        with open(path, "rb") as file:
            return file.read(MAX_FILE_BYTES + 1024)
    except OSError as error:
        raise _os_error(path, "read", error) from None
    except ValueError as error:  # a NUL in the path
        raise ResultError(f"{path!s}: cannot be read: {error}; check the path") from None


def read_result(path):
    """The record in the file at `path`, checked and of the present version.

    ResultError (file, what, rule, way out) when it is missing, unreadable, not ours, newer, truncated or damaged.
    """
    return unpack_result(read_bytes(path), str(path))
