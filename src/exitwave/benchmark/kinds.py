"""The kinds of cases, each imported when it is asked for."""

from __future__ import annotations

from exitwave.benchmark.cases import Kind
from exitwave.config.benchmarks import (
    Benchmark,
    DatacubeBenchmark,
    LatticeBenchmark,
    MicrographBenchmark,
    SimulatedBenchmark,
    StrainBenchmark,
)


def cases_of(block: Benchmark) -> Kind:
    """Module of the cases of a benchmark."""
    match block:
        case SimulatedBenchmark():
            from exitwave.benchmark import held_out

            return held_out
        case MicrographBenchmark():
            from exitwave.benchmark import micrographs

            return micrographs
        case StrainBenchmark():
            from exitwave.benchmark import multilayers

            return multilayers
        case DatacubeBenchmark():
            from exitwave.benchmark import datacubes

            return datacubes
        case LatticeBenchmark():
            from exitwave.benchmark import known_lattices

            return known_lattices
    raise TypeError(f"there are no cases of {type(block).__name__}")
