"""One frame of the multi-scale model as one ONNX graph: global step, local loop, sampling, and the next embedding.

R rows (B requests; 2 B with guidance), K slots, D global width, W local width, H heads, E head width, V candidates of a
slot, S capacity of the cache in frames, P positions
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn

from uniaudio.lm.interface import Legal
from uniaudio.lm.multiscale import MultiScaleLM
from uniaudio.nn.transformer import Block, Transformer

FUSED = "com.microsoft"  # ONNX Runtime's own operators
_OPSET, _IR_VERSION = 21, 10
_BLOCK = 128  # weights of a row that share a scale in MatMulNBits; here all blocks of a row have the same one
_INLINE = 256  # bytes below which an array is written into the graph, where shapes are looked for
_EPSILON = 1e-6  # of every RMSNorm of the model


@dataclass(frozen=True)
class GraphKind:
    """What a graph is built for, besides the weights: which ids are legal, 8-bit weights, guidance, top-p."""

    legal: Legal
    int8: bool
    guided: bool
    nucleus: bool


@dataclass
class FrameGraph:
    """A serialised graph, and the arrays that it names: they are handed over in memory, so that nothing is copied.

    `stored_bytes` are those of its matrices, `read_bytes` those that a frame reads: the slots share the local ones.
    """

    model: bytes
    weights: dict[str, np.ndarray]
    stored_bytes: int
    read_bytes: int


class FrameGraphBuilder:
    """Writes the nodes of the graph of a model.

    The graph's inputs are: x [R, 1, D], the embedded last frame (with role and caption mean); `lengths` [R] int32, how
    many are in the cache before it; `total` [1] int32, the longest length and 1; `positions` [R, 1] int64; `cosines`
    and `sines` [P, E / 2]; `key_i` and `value_i` [R, H, S, E] of each global layer; `slot_k` [R] int32, all k; `added`
    [R, 1, D], what every embedded frame gets; `bias` [B, 1, V] on slot 0's logits; `noise` [B, 1, sum of V]; `limits`
    [K] int64, how many candidates a slot keeps; `temperature`, `top_p` and `guidance` [1] where they are needed. Its
    outputs are `choices` [B, 1, K] int64, indices into the candidates of each slot, `next` [R, 1, D], keys and values.
    """

    def __init__(self, lm: MultiScaleLM, kind: GraphKind) -> None:
        self.lm, self.kind = lm, kind
        self.nodes: list[onnx.NodeProto] = []
        self.weights: dict[str, np.ndarray] = {}
        self.inputs: list[onnx.ValueInfoProto] = []
        self.outputs: list[onnx.ValueInfoProto] = []
        self.shared: dict[int, tuple[Tensor, list[str]]] = {}  # by id: the slots use the same matrices
        self.read_bytes = 0
        self.sizes = [stop - start + (slot == 0) for slot, (start, stop) in enumerate(kind.legal.ranges)]

    def build(self) -> FrameGraph:
        """Return the graph."""
        state = self._global_step()
        choices = self._local_loop(state)
        self._embed(self.node("Concat", choices, "choices", axis=2))
        self._declare()
        graph = helper.make_graph(self.nodes, "frame", self.inputs, self.outputs, self._initialisers())
        opsets = [helper.make_opsetid("", _OPSET), helper.make_opsetid(FUSED, 1)]
        model = helper.make_model(graph, opset_imports=opsets, ir_version=_IR_VERSION)
        large = {name: array for name, array in self.weights.items() if array.nbytes >= _INLINE}
        stored = sum(self._num_bytes(names) for _, names in self.shared.values())
        return FrameGraph(model.SerializeToString(), large, stored, self.read_bytes)

    def node(self, op: str, inputs: Sequence[str], *outputs: str, domain: str = "", **attributes: Any) -> str:
        """Add a node and return the name of its first output, which is made up where none is given."""
        names = list(outputs) or [f"t{len(self.nodes)}"]
        self.nodes.append(helper.make_node(op, list(inputs), names, domain=domain, **attributes))
        return names[0]

    def weight(self, value: Tensor | np.ndarray, kind: str = "constant") -> str:
        """Return the name of an array that the graph reads."""
        array = value.detach().numpy() if isinstance(value, Tensor) else value
        name = f"{kind}{len(self.weights)}"
        self.weights[name] = np.ascontiguousarray(array)
        return name

    def linear(self, x: str, matrix: Tensor) -> str:
        """Return x times the transpose of `matrix` [out, in], which is stored once whoever uses it."""
        if id(matrix) not in self.shared:
            names = self._quantised(matrix) if self.kind.int8 else [self.weight(matrix, "matrix")]
            self.shared[id(matrix)] = matrix, names
        names = self.shared[id(matrix)][1]
        self.read_bytes += self._num_bytes(names)
        if not self.kind.int8:
            return self.node("FusedMatMul", [x, *names], domain=FUSED, transB=1)
        sizes = {"N": matrix.shape[0], "K": matrix.shape[1], "block_size": _block_size(matrix.shape[1])}
        return self.node("MatMulNBits", [x, *names], domain=FUSED, bits=8, accuracy_level=4, **sizes)

    def _num_bytes(self, names: list[str]) -> int:
        return sum(self.weights[name].nbytes for name in names)

    def _quantised(self, matrix: Tensor) -> list[str]:
        """Return the names of a matrix in 8 bits and of its scales, one per row: the format of a saved engine."""
        rows, columns = matrix.shape
        block = _block_size(columns)
        blocks = -(-columns // block)
        scale = matrix.detach().abs().amax(1, keepdim=True).clamp(min=1e-12) / 127
        quantised = np.full((rows, blocks * block), 128, np.uint8)
        quantised[:, :columns] = (matrix.detach() / scale).round().numpy() + 128
        scales = np.repeat(scale.numpy(), blocks, axis=1)
        return [self.weight(quantised.reshape(rows, blocks, block), "matrix"), self.weight(scales, "matrix scale")]

    def norm(self, x: str, norm: nn.Module, skip: str | None = None) -> tuple[str, str]:
        """Return (RMSNorm(x + skip), x + skip)."""
        scale = self.weight(norm.weight)  # type: ignore[arg-type]
        if skip is None:
            return self.node("SimplifiedLayerNormalization", [x, scale], epsilon=_EPSILON, axis=-1), x
        names = f"t{len(self.nodes)}", f"t{len(self.nodes)}_sum"
        outputs = (names[0], "", "", names[1])
        self.node("SkipSimplifiedLayerNormalization", [x, skip, scale], *outputs, domain=FUSED, epsilon=_EPSILON)
        return names

    def split(self, x: str, count: int, sizes: Sequence[int], axis: int) -> list[str]:
        """Return the parts of x along an axis, of the given sizes."""
        names = [f"t{len(self.nodes)}_{part}" for part in range(count)]
        self.node("Split", [x, self.weight(np.asarray(sizes, np.int64))], *names, axis=axis)
        return names

    def reshape(self, x: str, *shape: int) -> str:
        """Return x in another shape; 0 keeps a dimension, -1 is what remains."""
        return self.node("Reshape", [x, self.weight(np.asarray(shape, np.int64))])

    # The two Transformers

    def _global_step(self) -> str:
        """Run the global Transformer on x [R, 1, D]; return the state [R, 1, D]."""

        def attend(layer: int, packed: str, heads: int) -> str:
            names = [f"key_{layer}", f"value_{layer}"]
            inputs = [packed, "", "", *names, "lengths", "total", "cosines", "sines", "positions"]
            outputs = [f"mixed_{layer}", *(f"{name}_out" for name in names)]
            sizes = {"num_heads": heads, "kv_num_heads": heads}
            return self.node("GroupQueryAttention", inputs, *outputs, domain=FUSED, do_rotary=1, **sizes)

        return self._transformer(self.lm.global_, "x", None, attend)

    def _transformer(self, transformer: Transformer, x: str, skip: str | None, attend: Any) -> str:
        """Run one position through all blocks; `attend(layer, packed queries, keys and values, heads)` mixes."""
        heads = transformer.config.heads
        for layer, block in enumerate(transformer.blocks):
            assert isinstance(block, Block)
            normed, skip = self.norm(x, block.attention_norm, skip)
            attention = block.attention
            mixed = attend(layer, self._normalised(block, self.linear(normed, attention.query_key_value.weight)), heads)
            x = self.linear(mixed, attention.out.weight)
            x, skip = self._feed(block, x, skip)
        return self.norm(x, transformer.norm, skip)[0]

    def _feed(self, block: Block, x: str, skip: str) -> tuple[str, str]:
        """Return (the feed-forward of x + skip, x + skip)."""
        normed, skip = self.norm(x, block.feed_norm, skip)
        wide = self.node("Gelu", [self.linear(normed, block.expand.weight)], domain=FUSED)
        return self.linear(wide, block.contract.weight), skip

    def _normalised(self, block: Block, packed: str) -> str:
        """Normalise queries and keys, head by head, in packed [R, 1, 3 D]: they are one stack of 2 H heads."""
        attention = block.attention
        heads, width = attention.heads, attention.out.weight.shape[1]
        size = width // heads
        stacked = self.reshape(packed, 0, 3 * heads, 1, size)
        query_key, value = self.split(stacked, 2, (2 * heads, heads), axis=1)
        scales = [norm.weight.detach().expand(heads, 1, size) for norm in (attention.query_norm, attention.key_norm)]
        scale = self.weight(torch.cat(scales))  # [2 H, 1, E]
        normed = self.node("SimplifiedLayerNormalization", [query_key, scale], epsilon=_EPSILON, axis=-1)
        return self.reshape(self.node("Concat", [normed, value], axis=1), 0, 1, 3 * width)

    # Inside a frame

    def _local_loop(self, state: str) -> list[str]:
        """Sample all slots of a frame, one after the other; return the choices [B, 1, 1] of each."""
        lm, slots = self.lm, len(self.sizes)
        base = self.linear(state, lm.to_local.weight)  # [R, 1, W]
        offset = lm.to_local.bias + lm.slot_embedding.weight  # [K, W]: the two constants of each slot in one
        noise = self.split("noise", slots, self.sizes, axis=2)
        limits = self.split("limits", slots, [1] * slots, axis=0)
        cache: list[tuple[str, str]] = []
        choices: list[str] = []
        skip = self.weight(offset[:1, None])
        for slot in range(slots):
            if slot:
                table = self.weight(lm.local_embedding.weight[self._candidates(slot - 1)] + offset[slot])
                skip = self.node("GatherND", [table, self._doubled(choices[-1])])  # [R, 1, W]
            hidden = self._first_slot(base, skip, cache) if slot == 0 else self._later_slot(base, skip, slot, cache)
            choices.append(self._choose(hidden, slot, noise[slot], limits[slot]))
        return choices

    def _doubled(self, x: str) -> str:
        """Return x [B, ...] for all rows: with guidance, two times."""
        return self.node("Concat", [x, x], axis=0) if self.kind.guided else x

    def _first_slot(self, base: str, skip: str, cache: list[tuple[str, str]]) -> str:
        """Run slot 0, whose attention gives back its own value; fill the cache with keys and values [R, H, 1, E]."""
        x, residual = base, skip
        for block in self.lm.local_.blocks:
            assert isinstance(block, Block)
            attention = block.attention
            heads, width = attention.heads, attention.out.weight.shape[1]
            normed, residual = self.norm(x, block.attention_norm, residual)
            packed = self.linear(normed, attention.query_key_value.weight)  # as in the other slots: it is stored once
            stacked = self.reshape(packed, 0, 3 * heads, 1, width // heads)
            _, key, value = self.split(stacked, 3, [heads] * 3, axis=1)
            scale = self.weight(attention.key_norm.weight)
            key = self.node("SimplifiedLayerNormalization", [key, scale], epsilon=_EPSILON, axis=-1)
            cache.append((key, value))
            x, residual = self._feed(
                block, self.linear(self.reshape(value, 0, 1, width), attention.out.weight), residual
            )
        return self.norm(x, self.lm.local_.norm, residual)[0]

    def _later_slot(self, base: str, skip: str, slot: int, cache: list[tuple[str, str]]) -> str:
        """Run a slot that sees those before it; add its keys and values to the cache."""

        def attend(layer: int, packed: str, heads: int) -> str:
            inputs = [packed, "", "", *cache[layer], f"slot_{slot}", f"slot_total_{slot}"]
            mixed, key, value = (f"local_{name}_{layer}_{slot}" for name in ("mixed", "key", "value"))
            sizes = {"num_heads": heads, "kv_num_heads": heads}
            self.node("GroupQueryAttention", inputs, mixed, key, value, domain=FUSED, **sizes)
            cache[layer] = key, value
            return mixed

        self.weights[f"slot_total_{slot}"] = np.asarray([slot + 1], np.int32)
        return self._transformer(self.lm.local_, base, skip, attend)

    def _choose(self, hidden: str, slot: int, noise: str, limit: str) -> str:
        """Sample a slot from its states [R, 1, W] as `sampling.sample` does: return the choices [B, 1, 1]."""
        table = self.lm.local_embedding.weight[self._candidates(slot)]
        logits = self.linear(hidden, table)  # [R, 1, V]
        if self.kind.guided:
            given, without = (f"t{len(self.nodes)}_{name}" for name in ("given", "without"))
            self.node("Split", [logits], given, without, axis=0, num_outputs=2)
            difference = self.node("Mul", [self.node("Sub", [given, without]), "guidance"])
            logits = self.node("Add", [without, difference])  # [B, 1, V]
        if slot == 0:
            logits = self.node("Add", [logits, "bias"])
        best, index = f"best_{slot}", f"index_{slot}"
        self.node("TopK", [logits, limit], best, index)
        if self.kind.nucleus:
            best = self._nucleus(best)
        drawn = self.node("Add", [best, self.node("GatherElements", [noise, index], axis=2)])
        winner = self.node("ArgMax", [drawn], axis=2, keepdims=1)
        return self.node("GatherElements", [index, winner], axis=2)

    def _nucleus(self, best: str) -> str:
        """Return logits in falling order with -inf beyond the one that makes the sum of probabilities reach top-p."""
        share = self.node("Softmax", [self.node("Div", [best, "temperature"])], axis=2)
        last = self.weight(np.asarray(2, np.int64))
        before = self.node("CumSum", [share, last], exclusive=1)
        beyond = self.node("GreaterOrEqual", [before, "top_p"])
        return self.node("Where", [beyond, self.weight(np.asarray(-np.inf, np.float32)), best])

    def _embed(self, choices: str) -> None:
        """Embed the chosen frame for the next step."""
        lm = self.lm
        ids = [i for slot in range(len(self.sizes)) for i in self._candidates(slot)]
        table = self.weight(lm.embedding.weight[ids])
        offsets = np.cumsum([0, *self.sizes[:-1]]).astype(np.int64)
        embedded = self.node(
            "Gather", [table, self.node("Add", [choices, self.weight(offsets)])]
        )  # [B, 1, K, D or D / K]
        if lm.concatenates:
            embedded = self.reshape(embedded, 0, 1, -1)
        else:
            axis = self.weight(np.asarray([2], np.int64))
            embedded = self.node("ReduceSum", [embedded, axis], keepdims=0)  # [B, 1, D]
        self.node("Add", [self._doubled(embedded), "added"], "next")

    def _candidates(self, slot: int) -> list[int]:
        """Return the ids that a slot may emit, the end mark last."""
        return [*range(*self.kind.legal.ranges[slot]), *([self.kind.legal.end] if slot == 0 else [])]

    # What goes in and out

    def _declare(self) -> None:
        """Declare inputs and outputs."""
        width = self.lm.config.global_.width
        heads = self.lm.config.global_.heads
        size, slots = width // heads, len(self.sizes)
        kind = {"x": TensorProto.FLOAT, "i": TensorProto.INT32, "l": TensorProto.INT64}
        cache = [f"{name}_{layer}" for layer in range(self.lm.config.global_.layers) for name in ("key", "value")]
        inputs: list[tuple[str, str, list[Any]]] = [
            ("x", "x", ["R", 1, width]),
            ("lengths", "i", ["R"]),
            ("total", "i", [1]),
            ("positions", "l", ["R", 1]),
            ("cosines", "x", ["P", size // 2]),
            ("sines", "x", ["P", size // 2]),
            *((name, "x", ["R", heads, "S", size]) for name in cache),
            *((f"slot_{slot}", "i", ["R"]) for slot in range(1, slots)),
            ("added", "x", ["R", 1, width]),
            ("bias", "x", ["B", 1, self.sizes[0]]),
            ("noise", "x", ["B", 1, sum(self.sizes)]),
            ("limits", "l", [slots]),
            *((name, "x", [1]) for name in ("temperature", "top_p") if self.kind.nucleus),
            *((name, "x", [1]) for name in ("guidance",) if self.kind.guided),
        ]
        outputs: list[tuple[str, str, list[Any]]] = [
            ("choices", "l", ["B", 1, slots]),
            ("next", "x", ["R", 1, width]),
            *((f"{name}_out", "x", ["R", heads, "S", size]) for name in cache),
        ]
        self.inputs = [helper.make_tensor_value_info(name, kind[code], shape) for name, code, shape in inputs]
        self.outputs = [helper.make_tensor_value_info(name, kind[code], shape) for name, code, shape in outputs]

    def _initialisers(self) -> list[onnx.TensorProto]:
        """Return the names, types and shapes of the arrays, as data that lies outside the graph."""
        initialisers = []
        for name, array in self.weights.items():
            if array.nbytes < _INLINE:
                initialisers.append(numpy_helper.from_array(array, name))
                continue
            tensor = onnx.TensorProto(name=name, dims=array.shape, data_location=onnx.TensorProto.EXTERNAL)
            tensor.data_type = helper.np_dtype_to_tensor_dtype(array.dtype)
            for key, value in (("location", "memory"), ("offset", "0"), ("length", str(array.nbytes))):
                tensor.external_data.add(key=key, value=value)
            initialisers.append(tensor)
        return initialisers


def _block_size(columns: int) -> int:
    """Return how many weights of a row make a block of MatMulNBits: a power of two from 16."""
    return next(size for size in (_BLOCK, 64, 32, 16) if size <= max(columns, 16))
