"""The task of graphs: what its network learns, and that it sees nothing of where and how an image lies."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tests.shared.lattice_images import PIXEL, image_of

from exitwave.benchmark.cases import Case
from exitwave.benchmark.classification import predict
from exitwave.config.benchmarks import SimulatedBenchmark
from exitwave.config.graphs import ATOMS, CENTRES, Graphs
from exitwave.data.preprocess import preprocess
from exitwave.training.examples import HeldExamples
from exitwave.training.graph_network import GatedConvolution, GraphNetwork, pairs_at
from exitwave.training.kinds import task_of
from exitwave.training.loop import train
from exitwave.training.networks import LoadedNetwork

CLASSES = ["hexagonal", "oblique", "rectangular", "rhombus", "square"]
MODEL = {
    "kind": "graphs",
    "target": {"column": "bravais"},
    "preprocessing": {"median": 1},
    "hidden": 24,
    "layers": 0,
    "epochs": 10,
    "batch_size": 8,
    "learning_rate": 4e-3,
}


def graphs_task(**changes):
    return task_of(Graphs.model_validate(MODEL | changes), {"classes": CLASSES})


def images(seeds):
    """Noisy lattices of all classes, turned by any angle, and the places of their classes."""
    rng = np.random.default_rng(seeds[0])
    drawn = [(name, rng.uniform(0, 7), rng.uniform(0.2, 0.8), seed) for seed in seeds for name in CLASSES]
    made = [image_of(name, angle, second, 3000, seed, size=128)[0] for name, angle, second, seed in drawn]
    return np.stack(made), np.arange(len(made)) % len(CLASSES)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    task = graphs_task()
    (shown, places), (held, truths) = images(range(12)), images(range(50, 55))
    examples = [
        HeldExamples.of([str(i) for i in range(len(part))], task.inputs({"counts": part}), aims)
        for part, aims in ((shown, places), (held, truths))
    ]
    settings = {"device": "cpu", "precision": "32", "threads": 1, "progress": lambda line: None}
    result = train(*examples, task, seed=1, checkpoint=tmp_path_factory.mktemp("graphs") / "checkpoint.pt", **settings)
    return task, result, held, truths


def logits(task, network, image):
    table = task.represented(preprocess(image[None], task.model.preprocessing))
    with torch.inference_mode():
        return network(torch.as_tensor(table)[:, None])[0].numpy()


def test_lattices_of_all_classes_are_told_apart_however_they_are_turned(trained):
    task, result, held, truths = trained
    found = [int(logits(task, result.network, image).argmax()) for image in held]
    assert np.mean(np.array(found) == truths) > 0.9
    assert result.history["validation_accuracy"].max() > 0.9


def test_a_transposed_turned_brighter_image_is_answered_alike(trained):
    task, result, held, _truths = trained
    for image in held[:5]:
        first = logits(task, result.network, image)
        for other in (image.T, image[::-1], np.rot90(image), 50 + 3 * image):
            np.testing.assert_allclose(logits(task, result.network, np.ascontiguousarray(other)), first, atol=0.02)


def test_an_image_without_atoms_is_named_nothing_and_none_beside_it_suffers(trained, caplog):
    task, result, held, truths = trained
    network = LoadedNetwork(result.network, task, PIXEL, {})
    block = SimulatedBenchmark(kind="simulated", datasets=["a"])
    for image, named in ((np.ones((128, 128), np.float32), len(CLASSES)), (held[0], truths[0])):
        given = predict(network, Case("a", image, np.array([0]), PIXEL, "a"), block, task)
        assert int(given.argmax()) == named
    assert "1 of 1 images have no graph, since fewer than 12 atoms were found" in caplog.text


def test_pairs_are_those_of_different_bonds_of_one_atom():
    rng = np.random.default_rng(0)
    there = torch.as_tensor(rng.random((7, 5)) < 0.5)
    atom = np.nonzero(there.numpy())[0]
    expected = {(i, j) for i in range(len(atom)) for j in range(len(atom)) if i != j and atom[i] == atom[j]}
    found = list(zip(*(one.tolist() for one in pairs_at(there)), strict=True))
    assert set(found) == expected
    assert len(found) == len(expected)


def test_a_convolution_is_its_equations():
    torch.manual_seed(0)
    layer = GatedConvolution(6)
    nodes, edges = torch.randn(4, 6), torch.randn(5, 6)
    start, end = torch.tensor([0, 0, 1, 3, 3]), torch.tensor([1, 2, 0, 2, 1])
    after, told = layer(nodes, edges, start, end)
    for n in range(4):
        gates, messages = [], []
        for m in (start == n).nonzero().flatten().tolist():
            seen = layer.own(nodes[n]) + layer.other(nodes[end[m]]) + layer.edge(edges[m])
            edge = edges[m] + torch.nn.functional.silu(layer.of_edges(seen))
            torch.testing.assert_close(told[m], edge)
            gates.append(torch.sigmoid(edge))
            messages.append(gates[-1] * (layer.told(nodes[end[m]]) + edge))
        mean = sum(messages) / (sum(gates) + 1e-6) if gates else 0
        torch.testing.assert_close(
            after[n], nodes[n] + torch.nn.functional.silu(layer.of_nodes(layer.kept(nodes[n]) + mean))
        )


def test_the_atoms_that_bonds_lead_to_are_not_rounded(tmp_path, monkeypatch):
    seen, forward = [], GraphNetwork.forward
    monkeypatch.setattr(GraphNetwork, "forward", lambda self, tables: seen.append(tables) or forward(self, tables))
    task = graphs_task()
    shown, places = images(range(1))
    examples = HeldExamples.of([str(i) for i in range(len(shown))], task.inputs({"counts": shown}), places)
    settings = {"device": "cpu", "precision": "bf16", "threads": 1, "progress": lambda line: None}
    train(examples, examples, task, seed=1, checkpoint=tmp_path / "checkpoint.pt", **settings)
    assert len(seen) > 1
    assert all(tables.dtype == torch.float32 for tables in seen)


def test_a_graph_without_a_bond_has_logits(trained):
    _task, result, *_ = trained
    table = torch.zeros(2, 1, ATOMS + CENTRES * 12, 4)
    table[:, :, ATOMS:, 0] = -1
    assert torch.isfinite(result.network(table)).all()
    assert torch.isfinite(result.network.train()(table)).all()
    result.network.eval()
