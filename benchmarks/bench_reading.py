# SPDX-License-Identifier: BSD-3-Clause
"""Reading: rows per processor second of every score, and the memory that more rows than fit take.

Default networks of a few epochs are fitted once; then rows that they have not seen are read from
where they may lie: an array, a memory map, a torch Dataset that opens them one by one, the parts of
a parquet file, and dask, whose two workers read a stack of files. Processor seconds on one thread,
those of the workers included, without the start of anything; labels are not given, so a pass of the
predicted class is part of the reading. Memory is anonymous memory, sampled while rows are read in
a process of its own, after a few have been: pages of a mapped file count for nobody.
"""

import pickle
import tempfile
import threading
import time
import warnings
from contextlib import contextmanager, nullcontext
from pathlib import Path

import dask
import dask.array as da
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from distributed import Client, LocalCluster
from report import argument_parser, parse, plain, results_so_far, write_results
from summaries import show
from timing import in_fresh_process
from torch.utils.data import Dataset

from sklearn_difficulty import (
    LabelErrorScorer,
    NormGradScorer,
    PredictionDepthScorer,
    TargetErrorScorer,
    TrainingDynamicsScorer,
    TrainingRecord,
    VoGScorer,
)
from sklearn_difficulty.training import default_network

FITTED, CLASSES, BANK, POOL = 12_000, 10, 10_000, 4
TRAINED = 2_000  # images; a reading takes as long for networks that have seen more
EPOCHS, FEW_EPOCHS = 10, 2  # of what is read at ten checkpoints, and of members
TABLE, WIDE, IMAGES = "20 features", "784 features", "28 x 28, conv"
SHAPES = {TABLE: (20,), WIDE: (784,), IMAGES: (1, 28, 28)}
SCORERS = {
    "dynamics": lambda record: TrainingDynamicsScorer(record, measure="loss"),
    "VoG": VoGScorer,
    "NormGrad": NormGradScorer,
    "depth, max_bank": lambda record: PredictionDepthScorer(
        record, max_bank=BANK, pool=POOL, random_state=0
    ),
    "label errors": lambda net: LabelErrorScorer(net, n_neighbors=None, random_state=0),
    "target errors": lambda net: TargetErrorScorer(net, random_state=0),
    "label errors, neighbours": lambda net: LabelErrorScorer(
        net, max_bank=BANK, pool=POOL, random_state=0
    ),
}
OF_MEMBERS = ("label errors", "target errors", "label errors, neighbours")
SLOW = ("depth, max_bank", "label errors, neighbours")
SOURCES = ("array", "memory map", "Dataset", "parquet parts", "dask")
SECONDS = 0.8  # that the rows of a rate take, read from an array
PART = 20_000  # rows of a part of a file, and of a block
FEW, SOME, MANY = 2_000, 70_000, 210_000
MANY_SLOW = 140_000
SAMPLED = 0.002  # seconds between two looks at the memory


def rows_to_read(n, shape):
    """Return float32 rows around the centre of a class, and their labels."""
    rng = np.random.default_rng(0)
    centres = rng.standard_normal((CLASSES, *shape), dtype=np.float32)
    y = rng.integers(CLASSES, size=n)
    return centres[y] + rng.standard_normal((n, *shape), dtype=np.float32), y


def fitted(name, kind, folder):
    """Return a fitted scorer; trainings are made once and kept in files."""
    path = folder / f"{name}; {kind}.pickle"
    if not path.exists():
        X, y = rows_to_read(FITTED, SHAPES[kind])
        n = TRAINED if kind == IMAGES else FITTED
        y = y.astype(np.float32) if name == "target errors" else y
        task = "regression" if name == "target errors" else "classification"
        net = default_network(X, y, task=task).set_params(batch_size=256)
        if name in OF_MEMBERS:
            trained = net.set_params(max_epochs=FEW_EPOCHS)
        else:
            trained = record_of(net.set_params(max_epochs=EPOCHS), X[:n], y[:n], folder / kind)
        n = FITTED if name in SLOW else n
        path.write_bytes(pickle.dumps(SCORERS[name](trained).fit(X[:n], y[:n])))
    return pickle.loads(path.read_bytes())


def record_of(net, X, y, path):
    """Return the record of a training that several scorers read."""
    if not path.exists():
        record = TrainingRecord.from_fit(net, X, y, checkpoints=EPOCHS, random_state=0)
        path.write_bytes(pickle.dumps(record))
    return pickle.loads(path.read_bytes())


