"""`aeanet predict` of an OME-Zarr by 1, 2, 4 dask workers of one core each, and what each part of it takes.

    python benchmarks/scaling.py [--size 13700 13700] [--channels 16] [--max-memory 1.2GB] [--workers 1 2 4]
    python benchmarks/scaling.py --preset aeanet-care --network '{}' --size 96 512 512 --channels 1 --max-memory 4GB

An untrained model predicts an image of noise on a `LocalCluster`, each of whose workers has one core, by the command
line, ``--scheduler``; the command itself may use any. When each tile was begun and ended is told by the scheduler.
With ``--workers 0`` it is the command without workers, on one core. Beside it the price of what a run does for each
tile, in this process.
"""

import os
import re
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from functools import partial
from itertools import product
from pathlib import Path

import numpy as np
from hardware import facts, line
from options import add_network, check_positive, given, make_parser, network_changes
from tables import digits, markdown, quiet, run_script, section, write_results

# One core a process.
ONE_THREAD = dict.fromkeys(("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS", "OMP_NUM_THREADS"), "1")
ONE_THREAD["TF_CPP_MIN_LOG_LEVEL"] = "3"
OF_ONE_CORE = {
    "threads_per_worker": 1,
    "memory_limit": 0,
    "dashboard_address": None,
    "env": ONE_THREAD,
    "silence_logs": 50,
}
SMALL = '{"first_filters": 4, "depth": 2, "encoding_blocks": [0, 0], "decoding_blocks": [0], "bottom": ["attention"]}'
RANGES = "statistics"


def main(argv=None):
    """Measure, print the tables, and write the numbers where asked to."""
    options = parse(argv)
    check_positive(options, "size", "channels")
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        folder = Path(folder)
        with quiet():
            stored = make_workplace(folder, options)
            prices = measured_prices(folder, options)
            runs = [measured_run(folder, options, n) for _ in range(options.rounds) for n in options.workers]
    found = {"options": given(options), "hardware": facts(), "stored": stored, "prices": prices, "runs": runs}
    size = " x ".join(map(str, [options.channels, *options.size]))
    title = f"{options.preset} on workers: {size}, {stored / 1e9:.1f} GB, {options.max_memory} a process"
    section(title, line(found["hardware"]), runs_table(runs))
    section("Parts (s)", parts_table(runs))
    section("Prices", prices_table(prices))
    write_results(options.output, found)


def parse(argv):
    """The options of the command line."""
    parser = make_parser(__doc__, rounds=1)
    add_network(parser)
    parser.set_defaults(network=SMALL)
    parser.add_argument("--preset", default="aeanet-em", metavar="NAME", help="(aeanet-em)")
    parser.add_argument("--size", type=int, nargs="+", default=[13700, 13700], metavar="N", help="(13700 13700)")
    parser.add_argument("--channels", type=int, default=16, metavar="N", help="of the image, float32 (16)")
    parser.add_argument("--max-memory", default="1.2GB", metavar="SIZE", help="of a process (1.2GB)")
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2, 4], metavar="N", help="(1 2 4); 0: none")
    parser.add_argument("--folder", help="for the files (default: a temporary one); all are removed afterwards")
    return parser.parse_args(argv)


def make_workplace(folder, options):
    """A model that is not trained and an image of noise, brighter to the right; gives the image's bytes, as pixels."""
    from aeanet_tf.io.write import ImageTarget
    from aeanet_tf.models import AEANet, AEANetConfig

    channels, size = options.channels, options.size
    axes, network = "ZYX"[-len(size) :], network_changes(options)
    config = AEANetConfig(axes, channels, channels, preset=options.preset, network=network, train_seed=0)
    model = AEANet(config, "model", str(folder))
    model.keras_model.save_weights(str(model.logdir / "weights_best.h5"))
    chunk = [min(n, 64 if len(size) == 3 else 512) for n in size]
    target = ImageTarget.create(folder / "image.zarr", (channels, *size), f"C{axes}", chunks=(1, *chunk))
    rng, brighter = np.random.default_rng(0), np.linspace(0, 200, size[-1], dtype="float32")
    # As many numbers as a row of chunks has, used again and again: to draw all of them takes longer than to predict.
    noise = rng.gamma(2, 50, (1, chunk[0], *size[1:])).astype("float32") + brighter
    for channel, start in product(range(channels), range(0, size[0], chunk[0])):
        stop = min(start + chunk[0], size[0])
        band = (slice(channel, channel + 1), slice(start, stop), *(slice(0, n) for n in size[1:]))
        noise = np.roll(noise, 97, axis=-1)
        target.write(band, noise[:, : stop - start])
    target.finish()
    return 4 * channels * int(np.prod(size))


