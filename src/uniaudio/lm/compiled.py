"""The multi-scale model with each frame as one ONNX Runtime graph; the plain model reads the prompts and is the oracle.

R rows (B requests; 2 B with guidance), K slots, D width, H heads, E head width, V candidates of a slot, S capacity in
frames
"""

import copy
import importlib.util
from collections.abc import Iterator
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from uniaudio.errors import InputError
from uniaudio.lm.continuous import ContinuousBatch
from uniaudio.lm.frame_model import collect_frames
from uniaudio.lm.interface import Batch, GenerationRequest, LanguageModel, Legal
from uniaudio.lm.multiscale import MultiScaleLM
from uniaudio.lm.sampling import Sampling
from uniaudio.nn.rotary import rotary_table

Precision = Literal["float32", "int8"]
PRECISIONS: tuple[Precision, ...] = ("float32", "int8")
_PACKAGES = "onnx", "onnxruntime"
_SMALL_BYTES, _FEW_ROWS = 512e6, 2  # below them a second thread costs more than it brings (benchmarks/decode.py)


def can_compile(lm: LanguageModel) -> bool:
    """Can a model be compiled here? It has to be multi-scale, in float32, with head widths that are multiples of 8.

    And the packages of ONNX Runtime have to be there.
    """
    if not isinstance(lm, MultiScaleLM) or next(lm.parameters()).dtype != torch.float32:
        return False
    widths = [sizes.width // sizes.heads for sizes in (lm.config.global_, lm.config.local_)]
    return all(width % 8 == 0 for width in widths) and all(importlib.util.find_spec(name) for name in _PACKAGES)


class CompiledLM:
    """Generates as its `MultiScaleLM` does: the same ids in float32, other ones with 8-bit weights.

    Graphs are built when they are first needed, one for each combination of guidance and top-p that is asked for.
    Changes of the model's weights after that do not reach them. Raises InputError for an unknown precision.
    """

    def __init__(self, lm: MultiScaleLM, precision: str = "float32") -> None:
        if precision not in PRECISIONS:
            raise InputError(f"unknown precision {precision!r}: use one of {', '.join(PRECISIONS)}")
        self.lm, self.config, self.precision = lm, lm.config, precision
        self._num_bytes = sum(one.numel() for one in lm.parameters()) * (4 if precision == "float32" else 1)
        self._sessions: dict[Any, Any] = {}
        self._bytes: dict[Any, tuple[int, int]] = {}

    def losses(self, batch: Batch, legal: Legal, label_smoothing: float = 0.0) -> list[Tensor]:
        """Return what the plain model's `losses` returns."""
        return self.lm.losses(batch, legal, label_smoothing)

    @torch.no_grad()
    def session(self, legal: Legal, sampling: Sampling, rows: int = 1) -> Any:
        """Return the ONNX Runtime session for legal ids, a sampling and a number of rows; built at the first call."""
        import onnxruntime

        from uniaudio.lm.frame_graph import FrameGraphBuilder

        kind, threads = self._kind(legal, sampling), self.num_threads(rows)
        if (kind, threads) not in self._sessions:
            graph = FrameGraphBuilder(self.lm, kind).build()
            options = onnxruntime.SessionOptions()
            options.intra_op_num_threads = threads
            options.log_severity_level = 3  # it warns of buffers that are read and written in place, as they should be
            values = [onnxruntime.OrtValue.ortvalue_from_numpy(array) for array in graph.weights.values()]
            options.add_external_initializers(list(graph.weights), values)
            providers = ["CPUExecutionProvider"]
            self._sessions[kind, threads] = onnxruntime.InferenceSession(graph.model, options, providers=providers)
            self._bytes[kind] = graph.stored_bytes, graph.read_bytes
        return self._sessions[kind, threads]

    def num_threads(self, rows: int) -> int:
        """Return with how many threads a batch of so many rows is computed: torch's number, or one for small work."""
        small = self._num_bytes < _SMALL_BYTES and (self.precision == "int8" or rows <= _FEW_ROWS)
        return 1 if small else torch.get_num_threads()

    def weight_bytes(self, legal: Legal, sampling: Sampling) -> tuple[int, int]:
        """Return the bytes of the matrices of a session: each once, and as often as a frame reads them."""
        self.session(legal, sampling)
        return self._bytes[self._kind(legal, sampling)]

    def _kind(self, legal: Legal, sampling: Sampling) -> Any:
        from uniaudio.lm.frame_graph import GraphKind

        return GraphKind(legal, self.precision == "int8", sampling.guidance != 1, sampling.top_p < 1)

    def generate(self, batch: Batch, request: GenerationRequest) -> list[Tensor]:
        """Continue every prompt of a right-padded batch; return its target frames [T_b, K], without the end mark."""
        return collect_frames(self.frames(batch, request), batch, request)

    def frames(self, batch: Batch, request: GenerationRequest) -> Iterator[dict[int, Tensor]]:
        """Yield the frames [K] of the rows that have not ended, by row, as soon as they are made."""
        requests = len(request.generators)
        longest = int(request.max_frames.max())
        capacity = max(batch.frames.shape[1], int(batch.positions.max()) + 1) + longest
        running = ContinuousBatch(self, request.legal, request.sampling, request.target_role, requests, capacity)
        for row in range(requests):
            bounds = int(request.min_frames[row]), int(request.max_frames[row])
            rows = range(row, requests * request.copies, requests)
            running.join([Prompt(self.lm, batch, one) for one in rows], bounds, request.generators[row])
        while running:
            yield running.step()


class Prompt:
    """What one row of a batch leaves behind: `keys` and `values` [L, H, T, E] of the layers, and how to go on.

    The last frame is not among the cached ones: the graph begins with `last` [D], its embedding, at `position`. `added`
    [S + 1, D] is what the conditions add to the frames of the target, of which there are `made` already, which begin
    with the ids `firsts`. A row is read on its own, so that its neighbours cannot change a bit.
    """

    @torch.no_grad()
    def __init__(self, lm: MultiScaleLM, batch: Batch, row: int) -> None:
        one, length = copy.copy(batch), int(batch.lengths[row])
        one.lengths = batch.lengths[row : row + 1]
        for name in ("frames", "positions", "roles", "target", "vectors", "vector_mask"):
            value = getattr(batch, name)
            setattr(one, name, None if value is None else value[row : row + 1, :length])
        embedded = lm.embed(one.frames, one.roles, one.vectors, one.vector_mask)
        added = lm.added(one, embedded)
        embedded = lm.with_added(one, embedded, added)
        self.added = torch.zeros(1, embedded.shape[2]) if added is None else added[0]
        self.made = int(one.target.sum())
        self.firsts = one.frames[0, length - self.made :, 0].tolist()
        self.last, self.position, self.length = embedded[0, -1], int(one.positions[0, -1]), length - 1
        cache = lm.global_.new_cache(1, length - 1)
        if self.length:
            lm(embedded[:, :-1], one.positions[:, :-1], cache)
        self.keys, self.values = cache.keys[:, 0], cache.values[:, 0]


class Rows:
    """The state of R rows between frames, in memory that the graph reads and writes in place; nothing is allocated.

    `noise` [B, 1, sum of V], `bias` [B, 1, V] and `added` [R, 1, D], what the next frame's embedding gets, are to be
    filled before each `step`.
    """

    def __init__(self, compiled: CompiledLM, legal: Legal, sampling: Sampling, requests: int, capacity: int) -> None:
        sizes = compiled.config.global_
        head_width = sizes.width // sizes.heads
        copies = 1 if sampling.guidance == 1 else 2
        rows, slots = requests * copies, len(legal.ranges)
        candidates = [stop - start + (slot == 0) for slot, (start, stop) in enumerate(legal.ranges)]
        top_k = 1 if sampling.temperature == 0 else sampling.top_k
        cosines, sines = rotary_table(torch.arange(capacity)[None], head_width)
        self.cache = np.zeros((sizes.layers, 2, rows, sizes.heads, capacity, head_width), np.float32)
        self.x = np.zeros((rows, 1, sizes.width), np.float32)
        self.added = np.zeros_like(self.x)
        self.lengths, self.total = np.zeros(rows, np.int32), np.ones(1, np.int32)
        self.positions = np.zeros((rows, 1), np.int64)
        self.noise = torch.zeros(requests, 1, sum(candidates))
        self.bias = np.zeros((requests, 1, candidates[0]), np.float32)
        self.choices = np.zeros((requests, 1, slots), np.int64)
        inputs: dict[str, np.ndarray] = {
            "x": self.x,
            "lengths": self.lengths,
            "total": self.total,
            "positions": self.positions,
            "cosines": cosines[0, 0].numpy(),
            "sines": sines[0, 0].numpy(),
            "added": self.added,
            "bias": self.bias,
            "noise": self.noise.numpy(),
            "limits": np.asarray([min(top_k or size, size) for size in candidates], np.int64),
        }
        inputs |= {f"slot_{slot}": np.full(rows, slot, np.int32) for slot in range(1, slots)}
        for name, value in (("temperature", max(sampling.temperature, 1e-6)), ("top_p", sampling.top_p)):
            inputs[name] = np.full(1, value, np.float32)
        inputs["guidance"] = np.full(1, sampling.guidance, np.float32)
        outputs = {"choices": self.choices, "next": self.x}
        for layer in range(sizes.layers):
            for part, name in enumerate((f"key_{layer}", f"value_{layer}")):
                inputs[name] = outputs[f"{name}_out"] = self.cache[layer, part]
        self._session = compiled.session(legal, sampling, rows)
        self._binding = self._session.io_binding()
        self._kept = inputs, outputs  # the binding knows addresses only
        for one in self._session.get_inputs():
            array = inputs[one.name]
            self._binding.bind_input(one.name, "cpu", 0, array.dtype.type, array.shape, array.ctypes.data)
        for one in self._session.get_outputs():
            array = outputs[one.name]
            self._binding.bind_output(one.name, "cpu", 0, array.dtype.type, array.shape, array.ctypes.data)

    def load(self, row: int, prompt: Prompt) -> None:
        """Put a prompt into a row."""
        for layer, (keys, values) in enumerate(zip(prompt.keys, prompt.values, strict=True)):
            self.cache[layer, 0, row, :, : prompt.length] = keys.numpy()
            self.cache[layer, 1, row, :, : prompt.length] = values.numpy()
        self.x[row, 0] = prompt.last.numpy()
        self.lengths[row], self.positions[row] = prompt.length, prompt.position

    def clear(self, row: int) -> None:
        """Empty a row: it goes on computing, of one frame at a time, and nobody looks."""
        self.lengths[row] = self.positions[row] = 0

    def step(self) -> np.ndarray:
        """Make a frame in every row; return the choices [B, K], which the next step overwrites."""
        self.total[0] = self.lengths.max() + 1
        self._session.run_with_iobinding(self._binding)
        self.lengths += 1
        self.positions += 1
        return self.choices[:, 0]
