"""all-MiniLM-L6-v2 as an ONNX graph, built from its safetensors file.

Inputs `input_ids`, `attention_mask`, `token_type_ids`: int64 (batch, sequence). Outputs
`last_hidden_state`: float32 (batch, sequence, 384), and `sentence_embedding`: float32 (batch, 384),
the mean over the attended tokens at unit length.
"""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

SOURCE = "all-MiniLM-L6-v2.safetensors"
TARGET = "all-MiniLM-L6-v2.onnx"
LAYERS, HEADS, WIDTH = 6, 12, 384
HEAD_WIDTH = WIDTH // HEADS
EPSILON = 1e-12
OPSET, IR_VERSION = 17, 8
DTYPES = {"F32": np.float32, "F16": np.float16, "I64": np.int64}

Weights = dict[str, npt.NDArray[np.generic]]


def build(folder: Path) -> None:
    """Write the model."""
    graph = GraphBuilder(read_safetensors(folder / SOURCE))
    mask = graph.node("Cast", ["attention_mask"], "mask", to=TensorProto.FLOAT)
    state = _embed(graph)
    bias = _attention_bias(graph, mask)
    for layer in range(LAYERS):
        state = _encode(graph, state, bias, layer)
    _pool(graph, graph.node("Identity", [state], "last_hidden_state"), mask)
    onnx.save(graph.model(), folder / TARGET)


def read_safetensors(path: Path) -> Weights:
    """Return the tensors of a file: the length of a JSON header, the header, the values."""
    content = path.read_bytes()
    start = 8 + int.from_bytes(content[:8], "little")
    header = json.loads(content[8:start])
    tensors = {}
    for name, entry in header.items():
        if name != "__metadata__":
            first, last = entry["data_offsets"]
            values = np.frombuffer(content[start + first : start + last], DTYPES[entry["dtype"]])
            tensors[name] = values.reshape(entry["shape"])
    return tensors


class GraphBuilder:
    """Collects nodes, each named by its output, and the constants they need."""

    def __init__(self, weights: Weights) -> None:
        self._weights = weights
        self._nodes: list[onnx.NodeProto] = []
        self._constants: dict[str, TensorProto] = {}

    def weight(self, name: str, *, transposed: bool = False) -> str:
        """Return the name of one of the file's tensors as an initializer."""
        values = self._weights[name]
        self.constant(np.ascontiguousarray(values.T) if transposed else values, name)
        return name

    def constant(self, value: npt.ArrayLike, name: str) -> str:
        """Return the name of a constant, which is added once."""
        if name not in self._constants:
            self._constants[name] = numpy_helper.from_array(np.asarray(value), name)
        return name

    def number(self, value: float, name: str) -> str:
        """Return the name of a float32 scalar."""
        return self.constant(np.array(value, np.float32), name)

    def node(
        self,
        op_type: str,
        inputs: Sequence[str],
        output: str,
        **attributes: int | float | list[int],
    ) -> str:
        """Add a node with one output and return the output's name."""
        name = f"{output}/{op_type}"
        self._nodes.append(helper.make_node(op_type, inputs, [output], name=name, **attributes))
        return output

    def dense(self, value: str, prefix: str, output: str) -> str:
        """Add value @ weight.T + bias."""
        weight = self.weight(f"{prefix}.weight", transposed=True)
        product = self.node("MatMul", [value, weight], f"{output}.product")
        return self.node("Add", [product, self.weight(f"{prefix}.bias")], output)

    def normalize(self, value: str, prefix: str, output: str) -> str:
        """Add a layer normalization."""
        parameters = [self.weight(f"{prefix}.weight"), self.weight(f"{prefix}.bias")]
        inputs = [value, *parameters]
        return self.node("LayerNormalization", inputs, output, axis=-1, epsilon=EPSILON)

    def model(self) -> onnx.ModelProto:
        """Return the checked model."""
        tokens = ("input_ids", "attention_mask", "token_type_ids")
        outputs = {
            "last_hidden_state": ["batch", "sequence", WIDTH],
            "sentence_embedding": ["batch", WIDTH],
        }
        make = helper.make_tensor_value_info
        graph = helper.make_graph(
            self._nodes,
            "all-MiniLM-L6-v2",
            [make(name, TensorProto.INT64, ["batch", "sequence"]) for name in tokens],
            [make(name, TensorProto.FLOAT, shape) for name, shape in outputs.items()],
            list(self._constants.values()),
        )
        opsets = [helper.make_opsetid("", OPSET)]
        model = helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION)
        onnx.checker.check_model(model)
        return model


def _embed(graph: GraphBuilder) -> str:
    """Add the sum of word, token type and position embeddings, normalized."""
    prefix = "embeddings"
    words = graph.weight(f"{prefix}.word_embeddings.weight")
    types = graph.weight(f"{prefix}.token_type_embeddings.weight")
    positions = graph.weight(f"{prefix}.position_embeddings.weight")
    word = graph.node("Gather", [words, "input_ids"], f"{prefix}.word")
    kind = graph.node("Gather", [types, "token_type_ids"], f"{prefix}.type")
    zero, one, two = (graph.constant(np.array([n], np.int64), f"axis_{n}") for n in range(3))
    shape = graph.node("Shape", ["input_ids"], f"{prefix}.shape")
    length = graph.node("Slice", [shape, one, two, zero], f"{prefix}.length")
    position = graph.node("Slice", [positions, zero, length, zero], f"{prefix}.position")
    words_and_types = graph.node("Add", [word, kind], f"{prefix}.word_and_type")
    total = graph.node("Add", [words_and_types, position], f"{prefix}.sum")
    return graph.normalize(total, f"{prefix}.LayerNorm", f"{prefix}.output")


