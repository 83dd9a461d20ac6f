"""Token shards on a Ray cluster: Ray Data hands shards to workers and gives those of a dead worker to another.

Every machine must see the manifest, the recordings and the output folder under the same paths.
"""

import json
import logging
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from uniaudio.data.shards import is_done
from uniaudio.errors import InputError

if TYPE_CHECKING:
    from uniaudio.data.tokenize import LoadEncoder, Shard


class _Worker:
    """Holds the tokenizers of one worker; called with one shard at a time."""

    def __init__(self, load_encoder: "LoadEncoder") -> None:
        import torch

        torch.set_num_threads(1)
        self.encoder = load_encoder()

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        from uniaudio.data.tokenize import Shard, make_shard

        manifest, path, lines = json.loads(row["shard"])
        shard = Shard(
            manifest=Path(manifest), path=Path(path), lines=tuple((offset, number) for offset, number in lines)
        )
        if not is_done(shard.path):  # the worker that had it before may have died after its last byte
            make_shard(shard, self.encoder)
        return {"path": str(shard.path)}


def make_on_cluster(shards: "list[Shard]", load_encoder: "LoadEncoder", address: str) -> Iterator[Path]:
    """Make shards on the cluster at `address` ("local" starts one here), yielding each path when it is done.

    Raises InputError when Ray is missing or the cluster cannot be reached.
    """
    os.environ.setdefault("RAY_DATA_DISABLE_PROGRESS_BARS", "1")
    try:
        import ray
        import ray.data
    except ImportError as error:
        raise InputError("a cluster needs Ray: pip install uniaudio[scale]") from error
    try:
        ray.init(address=None if address == "local" else address, logging_level=logging.ERROR, log_to_driver=False)
    except (ConnectionError, ValueError, RuntimeError) as error:
        what = " ".join(str(error).split())[:200]
        raise InputError(f"the Ray cluster at {address!r} cannot be reached ({what}): check the address") from error
    try:
        gpus = float(ray.cluster_resources().get("GPU", 0))
        context = ray.data.DataContext.get_current()
        context.max_errored_blocks = 0
        workers = max(1, int(gpus or ray.cluster_resources().get("CPU", 1)))
        worker: Any = _Worker  # Ray Data makes one for each process; its types know functions only
        items = [{"shard": json.dumps([str(one.manifest), str(one.path), one.lines])} for one in shards]
        done = ray.data.from_items(items, override_num_blocks=len(items)).map(
            worker,
            fn_constructor_args=(load_encoder,),
            compute=ray.data.ActorPoolStrategy(min_size=1, max_size=min(workers, len(shards))),
            num_cpus=1,
            num_gpus=1 if gpus else 0,
        )
        for row in done.iter_rows():
            yield Path(row["path"])
    finally:
        ray.shutdown()
