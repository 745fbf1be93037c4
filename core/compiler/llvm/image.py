"""Images: machine code of a module that runs wherever it is put, and needs nobody to link it.

An object as LLVM writes it holds sections, and places in them that wait to hear where other sections lie. Our modules
call nobody and are compiled to be position independent, so all that these places want is a distance. Once the sections
lie side by side every distance is known: what is kept on disk is copied into memory and called, without LLVM, whose
import and linker took a fifth of a first call that compiles nothing.

An image is a line, `image {"name of a function": where it starts, ...}`, and the code.

Source: System V ABI, chapter 4, and its AMD64 supplement, table 4.10.
"""

from __future__ import annotations

import ctypes
import json
import mmap
import os
import struct
from collections.abc import Iterator, Mapping, Sequence
from typing import Final, NamedTuple

ALIGNMENT: Final = 64  # bytes, of an image in memory: no section wants more
HEAD: Final = b"image "

_HEADER: Final = struct.Struct("<4sBB12xH20xQ10xHH2x")
_SECTION: Final = struct.Struct("<4xIQ8xQQIIQ8x")
_SYMBOL: Final = struct.Struct("<IBxHQ8x")
_RELOCATION: Final = struct.Struct("<QQq")
_X86_64: Final = 62
_SYMBOLS, _RELOCATIONS, _EMPTY = 2, 4, 8  # kinds of sections
_WRITABLE, _LOADED = 1, 2  # flags of sections
_GLOBAL_FUNCTION: Final = 1 << 4 | 2
_DISTANCES: Final = (2, 4)  # R_X86_64_PC32 and PLT32: of four bytes, from where they stand


class ImageError(ValueError):
    """An object that no image can be made of."""


class _Section(NamedTuple):
    """Of an object. For `link` and `info`, ask the standard: they name other sections."""

    kind: int
    flags: int
    start: int
    size: int
    link: int
    info: int
    alignment: int


def link(code: bytes) -> bytes:
    """The image of a module.

    Args:
        code: an ELF object for x86-64, position independent, as LLVM makes it of a module that refers to no other.

    Raises:
        ImageError: it is another kind of object, has memory to write to, or refers to what it does not hold.
    """
    sections = _sections(code)
    places = dict[int, int]()  # of a section in the image
    content = bytearray()
    for number, each in enumerate(sections):
        if each.flags & _LOADED and each.size:
            if each.flags & _WRITABLE or each.kind == _EMPTY or each.alignment > ALIGNMENT:
                raise ImageError(f"expected code and constants, got a section with flags {each.flags:#x}")
            content += bytes(-len(content) % max(each.alignment, 1))
            places[number] = len(content)
            content += code[each.start : each.start + each.size]
    functions = dict[str, int]()
    for each in sections:
        if each.kind == _RELOCATIONS and each.info in places:
            _relocate(code, each, sections[each.link], places, content)
        elif each.kind == _SYMBOLS:
            functions.update(_functions(code, each, sections[each.link], places))
    return HEAD + json.dumps(functions, separators=(",", ":")).encode() + b"\n" + content


def _sections(code: bytes) -> Sequence[_Section]:
    if len(code) < _HEADER.size:
        raise ImageError("expected an ELF object for x86-64, got too few bytes")
    magic, width, order, machine, table, size, count = _HEADER.unpack_from(code)
    if (magic, width, order, machine, size) != (b"\x7fELF", 2, 1, _X86_64, _SECTION.size):
        raise ImageError(f"expected an ELF object for x86-64, got {code[:20].hex()}")
    return [_Section(*_SECTION.unpack_from(code, table + number * size)) for number in range(count)]


def _relocate(
    code: bytes, relocations: _Section, symbols: _Section, places: Mapping[int, int], content: bytearray
) -> None:
    """Write distances to where they are wanted."""
    base = places[relocations.info]
    for start in range(relocations.start, relocations.start + relocations.size, _RELOCATION.size):
        offset, info, addend = _RELOCATION.unpack_from(code, start)
        number, kind = info >> 32, info & 0xFFFFFFFF
        _, _, section, value = _SYMBOL.unpack_from(code, symbols.start + number * _SYMBOL.size)
        if kind not in _DISTANCES or section not in places:
            raise ImageError(f"expected distances within the module, got a relocation of kind {kind}")
        here = base + offset
        struct.pack_into("<i", content, here, places[section] + value + addend - here)


def _functions(
    code: bytes, symbols: _Section, strings: _Section, places: Mapping[int, int]
) -> Iterator[tuple[str, int]]:
    """Those that others may call, and where they start."""
    for start in range(symbols.start, symbols.start + symbols.size, _SYMBOL.size):
        name, kind, section, value = _SYMBOL.unpack_from(code, start)
        if kind == _GLOBAL_FUNCTION and section in places:
            first = strings.start + name
            yield code[first : code.index(b"\0", first)].decode(), places[section] + value


def load(images: Sequence[bytes]) -> tuple[mmap.mmap, dict[str, int]]:
    """Put images into memory.

    Returns:
        The memory, which goes when nobody holds it, and the addresses of all functions.

    Raises:
        ImageError: what is given is no image.
        OSError: the system refuses executable memory.
    """
    functions = dict[str, int]()
    content = bytearray()
    for image in images:
        head, newline, code = image.partition(b"\n")
        if not newline or not head.startswith(HEAD):
            raise ImageError(f"expected an image, got {image[:20]!r}")
        content += bytes(-len(content) % ALIGNMENT)
        for name, start in json.loads(head[len(HEAD) :]).items():
            functions[name] = len(content) + start
        content += code
    memory = make_memory(len(content))
    memory[: len(content)] = bytes(content)
    base = make_executable(memory)
    return memory, {name: base + start for name, start in functions.items()}


def make_memory(size: int) -> mmap.mmap:
    """Of at least so many bytes, on pages of its own."""
    return mmap.mmap(-1, max(size, 1), flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)


def make_executable(memory: mmap.mmap) -> int:
    """Let code run that nobody can write to any more; the address of its first byte.

    Raises:
        OSError: the system refuses.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    libc.mprotect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
    start = ctypes.c_char.from_buffer(memory)  # lent, until it is collected: then memory may be closed
    base = ctypes.addressof(start)
    if libc.mprotect(base, len(memory), mmap.PROT_READ | mmap.PROT_EXEC):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return base