class OpenedRows(Dataset):
    """Rows that are taken out of a file one by one, as they are asked for."""

    def __init__(self, path, n):
        self.path, self.n = path, n

    def __len__(self):
        return self.n

    def __getitem__(self, index):
        if not hasattr(self, "rows"):
            self.rows = np.load(self.path, mmap_mode="r")
        return torch.from_numpy(self.rows[index].copy())


def parts_of(n, shape):
    """Yield where every part of a file begins, and its rows, which are the same ones."""
    X, _ = rows_to_read(PART, shape)
    for start in range(0, n, PART):
        yield start, X[: min(PART, n - start)]


def array_file(n, kind, folder):
    """Return a file of rows, written part by part unless it is there."""
    path = folder / f"{kind}, {n}.npy"
    if not path.exists():
        rows = np.lib.format.open_memmap(path, "w+", np.float32, (n, *SHAPES[kind]))
        for start, part in parts_of(n, SHAPES[kind]):
            rows[start : start + len(part)] = part
    return path


def parquet_file(n, kind, folder):
    """Return the same as a parquet file of one column per value."""
    path = folder / f"{kind}, {n}.parquet"
    if not path.exists():
        names = [f"x{i}" for i in range(np.prod(SHAPES[kind]))]
        schema = pa.schema([(name, pa.float32()) for name in names])
        with pq.ParquetWriter(path, schema) as parquet:
            for _, part in parts_of(n, SHAPES[kind]):
                columns = [*part.reshape(len(part), -1).T]
                parquet.write_table(pa.table(columns, schema=schema))
    return path


def stack_of_files(n, kind, folder):
    """Return the same as a folder of files, as ``da.to_npy_stack`` leaves them."""
    path = folder / f"{kind}, {n}, stack"
    if not path.exists():
        path.mkdir()
        sizes = []
        for _, part in parts_of(n, SHAPES[kind]):
            np.save(path / f"{len(sizes)}.npy", part)
            sizes.append(len(part))
        chunks = (tuple(sizes), *((size,) for size in SHAPES[kind]))
        info = {"chunks": chunks, "dtype": np.dtype(np.float32), "axis": 0}
        (path / "info").write_bytes(pickle.dumps(info))
    return path


def read_block(block, scorer):
    """Return the scores of rows, as a worker reads them."""
    return scorer.score_samples(block)


def reader(scorer, source, n, kind, folder):
    """Return a function that reads n rows from a source, which is written before."""
    place = {"parquet parts": parquet_file, "dask": stack_of_files}.get(source, array_file)
    path = place(n, kind, folder)
    X = np.load(path) if source == "array" else None

    def from_array():
        return scorer.score_samples(X)

    def from_map():
        return scorer.score_samples(np.load(path, mmap_mode="r"))

    def from_dataset():
        return scorer.score_samples(OpenedRows(path, n))

    def from_parquet():
        # Buffers that are filled ahead would hold the whole file in the end.
        parts = pq.ParquetFile(path, pre_buffer=False).iter_batches(batch_size=PART)
        scores = [
            scorer.score_samples(part.to_pandas().to_numpy().reshape(-1, *SHAPES[kind]))
            for part in parts
        ]
        return np.concatenate(scores)

    def from_dask():
        blocks = da.from_npy_stack(path)
        scores = blocks.map_blocks(
            read_block,
            scorer=dask.delayed(scorer),  # which is not sent with every block
            drop_axis=list(range(1, blocks.ndim)),
            dtype="float32",
            meta=np.empty(0, "float32"),
        )
        return scores.compute()

    works = (from_array, from_map, from_dataset, from_parquet, from_dask)
    return dict(zip(SOURCES, works, strict=True))[source]


@contextmanager
def workers(folder):
    """Start two workers of one thread each, and yield a client."""
    settings = {"distributed.scheduler.work-stealing": False, "array.slicing.split-large-chunks": 0}
    with (
        dask.config.set(settings),
        LocalCluster(
            n_workers=2,
            threads_per_worker=1,
            dashboard_address=None,
            local_directory=str(folder),
        ) as cluster,
        Client(cluster) as client,
    ):
        client.run(torch.set_num_threads, 1)
        yield client


def processor_seconds(client):
    """Return what this process and the workers have taken so far."""
    of_workers = [] if client is None else client.run(time.process_time).values()
    return time.process_time() + sum(of_workers)


# ------------------------------------------------------------------------------------- memory


