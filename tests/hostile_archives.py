"""Archives made to break what unpacks them: climbing, linking, exploding, contradicting."""

import io
import stat
import tarfile
import warnings
import zipfile

from tests.hostile_models import external, external_with_odd_entries, sound

WEIGHTS = bytes(64)
MODEL_WITH_WEIGHTS = external("weights.bin")


def zipped(members, compression=zipfile.ZIP_STORED) -> bytes:
    """A zip of these members by name, or of pairs where a name comes twice."""
    buffer = io.BytesIO()
    pairs = members.items() if isinstance(members, dict) else members
    with zipfile.ZipFile(buffer, "w", compression) as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a name that comes twice
        for name, content in pairs:
            archive.writestr(zipfile.ZipInfo(name), content, compression)
    return buffer.getvalue()


def zipped_special(mode) -> bytes:
    """A zip of a good model and a member that is no regular file."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("model.onnx", MODEL_WITH_WEIGHTS)
        info = zipfile.ZipInfo("weights.bin")
        info.create_system = 3
        info.external_attr = (mode | 0o644) << 16
        archive.writestr(info, "/etc/passwd")
    return buffer.getvalue()


def zipped_symlink() -> bytes:
    return zipped_special(stat.S_IFLNK)


def tarred(*members, compression="") -> bytes:
    """A tar of these members: a name and bytes, or a `TarInfo`."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=f"w:{compression}") as archive:
        for member in members:
            if isinstance(member, tarfile.TarInfo):
                archive.addfile(member)
            else:
                name, content = member
                info = tarfile.TarInfo(name)
                info.size = len(content)
                archive.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def special(name, kind, target="") -> tarfile.TarInfo:
    """A tar member that is no regular file."""
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


def tar_with(kind, target="") -> bytes:
    """A tar of a model and, in place of its weights, a special member."""
    return tarred(("model.onnx", MODEL_WITH_WEIGHTS), special("weights.bin", kind, target))


def hardlink_to_the_model() -> bytes:
    """A tar whose weights are a hard link to the model beside them."""
    return tar_with(tarfile.LNKTYPE, "model.onnx")


def bomb(unpacked_bytes, compression=None) -> bytes:
    """A zip or compressed tar of zeros, which takes a thousandth of their size."""
    if compression is not None:
        return tarred(("model.onnx", bytes(unpacked_bytes)), compression=compression)
    return zipped({"model.onnx": bytes(unpacked_bytes)}, zipfile.ZIP_DEFLATED)


def many(count, suffix="") -> bytes:
    """A zip of as many empty members."""
    return zipped({f"m{index}{suffix}": b"" for index in range(count)})


def with_weights(location="weights.bin", offset="0", length="64", content=WEIGHTS) -> bytes:
    """A zip of a model and the file `weights.bin`, which it looks for in its own way."""
    return zipped({"model.onnx": external(location, offset, length), "weights.bin": content})


def with_odd_entries() -> bytes:
    """A zip of a model whose references hold what older libraries took for attributes."""
    return zipped({"model.onnx": external_with_odd_entries(), "weights.bin": WEIGHTS})


def lying_about_its_size() -> bytes:
    """A zip whose directory says that its member is small, and its content goes on."""
    data = bytearray(zipped({"model.onnx": bytes(2**20)}, zipfile.ZIP_DEFLATED))
    directory = data.rindex(b"PK\x01\x02")
    data[directory + 24 : directory + 28] = (100).to_bytes(4, "little")
    data[22:26] = (100).to_bytes(4, "little")
    return bytes(data)


def encrypted(name, content) -> bytes:
    """A zip whose member says that it is encrypted."""
    data = bytearray(zipped({name: content}))
    data[6] |= 1
    directory = data.rindex(b"PK\x01\x02")
    data[directory + 8] |= 1
    return bytes(data)


def raw_name(name: bytes) -> bytes:
    """A zip whose second member has a name of these bytes, said to be UTF-8."""
    placeholder = "n" * len(name)
    data = zipped({"model.onnx": sound(), placeholder: b"x"}).replace(placeholder.encode(), name)
    changed = bytearray(data)
    position = -1
    while (position := changed.find(b"PK\x03\x04", position + 1)) >= 0:
        changed[position + 7] |= 8
    while (position := changed.find(b"PK\x01\x02", position + 1)) >= 0:
        changed[position + 9] |= 8
    return bytes(changed)


def nameless(name, content) -> bytes:
    """A zip whose member has a name that begins with NUL, where Python ends it."""
    return zipped({name: content}).replace(name.encode(), b"\0" + name.encode()[1:])


def negative_place(name, content) -> bytes:
    """A zip whose directory is said to lie later than it does, so that its member lies before 0."""
    data = bytearray(zipped({name: content}))
    end = data.rindex(b"PK\x05\x06")
    start = int.from_bytes(data[end + 16 : end + 20], "little")
    data[end + 16 : end + 20] = (start + 1000).to_bytes(4, "little")
    return bytes(data)


def overlapping() -> bytes:
    """A zip whose two members are the same bytes of the file."""
    data = bytearray(zipped({"model.onnx": sound(), "copy00.onnx": sound()}))
    second = data.rindex(b"PK\x01\x02")
    data[second + 42 : second + 46] = (0).to_bytes(4, "little")
    return bytes(data)
