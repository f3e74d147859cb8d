"""Hybridisation strategies: one file each, all judged every night on fold eval.

A member has

    @dataclass(frozen=True)
    class Config: ...
    def score(pool: Pool, config: Config) -> Array      # float32 (n_rows,), higher is better

and may have `def fit(pool: Pool, labels: Array, config: Config, folder: Path, seed: int) -> None` with `load`, when it learns on
fold rank. A pool is the same object on every fold: the candidates of some users with named feature columns.
"""