def _attention_bias(graph: GraphBuilder, mask: str) -> str:
    """Add zero for attended tokens and a large negative number for others, to add to scores."""
    axes = graph.constant(np.array([1, 2], np.int64), "axes_1_2")
    wide = graph.node("Unsqueeze", [mask, axes], "bias.mask")
    ignored = graph.node("Sub", [graph.number(1, "one"), wide], "bias.ignored")
    return graph.node("Mul", [ignored, graph.number(-1e4, "far_below")], "bias")


def _encode(graph: GraphBuilder, state: str, bias: str, layer: int) -> str:
    """Add one layer: attention and a feed-forward network, each with its residual."""
    source = f"encoder.layer.{layer}"
    attended = _attend(graph, state, bias, layer)
    dense = graph.dense(attended, f"{source}.attention.output.dense", f"{source}.attended")
    residual = graph.node("Add", [dense, state], f"{source}.attended.sum")
    state = graph.normalize(residual, f"{source}.attention.output.LayerNorm", f"{source}.middle")
    wide = graph.dense(state, f"{source}.intermediate.dense", f"{source}.wide")
    narrow = graph.dense(_gelu(graph, wide), f"{source}.output.dense", f"{source}.narrow")
    residual = graph.node("Add", [narrow, state], f"{source}.sum")
    return graph.normalize(residual, f"{source}.output.LayerNorm", f"{source}.output")


def _attend(graph: GraphBuilder, state: str, bias: str, layer: int) -> str:
    """Add softmax(query @ key / sqrt(width) + bias) @ value, for all heads."""
    source = f"encoder.layer.{layer}.attention"
    split = graph.constant(np.array([0, 0, HEADS, HEAD_WIDTH], np.int64), "split")
    merged = graph.constant(np.array([0, 0, WIDTH], np.int64), "merged")
    heads = {}
    for role, order in (("query", [0, 2, 1, 3]), ("key", [0, 2, 3, 1]), ("value", [0, 2, 1, 3])):
        dense = graph.dense(state, f"{source}.self.{role}", f"{source}.{role}")
        rows = graph.node("Reshape", [dense, split], f"{source}.{role}.split")
        heads[role] = graph.node("Transpose", [rows], f"{source}.{role}.heads", perm=order)
    products = graph.node("MatMul", [heads["query"], heads["key"]], f"{source}.products")
    root = graph.number(HEAD_WIDTH**0.5, "root_of_width")
    scaled = graph.node("Div", [products, root], f"{source}.scaled")
    scores = graph.node("Add", [scaled, bias], f"{source}.scores")
    shares = graph.node("Softmax", [scores], f"{source}.shares", axis=-1)
    mixed = graph.node("MatMul", [shares, heads["value"]], f"{source}.mixed")
    rows = graph.node("Transpose", [mixed], f"{source}.mixed.rows", perm=[0, 2, 1, 3])
    return graph.node("Reshape", [rows, merged], f"{source}.context")


def _gelu(graph: GraphBuilder, value: str) -> str:
    """Add x * (1 + erf(x / sqrt(2))) / 2."""
    root = graph.number(2**0.5, "root_of_two")
    scaled = graph.node("Div", [value, root], f"{value}.scaled")
    error_function = graph.node("Erf", [scaled], f"{value}.erf")
    plus_one = graph.node("Add", [error_function, graph.number(1, "one")], f"{value}.erf_plus_one")
    doubled = graph.node("Mul", [value, plus_one], f"{value}.doubled")
    return graph.node("Mul", [doubled, graph.number(0.5, "half")], f"{value}.gelu")


def _pool(graph: GraphBuilder, state: str, mask: str) -> None:
    """Add the sentence embedding: the mean of attended tokens, divided by its length."""
    tiny = graph.number(1e-9, "tiny")
    last, middle = (graph.constant(np.array([n], np.int64), f"axis_{n}") for n in (2, 1))
    weights = graph.node("Unsqueeze", [mask, last], "pool.weights")
    attended = graph.node("Mul", [state, weights], "pool.attended")
    total = graph.node("ReduceSum", [attended, middle], "pool.total", keepdims=0)
    tokens = graph.node("ReduceSum", [weights, middle], "pool.tokens", keepdims=0)
    divisor = graph.node("Max", [tokens, tiny], "pool.divisor")
    mean = graph.node("Div", [total, divisor], "pool.mean")
    norm = graph.node("ReduceL2", [mean], "pool.norm", axes=[1], keepdims=1)
    length = graph.node("Max", [norm, tiny], "pool.length")
    graph.node("Div", [mean, length], "sentence_embedding")
