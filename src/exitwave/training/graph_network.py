"""A network on the graph of the atoms of an image and on its line graph, whose nodes are the bonds of the first.

The layers are those of ALIGNN (K. Choudhary and B. DeCost, npj Comput. Mater. 7 (2021) 185), with layer normalisation
in place of that of batches, and with edges in what is told: where all bonds are alike, a mean of bonds says nothing of
their angles.

    e' = e + SiLU(N(A h_i + B h_j + C e)),    s = sigmoid(e') / sum_j sigmoid(e'),
    h' = h + SiLU(N(W h_i + sum_j s (V h_j + e'))).

On the graph h are atoms and e bonds. On the line graph h are bonds and e pairs of bonds that start from one atom: the
cosine of their angle and the logarithm of the ratio of their lengths. Nothing changes if the image is turned, mirrored
or scaled.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import silu

from exitwave.config.graphs import ATOMS, CENTRES, FEATURES, Graphs

STEPS = 40
"""Radial basis functions of a number."""
LONGEST = 8.0
"""Bonds from here on are alike [usual distance to the nearest atom]."""
SEEN = 0.33
"""Share of the atoms whose bonds are seen in a step of a training: each step others."""
RATIO = 1.6
"""Logarithm of the ratio of lengths, from which on pairs are alike."""


class Basis(nn.Module):
    """A number as Gaussians at even places, as far apart as they are wide, and a linear layer."""

    places: Tensor

    def __init__(self, low: float, high: float, features: int) -> None:
        super().__init__()
        self.register_buffer("places", torch.linspace(low, high, STEPS), persistent=False)
        self.width = (high - low) / (STEPS - 1)
        self.linear = nn.Linear(STEPS, features)

    def forward(self, values: Tensor) -> Tensor:
        """Features [n, features] of numbers [n]."""
        linear: Tensor = self.linear(torch.exp(-(((values[:, None] - self.places) / self.width) ** 2) / 2))
        return linear


class GatedConvolution(nn.Module):
    """Messages along edges, each let through as far as its edge says; see above."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.own, self.other, self.edge = (nn.Linear(features, features) for _ in range(3))
        self.kept, self.told = (nn.Linear(features, features) for _ in range(2))
        self.of_nodes, self.of_edges = nn.LayerNorm(features), nn.LayerNorm(features)

    def forward(self, nodes: Tensor, edges: Tensor, start: Tensor, end: Tensor) -> tuple[Tensor, Tensor]:
        """Nodes [n, features] and edges [m, features] after it; edges run between the nodes ``start`` and ``end``."""
        seen = self.own(nodes)[start] + self.other(nodes)[end] + self.edge(edges)
        edges = edges + silu(self.of_edges(seen))
        gates = torch.sigmoid(edges)
        empty = torch.zeros_like(nodes)
        sums = empty.index_add(0, start, gates * (self.told(nodes)[end] + edges))
        among = empty.index_add(0, start, gates)
        return nodes + silu(self.of_nodes(self.kept(nodes) + sums / (among + 1e-6))), edges


class GraphNetwork(nn.Module):
    """Logits of images from the tables of their graphs."""

    def __init__(self, model: Graphs, classes: int) -> None:
        super().__init__()
        width = model.hidden
        self.bonds = model.neighbours
        self.of_atom = nn.Sequential(nn.Linear(FEATURES, width), nn.SiLU(), nn.Linear(width, width))
        self.of_length, self.of_alike = Basis(0, LONGEST, width), nn.Linear(1, width)
        self.of_angle, self.of_ratio = Basis(-1, 1, width), Basis(-RATIO, RATIO, width)
        self.on_lines = nn.ModuleList(GatedConvolution(width) for _ in range(model.line_layers))
        self.on_atoms = nn.ModuleList(GatedConvolution(width) for _ in range(model.line_layers + model.layers))
        self.head = nn.Sequential(nn.Linear(2 * width, width), nn.SiLU(), nn.Linear(width, classes))

    def forward(self, tables: Tensor) -> Tensor:
        """Logits [n, classes] of tables [n, 1, rows, 4] (:func:`exitwave.data.atom_graphs.atom_graph`)."""
        number, drawn = len(tables), tables[:, 0, ATOMS:].reshape(-1, self.bonds, FEATURES)
        there = drawn[..., 0] >= 0
        if self.training:
            there = there & (torch.rand(len(there), 1, device=there.device) < SEEN)
        centre, slot = there.nonzero(as_tuple=True)
        end, x, y, alike = drawn[centre, slot].unbind(1)
        image = centre // CENTRES
        # Atoms that no bond touches have no part in anything.
        ends = image * ATOMS + end.long()
        starts = image * ATOMS + centre % CENTRES
        used, places = torch.unique(torch.cat([starts, ends]), return_inverse=True)
        start, stop = places[: len(starts)], places[len(starts) :]
        atoms = self.of_atom(tables[:, 0, :ATOMS].reshape(-1, FEATURES)[used].clamp(-10, 10))
        length = torch.hypot(x, y)
        bonds = silu(self.of_length(length) + self.of_alike(alike[:, None]))
        first, second = pairs_at(there)
        cosine = (x[first] * x[second] + y[first] * y[second]) / (length[first] * length[second])
        pairs = silu(self.of_angle(cosine) + self.of_ratio(torch.log(length[second] / length[first])))
        for place, on_atoms in enumerate(self.on_atoms):
            if place < len(self.on_lines):
                bonds, pairs = self.on_lines[place](bonds, pairs, first, second)
            atoms, bonds = on_atoms(atoms, bonds, start, stop)
        centres, of_image = torch.unique(starts), torch.unique(start)
        seen = [_means(atoms[of_image], centres // ATOMS, number), _means(bonds, image, number)]
        logits: Tensor = self.head(torch.cat(seen, dim=1))
        return logits


def pairs_at(there: Tensor) -> tuple[Tensor, Tensor]:
    """Bonds of all pairs of different bonds of one atom, from which bonds [atoms, slots] there are."""
    numbers = torch.cumsum(there.flatten(), 0).reshape(there.shape) - 1
    apart = ~torch.eye(there.shape[1], dtype=torch.bool, device=there.device)
    atom, first, second = (there[:, :, None] & there[:, None, :] & apart).nonzero(as_tuple=True)
    return numbers[atom, first], numbers[atom, second]


def _means(values: Tensor, image: Tensor, number: int) -> Tensor:
    """Means [number, features] over what belongs to each image; 0 where nothing does."""
    sums = values.new_zeros(number, values.shape[1]).index_add(0, image, values)
    counts = values.new_zeros(number).index_add(0, image, values.new_ones(len(image)))
    return sums / counts.clamp(min=1)[:, None]
