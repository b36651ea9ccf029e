"""What the measuring scripts have in common: building, starting, pairs with a floor, a table.

Figures drift with the machine and the hour, so each is taken beside a floor, right before or after it.
What counts is the ratio, and of several pairs the median.
"""

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Callable, Optional

REPOSITORY = Path(__file__).resolve().parent.parent
SERVER = REPOSITORY / "target/release/iaqverse"
TOOLS_TARGET = REPOSITORY / "target/bench-tools"
READY_SECONDS_MAX = 30


class CannotMeasure(Exception):
    pass


@dataclass(frozen=True)
class Figure:
    title: str
    read: Callable[[dict], float]
    at_most: Optional[float] = None
    at_least: Optional[float] = None
    # To the floor; otherwise the server's own value counts.
    is_ratio: bool = False
    # Which of the values of all pairs is held against the target.
    judged: Callable = median

    def target(self):
        return f"≤ {self.at_most:g}" if self.at_least is None else f"≥ {self.at_least:g}"

    def is_reached(self, values):
        value = self.judged(values)
        return value <= self.at_most if self.at_least is None else value >= self.at_least


def build():
    tools = os.environ.get("BENCH_TOOLS")
    if not tools:
        raise CannotMeasure("BENCH_TOOLS must be the folder of the measuring programs, load and limit")
    manifest = Path(tools) / "Cargo.toml"
    if not manifest.is_file():
        raise CannotMeasure(f"BENCH_TOOLS: {manifest} is missing")
    for arguments in (
        ["--manifest-path", manifest, "--target-dir", TOOLS_TARGET],
        ["--manifest-path", REPOSITORY / "Cargo.toml", "--target-dir", SERVER.parent.parent],
    ):
        if subprocess.run(["cargo", "build", "--release", "--locked", *arguments]).returncode != 0:
            raise CannotMeasure("cargo build failed")


def environment(settings):
    """Settings of whoever calls this must not change what is measured."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("IAQ_")}
    return kept | settings


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def is_listening(port):
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


def is_live(port):
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/health/live", timeout=1) as response:
            return response.status == 200
    except OSError:
        return False


@contextmanager
def running(command, port, is_ready, environment=None):
    """A process while it is measured; what it writes is shown when it fails."""
    with tempfile.TemporaryFile() as output:

        def failed(what):
            output.seek(0)
            shown = output.read()[-4000:].decode(errors="replace")
            return CannotMeasure(f"{Path(command[0]).name} {what}\n{shown}")

        process = subprocess.Popen(command, env=environment, stdout=output, stderr=output)
        try:
            deadline = time.monotonic() + READY_SECONDS_MAX
            while not is_ready(port):
                if process.poll() is not None:
                    raise failed(f"ended with {process.returncode}")
                if time.monotonic() > deadline:
                    raise failed(f"was not ready within {READY_SECONDS_MAX} s")
                time.sleep(0.02)
            yield process
            if process.poll() is not None:
                raise failed(f"ended with {process.returncode} while it was measured")
        finally:
            process.terminate()
            try:
                process.wait(READY_SECONDS_MAX)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def number(value):
    """Three digits that count."""
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"


def ratio(figure, floor, server):
    divisor = figure.read(floor)
    # Too little was counted to say anything, and what is not a number reaches no target.
    return figure.read(server) / divisor if divisor else float("nan")


HEADINGS = ("", "figure", "server", "floor", "min", "median", "max", "target", "")
TEXT_COLUMNS = (0, 1, 7, 8)


def table_lines(title, figures, runs):
    """A line for each figure; `runs` are pairs of the floor's result, or None, and the server's."""
    for index, figure in enumerate(figures):
        servers = [figure.read(server) for _, server in runs]
        if figure.is_ratio:
            floor = number(median(figure.read(floor) for floor, _ in runs))
            values = [ratio(figure, floor, server) for floor, server in runs]
        else:
            floor = ""
            values = servers
        unit = " ×" if figure.is_ratio else ""
        yield (
            title if index == 0 else "",
            figure.title,
            number(median(servers)),
            floor,
            number(min(values)) + unit,
            number(median(values)) + unit,
            number(max(values)) + unit,
            figure.target(),
            "reached" if figure.is_reached(values) else "NOT REACHED",
        )


def print_table(lines):
    lines = [HEADINGS, *lines]
    widths = [max(map(len, column)) for column in zip(*lines)]
    for line in lines:
        cells = [
            cell.ljust(width) if column in TEXT_COLUMNS else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(line, widths))
        ]
        print("  ".join(cells).rstrip())


def pairs_wanted():
    try:
        pairs = int(os.environ.get("PAIRS", "5"))
    except ValueError:
        pairs = 0
    if pairs < 1:
        raise CannotMeasure("PAIRS must be a number from 1")
    return pairs


def report(lines, warnings):
    print_table(lines)
    if warnings:
        print("\nATTENTION: these figures are not clean")
        print("\n".join(f"  !! {warning}" for warning in warnings))


def busy_warnings():
    busy = os.getloadavg()[0]
    return [f"others were busy on this machine at the start: load average {busy:.1f}"] if busy > 1 else []


def run(main):
    """Runs `main` so that whatever it started is ended with it."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    try:
        main()
    except (CannotMeasure, OSError, ValueError, subprocess.SubprocessError) as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        sys.exit(130)