def anonymous_mib():
    """Return the memory of this process that no file stands behind."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("RssAnon:")[1].split()[0]) / 1024


class Watch:
    """Looks at the anonymous memory of its process again and again, in a thread."""

    def __init__(self):
        self.peak, self._is_on = anonymous_mib(), True
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()

    def _look(self):
        while self._is_on:
            self.peak = max(self.peak, anonymous_mib())
            time.sleep(SAMPLED)

    def stop(self):
        """Return the peak."""
        self._is_on = False
        self._thread.join()
        return max(self.peak, anonymous_mib())


def begin_watch(dask_worker):
    """Begin to watch a worker, and return what it takes now."""
    dask_worker.watch = Watch()
    return anonymous_mib()


def end_watch(dask_worker):
    """Return the peak of a worker."""
    return dask_worker.watch.stop()


def added_mib(read, client):
    """Return what reading adds to the memory: of a worker, the one that added more."""
    if client is None:
        before, watch = anonymous_mib(), Watch()
        read()
        return watch.stop() - before
    before = client.run(begin_watch)
    read()
    return max(peak - before[worker] for worker, peak in client.run(end_watch).items())


# ----------------------------------------------------------------------------- what is measured


def rates(name, kind, folder):
    """Return rows per processor second of every source, the best of two rounds in turns."""
    scorer = fitted(name, kind, folder)
    few = FEW // 4 if kind == IMAGES else FEW
    read = reader(scorer, "array", few, kind, folder)
    read()  # the bank is embedded
    start = time.process_time()
    read()
    seconds_of_row = (time.process_time() - start) / few
    n = int(np.clip(round(SECONDS / seconds_of_row, -3), few, 10 * PART))
    # Of images, what the network computes takes much longer than any way of opening a file.
    sources = SOURCES[:3] if kind == IMAGES else SOURCES
    seconds = {source: [] for source in sources}
    with workers(folder) if "dask" in sources else nullcontext() as client:
        works = {source: reader(scorer, source, n, kind, folder) for source in sources}
        if client is not None:
            reader(scorer, "dask", few, kind, folder)()  # workers import
        for _ in range(2):
            for source, work in works.items():
                before = processor_seconds(client)
                work()
                seconds[source].append(processor_seconds(client) - before)
    return {
        "rows": n,
        "rows_per_second": {source: n / min(times) for source, times in seconds.items()},
    }


def memory(name, source, kind, folder, sizes):
    """Return the MiB that reading adds at both sizes, after a few rows."""
    scorer = fitted(name, kind, folder)
    n_bytes = 4 * np.prod(SHAPES[kind])
    found = {"rows": sizes, "file_mib": [n * n_bytes / 2**20 for n in sizes], "added_mib": []}
    with workers(folder) if source == "dask" else nullcontext() as client:
        reader(scorer, source, FEW, kind, folder)()
        for n in sizes:
            read = reader(scorer, source, n, kind, folder)
            found["added_mib"].append(added_mib(read, client))
    return found


def measure(what, *words):
    """Return one cell, in a process of its own."""
    warnings.simplefilter("ignore")
    *words, _device = words
    if what == "rates":
        name, kind, folder = words
        return plain(rates(name, kind, Path(folder)))
    name, where, folder, *sizes = words
    source, kind = where.split("; ")
    return plain(memory(name, source, kind, Path(folder), [int(n) for n in sizes]))


def main():
    parser = argument_parser(__doc__, name="reading_{device}", quick=True)
    args = parse(parser, measure)
    results = results_so_far(args)
    settings = {
        "fitted_rows": FITTED,
        "images_trained_on": TRAINED,
        "checkpoints": EPOCHS,
        "max_bank": BANK,
        "pool": POOL,
        "rows_of_a_part": PART,
    }
    with tempfile.TemporaryDirectory() as folder:
        cells = [("rates", name, kind) for kind in SHAPES for name in SCORERS]
        cells.remove(("rates", SLOW[-1], IMAGES))
        cells += [("memory", "dynamics", f"{source}; {TABLE}") for source in SOURCES[1:]]
        cells += [("memory", "dynamics", f"memory map; {WIDE}")]
        # The parts of the others' rows are those of its rows.
        cells += [("memory", name, f"memory map; {TABLE}") for name in [*SCORERS][1:-1]]
        for what, name, where in cells:
            if where in results.get(what, {}).get(name, {}):
                continue
            sizes = (SOME, MANY_SLOW if name in SLOW else MANY)
            sizes = (2 * FEW, 4 * FEW) if args.quick else sizes
            words = () if what == "rates" else sizes
            found = in_fresh_process(args, what, name, where, folder, *words)
            results.setdefault(what, {}).setdefault(name, {})[where] = found
            show(f"{what}; {name}; {where}", found)
            write_results(args, results, settings=settings)


if __name__ == "__main__":
    main()
