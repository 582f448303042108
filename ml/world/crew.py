"""The same world on several processes: each lives and writes some of the shards; only budgets meet.

    with Crew(settings, seed, root, processes=3) as crew:
        crew.day(day)

Every process draws the catalogue for itself and owns its shards for as long as the world lasts. Between blocks of
hours it sends what they cost, (M, A) whole numbers, and is told who takes part: a few kilobytes. A process that fails
ends the simulation with its own error. It does not decide anything.
"""

from __future__ import annotations

import multiprocessing
from collections import Counter
from multiprocessing.connection import Connection
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np

from ml.world.life import live_blocks, open_budgets
from ml.world.settings import WorldSettings
from ml.world.shard import Shard, catalogue_of, shard_bounds
from ml.world.writer import DayWriter


class Worker:
    """Some shards with their writers; what a process of a crew runs, and what one process alone runs.

    Args:
        settings, seed: the world.
        root: where its logs go.
        numbers: of the shards.
    """

    def __init__(self, settings: WorldSettings, seed: int, root: Path, numbers: list[int]) -> None:
        catalogue = catalogue_of(settings, seed)
        self.shards = [Shard(settings, seed, number, catalogue) for number in numbers]
        self.writers = [DayWriter(root, shard) for shard in self.shards]

    def wake(self, day: int) -> None:
        """The day begins."""
        for shard in self.shards:
            shard.wake(day)

    def block(self, number: int, participation: np.ndarray) -> np.ndarray:
        """(M, A) what a block of hours cost."""
        found: np.ndarray = np.sum([shard.block(number, participation) for shard in self.shards], axis=0)
        return found

    def sleep(self, day: int) -> Counter[str]:
        """The day is over; its rows are written, unless it is of the warm-up. Returns rows by table."""
        rows: Counter[str] = Counter()
        for shard, writer in zip(self.shards, self.writers, strict=True):
            lived = shard.sleep()
            if day >= 0:
                rows += writer.write(day, lived)
        return rows


class Crew:
    """All shards of a world, on `processes` processes (this one, if it is one)."""

    def __init__(self, settings: WorldSettings, seed: int, root: Path, processes: int = 1) -> None:
        self.catalogue = catalogue_of(settings, seed)
        self.budgets = open_budgets(settings, self.catalogue)
        numbers = list(range(len(shard_bounds(settings))))
        processes = min(processes, len(numbers))
        if processes == 1:
            self.workers: list[Worker | Remote] = [Worker(settings, seed, root, numbers)]
        else:
            self.workers = [Remote(settings, seed, root, numbers[first::processes]) for first in range(processes)]

    def day(self, day: int) -> Counter[str]:
        """Live a day and write it; returns rows by table."""
        self._all("wake", day)
        live_blocks(self.budgets, self.catalogue, day, lambda *block: self._all("block", *block))
        return sum(self._all("sleep", day), Counter())

    def _all(self, what: str, *arguments: Any) -> list[Any]:
        """Have every worker do something; remote ones at the same time."""
        for worker in self.workers:
            if isinstance(worker, Remote):
                worker.send(what, *arguments)
        return [
            worker.receive() if isinstance(worker, Remote) else getattr(worker, what)(*arguments)
            for worker in self.workers
        ]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for worker in self.workers:
            if isinstance(worker, Remote):
                worker.close()


class Remote:
    """A worker in a process of its own."""

    def __init__(self, settings: WorldSettings, seed: int, root: Path, numbers: list[int]) -> None:
        context = multiprocessing.get_context("spawn")
        self._ours, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs, settings, seed, root, numbers), daemon=True)
        self._process.start()
        theirs.close()

    def send(self, what: str, *arguments: Any) -> None:
        """Ask for one method of `Worker`."""
        self._ours.send((what, arguments))

    def receive(self) -> Any:
        """Its answer.

        Raises:
            RuntimeError: the process is gone.
            Exception: whatever it raised there.
        """
        try:
            answer = self._ours.recv()
        except EOFError:
            self._process.join()
            raise RuntimeError(f"a process of the simulation ended with exit code {self._process.exitcode}") from None
        if isinstance(answer, BaseException):
            raise answer
        return answer

    def close(self) -> None:
        """End the process."""
        self._ours.close()
        self._process.join(5)
        if self._process.is_alive():
            self._process.terminate()
            self._process.join()


def _serve(pipe: Connection, settings: WorldSettings, seed: int, root: Path, numbers: list[int]) -> None:
    """Do what is asked until the pipe is closed."""
    worker: Worker | None = None
    while True:
        try:
            what, arguments = pipe.recv()
        except EOFError:
            return
        try:
            worker = worker or Worker(settings, seed, root, numbers)
            answer = getattr(worker, what)(*arguments)
        except Exception as error:
            answer = error
        pipe.send(answer)
