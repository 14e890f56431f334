"""The clock that hands measured times to pytest-benchmark."""

from typing import Any

from tests.benchmarks.reporting import Replay


def test_a_benchmark_sees_the_recorded_times():
    clock, seen = Replay(), []

    class Fake:
        def pedantic(self, run: Any, rounds: int) -> None:
            for _ in range(rounds):
                began = clock.read()
                run()
                seen.append(clock.read() - began)

    for recorded in ([0.25, 2.0, 0.5], [1e-9]):
        seen.clear()
        clock.hand_over(Fake(), recorded)
        assert seen == recorded
