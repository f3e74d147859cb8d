"""Users or items as sums of what is known of them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

from hybridrec.deep.fields import FieldTable, Layout
from hybridrec.deep.networks.sides import INITIAL_STD, Embeddings, Inputs
from hybridrec.types import Floats

ROWS_AT_ONCE = 4096


class FieldSum(nn.Module):  # type: ignore[misc]  # torch's types are not followed: they cost mypy a minute
    """The sum of the embeddings of all fields and a projection of the dense numbers; zero where nothing is known."""

    def __init__(self, layout: Layout, dims: int) -> None:
        super().__init__()
        self.fields = Embeddings(layout, dims)
        self.dense = nn.Parameter(torch.randn(layout.n_dense, dims) * INITIAL_STD)

    def forward(self, rows: Inputs) -> Tensor:
        """Return (n, dims)."""
        return self.fields(rows).sum(dim=1) + rows.dense @ self.dense


def embed(side: Callable[[Inputs], Tensor], table: FieldTable) -> Floats:
    """Embed each row by one side of the network, float32 (n_rows, dims)."""
    rows = np.arange(len(table.codes))
    with torch.no_grad():
        parts = [side(Inputs.of(table.take(rows[start : start + ROWS_AT_ONCE]))) for start in range(0, len(rows), ROWS_AT_ONCE)]
    vectors_of_all: Floats = torch.cat(parts).numpy()
    return vectors_of_all
