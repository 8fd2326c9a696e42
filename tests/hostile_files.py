"""Hostile uploads and the answers they must get: refused with words that help, or accepted."""

import tarfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from stat import S_IFCHR

import numpy as np

from tests import hostile_archives as archives
from tests import hostile_datasets as data
from tests import hostile_models as models
from tests import hostile_runs as runs
from tests.hostile_archives import MODEL_WITH_WEIGHTS, tar_with, tarred, zipped
from tests.hostile_datasets import floats, header, images, npz, npz_with_header, png
from tests.hostile_models import OUTSIDE, external, sound, weight_of
from tests.hostile_runs import strange_convolution

UNSUPPORTED, TOO_LARGE = "unsupported_model", "archive_too_large"
TOO_MUCH_WORK = "time_limit|out_of_memory"  # whichever comes first on this machine
BOMB_BYTES = 70 * 2**20


@dataclass(frozen=True)
class HostileFile:
    """A file, and words of its refusal; without any it is odd, but legal."""

    name: str
    build: Callable[[], bytes]
    words: str = ""
    code: str | None = None
    """Of the refusal, as a pattern; None stands for an invalid model or dataset."""

    def __str__(self) -> str:
        return self.name


MODELS = [
    HostileFile("zero bytes", lambda: b"", "the file is empty"),
    HostileFile("a text file", lambda: b"hello, I am a model", "the file is text"),
    HostileFile("a cut off model", models.truncated, "damaged or cut off"),
    HostileFile("random bytes", models.random_bytes, "is not an ONNX model"),
    HostileFile("a weight of 2^60 values", lambda: weight_of([2**40, 2**20]), "weight"),
    HostileFile("2^124 times no values", lambda: weight_of([2**62, 2**62, 0]), "overflow"),
    HostileFile("a negative dimension", lambda: weight_of([-4, 4], bytes(64)), "negative size -4"),
    HostileFile("too little data", lambda: weight_of([64, 64], bytes(100)), "is too small"),
    HostileFile("too much data", lambda: weight_of([4, 4], bytes(100)), "size mismatch"),
    HostileFile("element type 9999", lambda: weight_of([4], bytes(16), 9999), "element type 9999"),
    HostileFile("a million axes", lambda: weight_of([1] * 10**6, bytes(4)), "matmul"),
    HostileFile("external data", lambda: external("weights.bin"), "upload both in one .zip"),
    HostileFile("a forged marker", lambda: external("*/_ORT_MEM_ADDR_/*", "64"), "upload both"),
    HostileFile("a cycle", models.cyclic, "topologically sorted"),
    HostileFile("a missing input", models.missing_input, "input 'nowhere'"),
    HostileFile("an output made twice", models.duplicate_outputs, "'product' has been used"),
    HostileFile("a new opset", models.opset_from_the_future, "opsets 1 to", UNSUPPORTED),
    HostileFile("a new IR", models.ir_version_from_the_future, "an older one", UNSUPPORTED),
    HostileFile("no opset", models.without_opset, "is not an ONNX model"),
    HostileFile("a custom operator", models.custom_operator, "no operator Evil", UNSUPPORTED),
    HostileFile("a value in no UTF-8", lambda: models.invalid_utf8(b"product"), "UTF-8"),
    HostileFile("an operator in no UTF-8", lambda: models.invalid_utf8(b"MatMul"), "UTF-8"),
    HostileFile("a symbol in no UTF-8", lambda: models.invalid_utf8(b"batch"), "UTF-8"),
    HostileFile("a NUL in a name", models.nul_in_a_name),
    HostileFile("a name of 2 MB", lambda: models.long_name(2 * 10**6)),
    HostileFile("a chain of 20,000 nodes", lambda: models.many_nodes(20_000)),
    HostileFile("no nodes", models.no_nodes, "has no nodes"),
    HostileFile("If 2,000 deep", lambda: models.deeply_nested(2_000), "damaged or cut off"),
    HostileFile("If 25 deep", lambda: models.nested_one_way(25)),
    HostileFile("If 9 deep both ways", lambda: models.nested_both_ways(9)),
    HostileFile(
        "If 14 deep both ways",
        lambda: models.nested_both_ways(14),
        "use a smaller model",
        TOO_MUCH_WORK,
    ),
    HostileFile("64 doublings", lambda: models.doubling_functions(64), "1000000", UNSUPPORTED),
    HostileFile("12 doublings", lambda: models.doubling_functions(12)),
    HostileFile("a recursive function", models.recursive_function, "inline them", UNSUPPORTED),
    HostileFile("500 calls deep", lambda: models.deep_functions(500), "inline them", UNSUPPORTED),
    HostileFile("kernel -3", lambda: strange_convolution(kernel_shape=[-3, -3]), "positive"),
    HostileFile("pads of 2^62", lambda: strange_convolution(pads=[2**62] * 4), "overflow"),
    HostileFile("no groups", lambda: strange_convolution(group=0)),
    HostileFile("a Reshape to 2^124", models.impossible_reshape, "overflow"),
    HostileFile("DequantizeLinear on axis 77", runs.impossible_axis),
    HostileFile("a sparse index too large", models.sparse_out_of_range, "out of range"),
    HostileFile("a Loop of 2^62 iterations", runs.endless_loop),
    HostileFile("64 GB at run time", lambda: runs.giant_constant(2**34)),
    HostileFile("-2^63 divided by -1", runs.overflowing_division),
    HostileFile("an LSTM of any batch", runs.recurrent_of_any_batch),
]

