"""mlpc and its peers on the nets of nets.py, interleaved. README.md says how to read the table."""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from nets import NETS
from peers import peers_of

HERE = Path(__file__).resolve().parent
# The best of what peers offer: no page faults for large temporaries, huge pages as mlpc has them, no spinning while others
# are measured.
PEER_ENVIRONMENT = {
    "MALLOC_ARENA_MAX": "1",
    "MALLOC_TRIM_THRESHOLD_": str(1 << 30),
    "MALLOC_TOP_PAD_": str(1 << 28),
    "MALLOC_MMAP_THRESHOLD_": str(1 << 30),
    "GLIBC_TUNABLES": "glibc.malloc.hugetlb=1",
    "JAX_PLATFORMS": "cpu",
    "TF_CPP_MIN_LOG_LEVEL": "3",
}
PAUSE = 0.06  # seconds after each sample: by then the other processes' waiting threads sleep; ONNX Runtime's spin for 40 ms
NOT_INSTALLED = 3


class Contender:
    """A process that measures itself when asked, pinned to as many processors as it may have threads."""

    def __init__(self, name, command, threads, environment=None):
        processors = sorted(os.sched_getaffinity(0))[-threads:]
        environment = {**os.environ, **(environment or {})}
        for variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
            environment[variable] = str(threads)
        self.name = name
        self.samples = []
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
            preexec_fn=lambda: os.sched_setaffinity(0, processors),
        )

    def read(self):
        line = self.process.stdout.readline()
        if not line:
            status = self.process.wait()
            raise SystemExit(f"bench: {self.name} ended with status {status}") if status != NOT_INSTALLED else LookupError(self.name)
        return line

    def ask(self, span, pause=PAUSE):
        self.process.stdin.write(f"{span}\n")
        self.process.stdin.flush()
        answer = self.read()
        time.sleep(pause)
        return answer

    def sample(self, span):
        self.ask(span, pause=0)  # until sleeping threads have found a processor each
        self.samples.append(float(self.ask(span)))

    def close(self):
        self.process.stdin.close()
        self.process.wait()

    def time(self):
        return statistics.median(self.samples)


class Bench:
    def __init__(self, options):
        self.options = options
        self.rounds, self.span = (3, 1e4) if options.quick else (21, 3e4)  # samples; µs each
        self.work = tempfile.TemporaryDirectory()
        self.libraries = {}
        self.absent = set()
        self.rows = []

    def library(self, source):
        """The compiled net, and the seconds it took, cold."""
        if source not in self.libraries:
            path = f"{self.work.name}/{source}.so"
            begin = time.perf_counter()
            subprocess.run([self.options.mlpc, HERE / f"nets/{source}.net", "--no-cache", "-o", path], check=True)
            self.libraries[source] = path, time.perf_counter() - begin
        return self.libraries[source]

    def contenders(self, net, kind, threads):
        path, _ = self.library(net.source)
        entry = "train_step" if kind == "step" else "infer"
        ours = Contender("mlpc", [self.options.host, path, entry, str(threads), *map(str, net.dims)], threads)
        peers = []
        for name in [] if self.options.no_peers else peers_of(net, kind, self.options.quick):
            if name.split(".")[0] in self.absent:
                continue
            command = [sys.executable, HERE / "peers.py", name, net.name, kind, str(threads)]
            peer = Contender(name, command, threads, PEER_ENVIRONMENT)
            try:
                peer.read()
                peers.append(peer)
            except LookupError:
                self.absent.add(name.split(".")[0])
                print(f"{name} is not installed: its times are missing", file=sys.stderr)
        return ours, peers

    def measure(self, net, kind, threads, limits):
        ours, peers = self.contenders(net, kind, threads)
        peak_bytes = int(ours.read())
        for contender in [ours, *peers]:
            contender.ask(self.span)  # warm
        machine = []
        for _ in range(self.rounds):
            machine.append([float(word) for word in limits.ask(1).split()])
            for contender in [ours, *peers]:
                contender.sample(self.span)
        for contender in [ours, *peers]:
            contender.close()
        # Medians, as of the times: the clock moves within a run.
        peak, read, trip = (statistics.median(m[i] for m in machine) for i in range(3))
        best = min(peers, key=Contender.time, default=None)
        path, compile_seconds = self.library(net.source)
        row = {
            "net": net.name,
            "threads": threads,
            "kind": kind,
            "ours_us": ours.time(),
            "peer": best.name if best else None,
            "peer_us": best.time() if best else None,
            "ratio": best.time() / ours.time() if best else None,
            "peak_fraction": net.flops(kind) / (ours.time() * 1e3 * peak / (1 + net.double)) if peak > 0 else None,
            "compile_s": compile_seconds,
            "so_bytes": os.path.getsize(path),
            "peak_bytes": peak_bytes,
        }
        self.rows.append(row)
        self.print_row(net, row, peak, read, trip)

    def print_row(self, net, row, peak, read, trip):
        wanted = net.wanted if row["kind"] == "step" else None
        text = lambda value, form: "-" if value is None else format(value, form)
        print(
            f"{row['net']:18}{row['kind']:6}{row['threads']:2}{row['ours_us']:11.2f}{text(row['peer_us'], '11.2f'):>11}"
            f" {row['peer'] or '-':14}{text(row['ratio'], '6.2f'):>6}{text(wanted and wanted[row['threads'] > 1], '7g'):>7}"
            f"{text(row['peak_fraction'] and 100 * row['peak_fraction'], '6.0f'):>6}{peak:8.1f}{read:7.1f}{trip:7.2f}",
            flush=True,
        )

    def run(self):
        chosen = [n for n in NETS if self.options.only in (None, n.name)]
        if not chosen:
            raise SystemExit(f"bench: no net is called {self.options.only}")
        print(f"{'net':18}{'kind':6}{'T':>2}{'mlpc us':>11}{'peer us':>11} {'best peer':14}{'ratio':>6}{'wanted':>7}{'peak%':>6}{'GF/s':>8}{'GB/s':>7}{'trip us':>7}")
        for threads in self.options.threads:
            limits = Contender("limits", [self.options.host, "limits", str(threads)], threads)
            for net in chosen:
                for kind in net.kinds:
                    self.measure(net, kind, threads, limits)
            limits.close()
        if self.options.json:
            Path(self.options.json).write_text(json.dumps(self.rows, indent=1) + "\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mlpc", required=True, help="the tool")
    parser.add_argument("--host", required=True, help="bench_host")
    parser.add_argument("--only", metavar="NAME", help="one net")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--json", metavar="FILE")
    parser.add_argument("--quick", action="store_true", help="few, short samples, and no peer that compiles for seconds")
    parser.add_argument("--no-peers", action="store_true", help="mlpc alone")
    Bench(parser.parse_args()).run()


if __name__ == "__main__":
    main()
