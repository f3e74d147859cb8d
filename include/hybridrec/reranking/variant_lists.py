"""The lists of users in experiments: each by the options of the user's variant, from the same candidates as all others.

A user whose variant differs also gets the night's own list, on PLAIN_SURFACE: what readers see at once if the experiment goes back.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from hybridrec.assignment.buckets import NOBODY
from hybridrec.assignment.variants import PLAIN_SURFACE, Variant
from hybridrec.base.surfaces import DEFAULT_SURFACE
from hybridrec.experiments.run_variants import Group, groups, read_groups
from hybridrec.policy.ranked_lists import user_blocks
from hybridrec.reranking.inputs import ListInputs
from hybridrec.reranking.published_lists import inputs_of, make_lists, on_surface
from hybridrec.reranking.rule_chain import active_rules
from hybridrec.runs.run import Run

if TYPE_CHECKING:
    import pyarrow as pa

BY_VARIANT = "of_variant"  # column that says whether a ranked row is of model_variant_ranked


def variant_batches(batches: Iterator[pa.RecordBatch], run: Run, folder: Path, of_users: Path, plain: bool) -> Iterator[pa.RecordBatch]:
    """Yield out_recommendations, or the rows of out_surface_lists with the night's own lists, for mapInArrow.

    batches: as for list_batches, with BY_VARIANT. folder: of write_inputs. of_users: of write_groups.
    plain: the night's own lists, of users whose variant differs.
    """
    import pyarrow as pa

    own, known, numbers = inputs_of(run, folder, DEFAULT_SURFACE), groups(run.manifest.experiments), read_groups(of_users)
    inputs = {number: variant_inputs(own, group.variant) for number, group in enumerate(known)} | {NOBODY: own}
    differs = [number for number, group in enumerate(known) if group.variant.differs]
    for block in user_blocks(batches):
        is_user = block["item_idx"].is_null()
        users, rows = block.filter(is_user).select(["user_idx", "user_id"]), block.filter(block["item_idx"].is_valid())
        of_block = np.asarray(numbers[users["user_idx"].to_numpy()])
        if plain:
            some = users.filter(pa.array(np.isin(of_block, differs)))
            made = [on_surface(make_lists(some, _ranked(rows, some, False), own), PLAIN_SURFACE)] if some.num_rows else []
        else:
            made = [_lists_of_groups(users, rows, of_block, known, inputs)]
        for lists in made:
            yield from lists.combine_chunks().to_batches()


def variant_inputs(inputs: ListInputs, variant: Variant) -> ListInputs:
    """Return the inputs for lists with a variant's options, the same for one that does not differ."""
    if not (variant.k or variant.without_rules or variant.rules):
        return inputs
    config = inputs.run.config
    options = config.extension_options.get("rules", {})
    options = options | {rule: options.get(rule, {}) | own for rule, own in variant.rules.items()}
    config = replace(config, extension_options={**config.extension_options, "rules": options})
    rules = tuple(rule for rule in active_rules(config) if rule.name not in variant.without_rules)
    slots = inputs.slots.within(variant.k or inputs.k) if inputs.slots else None
    return replace(inputs, surface_k=variant.k or inputs.surface_k, rules=rules, slots=slots)


def _lists_of_groups(
    users: pa.Table, rows: pa.Table, of_block: NDArray[np.int8], known: Sequence[Group], inputs: dict[int, ListInputs]
) -> pa.Table:
    """Return the lists of a block of users in their order, made group by group."""
    import pyarrow as pa

    parts, order = [], []
    for number in np.unique(of_block):
        at = np.flatnonzero(of_block == number)
        some, group = users.take(at), None if number == NOBODY else known[number]
        by_variant = bool(group and group.variant.strategy)
        lists = make_lists(some, _ranked(rows, some, by_variant), inputs[int(number)])
        parts.append(_named(lists, group) if group else lists)
        order.append(at)
    return pa.concat_tables(parts).take(np.argsort(np.concatenate(order)))


def _ranked(rows: pa.Table, users: pa.Table, by_variant: bool) -> pa.Table:
    """Return the users' rows in the form of model_ranked, of one of the two rankings."""
    import pyarrow as pa

    theirs = np.isin(rows["user_idx"].to_numpy(), users["user_idx"].to_numpy())
    wanted = theirs & (rows[BY_VARIANT].to_numpy(zero_copy_only=False) == by_variant)
    return rows.filter(pa.array(wanted)).drop_columns(["user_id", BY_VARIANT])


def _named(lists: pa.Table, group: Group) -> pa.Table:
    import pyarrow as pa

    for name, value in (("experiment", group.experiment), ("variant", group.variant.name)):
        column = pa.array([value] * lists.num_rows, pa.string())
        lists = lists.set_column(lists.column_names.index(name), lists.schema.field(name), column)
    return lists