NOT_ALLOWED, TWICE, DAMAGED, NOT_ONE = "not allowed", "twice", "damaged", "exactly one .onnx file"
ARCHIVES = [
    HostileFile("zip slip", lambda: zipped({"../model.onnx": sound()}), NOT_ALLOWED),
    HostileFile("an absolute path", lambda: zipped({"/model.onnx": sound()}), NOT_ALLOWED),
    HostileFile("a backslash", lambda: zipped({"..\\model.onnx": sound()}), NOT_ALLOWED),
    HostileFile("tar slip", lambda: tarred(("../model.onnx", sound())), NOT_ALLOWED),
    HostileFile("folders 500 deep", lambda: zipped({"f/" * 500 + "m": b""}), NOT_ALLOWED),
    HostileFile("a symbolic link in a zip", archives.zipped_symlink, "is a link"),
    HostileFile("a device in a zip", lambda: archives.zipped_special(S_IFCHR), "a device"),
    HostileFile("a symlink in a tar", lambda: tar_with(tarfile.SYMTYPE, "/etc/passwd"), "a link"),
    HostileFile("a hard link out", lambda: tar_with(tarfile.LNKTYPE, "/etc/passwd"), "a link"),
    HostileFile("a hard link inside", archives.hardlink_to_the_model, "a link"),
    HostileFile("a device in a tar", lambda: tar_with(tarfile.CHRTYPE), "a device"),
    HostileFile("a zip bomb", lambda: archives.bomb(BOMB_BYTES), "50 times", TOO_LARGE),
    HostileFile("a gzip bomb", lambda: archives.bomb(BOMB_BYTES, "gz"), "50 times", TOO_LARGE),
    HostileFile("2,000 members", lambda: archives.many(2000), "more than 1000 files", TOO_LARGE),
    HostileFile("2,000 folders", lambda: archives.many(2000, "/"), NOT_ONE),
    HostileFile("a member twice", lambda: zipped([("m.onnx", sound())] * 2), TWICE),
    HostileFile("a file and folder", lambda: zipped({"a": b"", "a/m.onnx": b""}), "under a file"),
    HostileFile("a zip in a zip", lambda: zipped({"m.zip": zipped({"m.onnx": b""})}), NOT_ONE),
    HostileFile("two models", lambda: zipped({"a.onnx": b"", "b.onnx": b""}), "'b.onnx'"),
    HostileFile("an empty zip", lambda: zipped({}), NOT_ONE),
    HostileFile("an encrypted zip", lambda: archives.encrypted("m.onnx", b"x"), "encrypted"),
    HostileFile("a cut off zip", lambda: zipped({"model.onnx": sound()})[:-30], DAMAGED),
    HostileFile("a cut off tar", lambda: tarred(("m", sound()), compression="gz")[:-30], DAMAGED),
    HostileFile("a lie about sizes", archives.lying_about_its_size, DAMAGED),
    HostileFile("overlapping members", archives.overlapping, DAMAGED),
    HostileFile("no name", lambda: archives.nameless("m.onnx", b"x"), DAMAGED),
    HostileFile("a negative place", lambda: archives.negative_place("m.onnx", b"x"), DAMAGED),
    HostileFile("a name in no UTF-8", lambda: archives.raw_name(b"a\xff\xfeb"), DAMAGED),
    HostileFile("a newline in a name", lambda: zipped({"model.onnx": sound(), "a\nb": b""})),
    HostileFile("a NUL in a name", lambda: archives.raw_name(b"a\0b")),
    HostileFile("a tar name in no UTF-8", lambda: tarred(("a\udcff.onnx", b"x")), "file is text"),
    HostileFile("a name of 300 letters", lambda: zipped({"n" * 300: b""}), "too long a name"),
    HostileFile("no weights", lambda: zipped({"m.onnx": MODEL_WITH_WEIGHTS}), "add it"),
    HostileFile("weights outside", lambda: archives.with_weights(OUTSIDE), "relative to it"),
    HostileFile("weights at the root", lambda: archives.with_weights("/etc/passwd"), "relative"),
    HostileFile("weights on a device", lambda: archives.with_weights("/dev/zero"), "relative"),
    HostileFile("weights far away", lambda: archives.with_weights("w" * 5000), "add it"),
    HostileFile("weights at NUL", lambda: archives.with_weights("w\0w"), "add it"),
    HostileFile("weights in the model", lambda: zipped({"m.onnx": external("m.onnx")})),
    HostileFile("short weights", lambda: archives.with_weights(content=b"x"), "beyond the end"),
    HostileFile("2^50 weights", lambda: archives.with_weights(length=str(2**50)), "are stored"),
    HostileFile("weights before 0", lambda: archives.with_weights(offset="-64"), "beyond the end"),
    HostileFile("weights at x", lambda: archives.with_weights(offset="9" * 5000), "is no number"),
    HostileFile("odd entries", archives.with_odd_entries, "unknown external data entry"),
]