def measured_run(folder, options, count):
    """Seconds of a prediction by ``count`` workers, 0 for the command itself; its parts and memory."""
    if count == 0:
        seconds, peak = timed_command(folder, options, "alone", [], partial(take_core, 0))
        return {"workers": count, "seconds": seconds, "peak": peak}
    from distributed import Client, LocalCluster, get_task_stream

    with LocalCluster(n_workers=count, **OF_ONE_CORE) as cluster, Client(cluster, set_as_default=False) as client:
        for number, address in enumerate(client.nthreads()):
            client.run(take_core, number, workers=[address])
        with get_task_stream(client=client) as tasks:
            begun = time.time()
            seconds, peak = timed_command(folder, options, f"by-{count}", ["--scheduler", cluster.scheduler_address])
        peaks = client.run(peak_bytes).values()
    return {
        "workers": count,
        "seconds": seconds,
        "peak": max(peaks),
        "client peak": peak,
        "parts": parts(tasks.data, begun, begun + seconds),
    }


def take_core(number):
    """Leave all threads of this process one of the cores, counted anew where there are fewer."""
    cores = sorted(os.sched_getaffinity(1))
    for thread in os.listdir("/proc/self/task"):
        os.sched_setaffinity(int(thread), {cores[number % len(cores)]})


def timed_command(folder, options, name, words, begin=None):
    """Seconds of `aeanet predict` into a folder of its own, which is removed, and the peak of its memory."""
    output = folder / name
    command = [
        *(sys.executable, "-m", "aeanet_tf.cli.main", "predict", "--model", folder / "model"),
        *("--input", folder / "image.zarr", "--output", output, "--max-memory", options.max_memory, *words),
    ]
    environment = os.environ | ONE_THREAD | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    begun = time.perf_counter()
    streams = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE}
    process = subprocess.Popen(list(map(str, command)), env=environment, preexec_fn=begin, **streams)
    told = process.stderr.read().decode(errors="replace")
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - begun
    if status:
        raise RuntimeError(f"aeanet predict left with {os.waitstatus_to_exitcode(status)}: {told[-2000:]}")
    print(f"{name}: {seconds:.1f} s; {told[-600:]}", file=sys.stderr, flush=True)
    subprocess.run(["rm", "-r", str(output)], check=True)
    return seconds, usage.ru_maxrss * 1024


def peak_bytes():
    """The largest resident memory of a process."""
    return int(re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())[1]) * 1024


def parts(tasks, begun, ended):
    """What the scheduler tells of the tasks, part by part: ``[{name, tasks, span, busy, first, median}]``, in seconds.

    ``span`` is from the first begin of a task to the last end, ``busy`` the sum over tasks, ``first`` the longest of
    the first tasks of all workers, and ``median`` that of the others. ``between`` is what was before the part in
    which no task ran.
    """
    by_part = defaultdict(list)
    for task in tasks:
        found = re.match(r"job-[0-9a-f]+-(\d+)-", str(task["key"]))
        name = f"sweep {int(found[1]) + 1}" if found else RANGES if str(task["key"]).startswith("_alone") else None
        times = [(s["start"], s["stop"]) for s in task["startstops"] if s["action"] == "compute"]
        if name and times:
            by_part[name].append((*times[-1], task["worker"]))
    result, last = [], begun
    for name, found in sorted(by_part.items(), key=lambda item: min(item[1])[0]):
        found.sort()
        firsts = {}
        for start, stop, worker in found:
            firsts.setdefault(worker, stop - start)
        others = sorted(stop - start for start, stop, _ in found)
        start, stop = found[0][0], max(stop for _, stop, _ in found)
        part = {"name": name, "tasks": len(found), "between": start - last, "span": stop - start, "busy": sum(others)}
        result.append({**part, "first": max(firsts.values()), "median": float(np.median(others))})
        last = stop
    result.append({"name": "end", "between": ended - last})
    return result


