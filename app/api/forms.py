"""A multipart/form-data body, parsed piece by piece straight into the spool."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from app.api.documents import MAX_DOCUMENT_BYTES
from app.errors import BadRequestError, FieldError, InvalidRequestError, TooLargeError
from app.services.uploads import SpoolWriter, Upload, clean_name


@dataclass(frozen=True)
class FormFields:
    """What a form may hold: parts that are files, and parts that are text (as a file or not).

    `parameters` are no parts of it, but stand in the address of the call.
    """

    files: frozenset[str]
    texts: frozenset[str] = frozenset()
    parameters: frozenset[str] = frozenset()

    @property
    def names(self) -> str:
        """The parts for a message."""
        return ", ".join(sorted(self.files | self.texts))


@dataclass
class ReceivedForm:
    """The files and texts of one request."""

    files: dict[str, Upload] = field(default_factory=dict)
    texts: dict[str, bytes] = field(default_factory=dict)

    def file(self, name: str) -> Upload:
        """Return a file that must be there."""
        if name not in self.files:
            problem = f"the form has no file {name!r}"
            errors = [FieldError(f"#/{name}", problem)]
            raise InvalidRequestError(problem, code="missing_file", errors=errors)
        return self.files[name]


class FormReader:
    """A multipart/form-data body; unknown and repeated parts are refused as they begin."""

    def __init__(self, spool: Path, boundary: bytes, fields: FormFields, max_bytes: int) -> None:
        self._spool = spool
        self._fields = fields
        self._max_bytes = max_bytes
        self._form = ReceivedForm()
        self._writers: dict[str, SpoolWriter] = {}
        self._texts: dict[str, bytearray] = {}
        self._headers: dict[bytes, bytes] = {}
        self._header_name = b""
        self._header_value = b""
        self._part = ""
        self._has_ended = False
        with _broken_forms():
            self._parser = MultipartParser(
                boundary,
                {
                    "on_part_begin": self._begin_part,
                    "on_header_field": self._add_header_name,
                    "on_header_value": self._add_header_value,
                    "on_header_end": self._end_header,
                    "on_headers_finished": self._end_headers,
                    "on_part_data": self._add_data,
                    "on_end": self._end,
                },
            )

    def write(self, data: bytes) -> None:
        """Parse the next piece."""
        with _broken_forms():
            self._parser.write(data)

    def finish(self) -> ReceivedForm:
        """Return all parts."""
        if not self._has_ended:
            raise BadRequestError(
                "the multipart body ends before its closing boundary", code="invalid_form"
            )
        self._form.files = {name: writer.finish() for name, writer in self._writers.items()}
        self._form.texts = {name: bytes(text) for name, text in self._texts.items()}
        return self._form

    def discard(self) -> None:
        """Remove all files."""
        for writer in self._writers.values():
            writer.discard()

    def _begin_part(self) -> None:
        self._headers.clear()

    def _add_header_name(self, data: bytes, start: int, end: int) -> None:
        self._header_name += data[start:end]

    def _add_header_value(self, data: bytes, start: int, end: int) -> None:
        self._header_value += data[start:end]

    def _end_header(self) -> None:
        self._headers[self._header_name.lower()] = self._header_value
        self._header_name = self._header_value = b""

    def _end_headers(self) -> None:
        _, options = parse_options_header(self._headers.get(b"content-disposition", b""))
        name = options.get(b"name", b"").decode(errors="replace")
        if name in self._writers or name in self._texts:
            raise BadRequestError(f"the form has {name!r} twice", code="invalid_form")
        if name in self._fields.files:
            file_name = options.get(b"filename", b"").decode(errors="replace")
            self._writers[name] = SpoolWriter(self._spool, clean_name(file_name), self._max_bytes)
        elif name in self._fields.texts:
            self._texts[name] = bytearray()
        else:
            problem = f"unknown form field {name!r}; the known ones are {self._fields.names}"
            if name in self._fields.parameters:
                problem += f"; {name!r} belongs in the address: ?{name}=..."
            raise InvalidRequestError(problem, code="unknown_field")
        self._part = name

    def _add_data(self, data: bytes, start: int, end: int) -> None:
        if self._part in self._writers:
            self._writers[self._part].write(memoryview(data)[start:end])
            return
        text = self._texts[self._part]
        text += memoryview(data)[start:end]
        if len(text) > MAX_DOCUMENT_BYTES:
            raise TooLargeError(
                f"the form field {self._part!r} may have {MAX_DOCUMENT_BYTES} bytes at most"
            )

    def _end(self) -> None:
        self._has_ended = True


@contextmanager
def _broken_forms() -> Iterator[None]:
    try:
        yield
    except FormParserError as error:
        raise BadRequestError(f"broken multipart body: {error}", code="invalid_form") from error