NO_ZIP, NO_HEADER = "is no zip file", "has no readable header"
DATASETS = [
    HostileFile("zero bytes", lambda: b"", NO_ZIP),
    HostileFile("random bytes", models.random_bytes, NO_ZIP),
    HostileFile("a bare .npy", lambda: data.npy(header("(8, 4)"), bytes(128)), "numpy.savez"),
    HostileFile("a cut off archive", lambda: npz(x=floats(8, 4))[:-40], NO_ZIP),
    HostileFile("pickled objects", data.pickled_objects, "dtype object"),
    HostileFile("a header of 4 GB", data.header_of_four_gigabytes, NO_HEADER),
    HostileFile("code", lambda: npz_with_header("__import__('os').abort()"), NO_HEADER),
    HostileFile("brackets", lambda: npz_with_header("(" * 9000), NO_HEADER),
    HostileFile("minus signs", lambda: npz_with_header("-" * 9000 + "1"), NO_HEADER),
    HostileFile("half a header", lambda: npz_with_header("{'descr': '<f4"), NO_HEADER),
    HostileFile("a key that cannot be", lambda: npz_with_header("{[]: 1}"), NO_HEADER),
    HostileFile("2^42 values", lambda: npz_with_header(header(f"({2**40}, 4)")), "promises"),
    HostileFile("2^124 values", lambda: npz_with_header(header(f"({2**62}, {2**62})")), "promises"),
    HostileFile("10^5000 values", lambda: npz_with_header(header(f"({'9' * 5000},)")), NO_HEADER),
    HostileFile("-8 rows", lambda: npz_with_header(header("(-8, 4)"), bytes(128)), "(-8, 4)"),
    HostileFile("10^12 texts", lambda: npz_with_header(header(f"({10**12},)", "'|S0'")), "empty"),
    HostileFile("10^12 rows", lambda: npz_with_header(header(f"({10**12}, 0)")), "no values"),
    HostileFile("100 axes", lambda: npz_with_header(header(f"({'1, ' * 100})"), bytes(4)), "axes"),
    HostileFile("dates", lambda: npz(x=np.zeros(8, "datetime64[s]")), "convert it with astype"),
    HostileFile("version 200", lambda: npz_with_header(header("(8, 4)"), version=200), "version"),
    HostileFile("too little data", lambda: npz_with_header(header("(8, 4)"), bytes(9)), "9 bytes"),
    HostileFile("Fortran order", data.fortran_order),
    HostileFile("big-endian", lambda: npz(x=np.ones((8, 4), ">f4"))),
    HostileFile("infinity", lambda: npz(x=np.full((8, 4), np.inf, np.float32))),
    HostileFile("a scalar", lambda: npz(x=np.float32(1)), "is a scalar"),
    HostileFile("NaN", data.with_nan, "sample 3 has 1 values"),
    HostileFile("zero samples", lambda: npz(x=floats(0, 4)), "no samples"),
    HostileFile("fewer labels", lambda: npz(x=floats(8, 4), labels=np.zeros(3)), '"labels" 3'),
    HostileFile("labels alone", lambda: npz(labels=np.zeros(3)), "no arrays"),
    HostileFile("text in no UTF-8", lambda: npz(x=np.array([b"\xff"] * 8)), "utf-8"),
    HostileFile("no characters", lambda: data.text_of(b"\xff\xff\xff\x7f"), "no characters"),
    HostileFile("half a character", lambda: data.text_of(b"\0\xd8\0\0"), "no characters"),
    HostileFile("a bomb", lambda: data.bomb(BOMB_BYTES), "less compression", TOO_LARGE),
    HostileFile("2,000 arrays", lambda: data.many_arrays(2000), "limit of 1000"),
    HostileFile("an array twice", lambda: zipped([("x.npy", b"")] * 2), 'named "x.npy"'),
    HostileFile(
        "a climbing name", lambda: zipped({"../x.npy": data.npy(header("(1,)"), bytes(4))})
    ),
    HostileFile("an encrypted array", lambda: archives.encrypted("x.npy", b"x"), "encrypted"),
    HostileFile("no name", lambda: archives.nameless("x.npy", b"x"), "without a name"),
    HostileFile("a negative place", lambda: archives.negative_place("x.npy", b"x"), "damaged"),
    HostileFile("no known format", lambda: zipped({"a.txt": b"x"}), "expected a .npz"),
    HostileFile("an empty archive", lambda: zipped({}), "the archive is empty"),
    HostileFile("a run that is none", lambda: zipped({"a.npz": b"x"}), '"a.npz" cannot be read'),
    HostileFile("other runs", lambda: zipped({"a.npz": npz(x=1), "b.npz": npz(z=1)}), "b.npz has"),
    HostileFile("runs in runs", lambda: zipped({"a.npz": zipped({"b.npz": b""})}), "no .npy array"),
    HostileFile("an empty run", lambda: zipped({"a.npz": zipped({})}), "no arrays"),
]

