"""Kill tokenization 20 times at random moments, in one process and on a local two-node Ray cluster, and compare.

    python benchmarks/kill_tokenization.py CORPUS [--ray] [--kills 20]

Every result must have the same bytes as that of a run which nobody disturbed, and no finished shard may be made again.
On the cluster, half of the kills hit the driver, half a random worker. Prints one line of JSON a setting.
"""

import argparse
import functools
import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from uniaudio.data import tokenize as module
from uniaudio.data.shards import is_done
from uniaudio.recipes.codec import load_encoder

SHARD = 4  # examples of a shard: many shards, so that kills hit every moment of their making


def tokenize(manifest: Path, out: Path, model: str, ray: str | None) -> None:
    """Tokenise into small shards."""
    module.plan_shards = functools.partial(module.plan_shards, size=SHARD)
    module.tokenize(manifest, out, functools.partial(load_encoder, model), "digest", workers=0, ray=ray)


def content(folder: Path) -> dict[str, str]:
    """Return the hash of every file of a folder."""
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def start(manifest: Path, out: Path, model: str, ray: str | None) -> subprocess.Popen:
    """Start a driver of its own."""
    command = [sys.executable, __file__, str(manifest), "--model", model, "--out", str(out)]
    command += [] if ray is None else ["--address", ray]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def ray_workers() -> list[int]:
    """Return the processes that tokenise for Ray on this machine (not Ray's own services)."""
    found = subprocess.run(
        ["pgrep", "-f", "ray::MapWorker"], capture_output=True, text=True, check=False
    ).stdout.split()
    return [int(number) for number in found]


def disturb(manifest: Path, out: Path, whole: dict[str, str], options: argparse.Namespace, ray: str | None) -> dict:
    """Kill until enough kills landed; return what happened."""
    chance, kills, finished, remade, failed = random.Random(options.seed), {"driver": 0, "worker": 0}, 0, 0, 0
    longest = 12.0 if ray else 6.0
    while sum(kills.values()) < options.kills:
        before = {path: path.stat().st_mtime_ns for path in out.rglob("shard-*.tar") if is_done(path)}
        driver, victim = start(manifest, out, options.model, ray), "driver"
        time.sleep(chance.uniform(0.5, longest))
        workers = ray_workers() if ray and sum(kills.values()) % 2 else []
        if driver.poll() is None and workers:
            victim = "worker"
            os.kill(chance.choice(workers), signal.SIGKILL)
            kills["worker"] += 1
            driver.wait()
        elif driver.poll() is None:
            driver.kill()
            kills["driver"] += 1
        driver.wait()
        remade += sum(path.exists() and path.stat().st_mtime_ns != made for path, made in before.items())
        failed += victim == "worker" and driver.returncode != 0  # the driver gave up on its worker: run it again
        if driver.returncode == 0:
            finished += 1
            assert content(out) == whole, "the result differs"
            for path in chance.sample(sorted(out.rglob("shard-*.tar")), 8):
                path.unlink()
    driver = start(manifest, out, options.model, ray)
    assert driver.wait() == 0
    told = {"finished_in_between": finished, "remade": remade, "drivers_failed": failed}
    return {"kills": kills, **told, "equal": content(out) == whole}


def main() -> None:
    """Run the settings asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("manifest", type=Path)
    parser.add_argument("--model", default="uniaudio-mini")
    parser.add_argument("--ray", action="store_true", help="on a two-node Ray cluster here, too")
    parser.add_argument("--only-ray", action="store_true", help="only that")
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, help="(a driver of its own) where to write")
    parser.add_argument("--address", help="(a driver of its own) the cluster")
    options = parser.parse_args()
    if options.out is not None:
        tokenize(options.manifest, options.out, options.model, options.address)
        return
    os.environ["OMP_NUM_THREADS"] = "1"
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        assert start(options.manifest, work / "whole", options.model, None).wait() == 0
        whole = content(work / "whole")
        if not options.only_ray:
            result = disturb(options.manifest, work / "single", whole, options, None)
            shards = len(list(work.glob("whole/*/*.tar")))
            print(json.dumps({"setting": "one process", "shards": shards, **result}), flush=True)
        if options.ray or options.only_ray:
            from ray.cluster_utils import Cluster

            cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
            cluster.add_node(num_cpus=1)
            result = disturb(options.manifest, work / "cluster", whole, options, cluster.address)
            print(json.dumps({"setting": "two Ray nodes", **result}), flush=True)
            cluster.shutdown()


if __name__ == "__main__":
    main()