def measured_prices(folder, options):
    """Seconds of what is done once for a tile, whatever its size, and bytes a second of reading and writing."""
    from distributed import Client, LocalCluster, as_completed

    from aeanet_tf.io.read import open_image
    from aeanet_tf.io.write import ImageTarget
    from aeanet_tf.layers.moments import Moments
    from aeanet_tf.prediction.kept import Journal
    from aeanet_tf.prediction.sweeps import merged

    prices = {}
    with LocalCluster(n_workers=2, **OF_ONE_CORE) as cluster, Client(cluster, set_as_default=False) as client:
        client.gather(client.map(abs, range(10), pure=False))
        begun = time.perf_counter()
        for _ in as_completed([client.submit(abs, i, pure=False) for i in range(2000)], loop=client.loop):
            pass
        prices["a task, submitted, run and answered (s)"] = (time.perf_counter() - begun) / 2000
    rng = np.random.default_rng(0)
    for channels in (64, 256):
        moments = Moments(
            np.ones(1, "float32"),
            *(rng.random((1, *[channels] * n), "float32") for n in (1, 2)),
        )
        journal = Journal(folder / f"journal{channels}")
        begun = time.perf_counter()
        for tile in range(200):
            journal.enter(0, (0, tile), moments)
        middle = time.perf_counter()
        merged(journal.moments(0, channels))
        ended = time.perf_counter()
        prices[f"moments of a tile, {channels} channels, entered (s)"] = (middle - begun) / 200
        prices[f"moments of a tile, {channels} channels, merged (s)"] = (ended - middle) / 200
    array = open_image(folder / "image.zarr").array
    part = (slice(0, 1), *(slice(0, min(n, 256 if len(options.size) == 3 else 2048)) for n in array.shape[1:]))
    begun = time.perf_counter()
    values = array[part]
    prices["chunks read (MB/s)"] = values.nbytes / 1e6 / (time.perf_counter() - begun)
    axes = "CZYX" if values.ndim == 4 else "CYX"
    target = ImageTarget.create(folder / "written.zarr", values.shape, axes, chunks=array.chunks)
    begun = time.perf_counter()
    target.write(tuple(slice(0, n) for n in values.shape), values)
    prices["chunks written (MB/s)"] = values.nbytes / 1e6 / (time.perf_counter() - begun)
    target.discard()
    return prices


def runs_table(runs):
    """Markdown table of the runs: times, speed-up over one worker, and memory."""
    one = next((run["seconds"] for run in runs if run["workers"] == 1), None)
    lines = []
    for run in runs:
        count, seconds = run["workers"], run["seconds"]
        faster = one / seconds if one and count else None
        busy = sum(part.get("busy", 0) for part in run.get("parts", ())) / (count * seconds) if count else None
        cells = [digits(seconds), digits(faster), digits(faster and faster / count), digits(busy)]
        lines.append([str(count or "none"), *cells, digits(run["peak"] / 1e9)])
    return markdown(["workers", "s", "faster", "efficiency", "busy", "largest process (GB)"], lines)


def parts_table(runs):
    """Markdown table of the parts of each run."""
    lines = []
    for run in runs:
        for part in run.get("parts", ()):
            names = ("between", "span", "busy", "first", "median")
            cells = [digits(part[name]) if name in part else "" for name in names]
            lines.append([str(run["workers"]), part["name"], str(part.get("tasks", "")), *cells])
    head = ["workers", "", "tasks", "before it", "from first to last", "sum over tasks", "a worker's first", "median"]
    return markdown(head, lines)


def prices_table(prices):
    """Markdown table of the prices."""
    return markdown(["", ""], [[name, digits(value)] for name, value in prices.items()])


if __name__ == "__main__":
    run_script(main)