NO_IMAGE, NO_LABEL = "is not a readable PNG", 'no label for "a.png"'
IMAGES = [
    HostileFile("a bomb of an image", lambda: images({"a.png": data.bomb_png(60_000)}), "pixels"),
    HostileFile("pixels not there", lambda: images({"a.png": data.bomb_png(7_000)}), NO_IMAGE),
    HostileFile("a bomb of a comment", lambda: images({"a.png": data.text_bomb_png()}), NO_IMAGE),
    HostileFile("a cut off image", lambda: images({"a.png": png(64, 64)[:60]}), NO_IMAGE),
    HostileFile("an empty image", lambda: images({"a.png": b""}), NO_IMAGE),
    HostileFile("another format", lambda: images({"a.png": data.tiff()}), NO_IMAGE),
    HostileFile("no transform", lambda: images({"a.png": png()}, None), "put transform.json"),
    HostileFile("an image blown up", data.blown_up, "use a smaller", TOO_MUCH_WORK),
    *(
        HostileFile(f"transform {index}", partial(images, {"a.png": png()}, transform), words)
        for index, (transform, words) in enumerate(
            [
                ("", "Invalid JSON"),
                ("[" * 50_000, "recursion limit"),
                ('{"size": [4, 4], "mean": [NaN]}', "mean.0: Input should be a finite number"),
                ({"size": [4, 4], "std": [1e-320]}, "std.0: Input should be greater"),
                ({"size": [4, 4], "scale": 1e300}, "scale: Input should be less"),
                ({"size": [4, 4], "mean": [0] * 100_000}, "mean has 100000 values"),
                ({"size": [10**9, 10**9]}, "size.0: Input should be less"),
                ({"size": [4, 4], "evil": 1}, "evil: Extra inputs"),
            ]
        )
    ),
    *(
        HostileFile(f"labels {index}", partial(images, {"a.png": png()}, labels_csv=labels), words)
        for index, (labels, words) in enumerate(
            [
                ("", "needs a header line"),
                ("file,label\na.png\n", NO_LABEL),
                ('file,label\n"a.png,1', NO_LABEL),
                ("file,label\na.png,cat", "use class indices"),
                ("file,label\na.png," + "9" * 30, ""),
                ("file,label\na.png," + "9" * 200_000, "no readable table"),
                ("file,label\na.png,1\na.png,2", "two lines"),
                (b"\xff", "utf-8"),
            ]
        )
    ),
]

UNFIT_FOR_LINEAR = [
    HostileFile("another name", lambda: npz(z=floats(8, 4)), 'input "x" (float32 (batch, 4))'),
    HostileFile("another shape", lambda: npz(x=floats(8, 5)), "wants the shape (4,)"),
    HostileFile("another type", lambda: npz(x=np.ones((8, 4))), "save it with astype('float32')"),
    HostileFile("text", lambda: npz(x=np.array([["a"] * 4] * 8)), "wants float32"),
]
UNFIT_FOR_LSTM = [
    HostileFile("a batch of 0", lambda: npz(x=floats(2, 3, 0, 8)), "holds no values"),
    HostileFile("runs with a batch of 0", data.run_with_an_empty_batch, "holds no values"),
]
