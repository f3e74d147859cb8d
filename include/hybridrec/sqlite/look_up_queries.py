"""Queries of look-ups, each a single one by an index."""

from __future__ import annotations

from hybridrec.versions.publications import LISTED, definition, drawn_columns


def _list_query(view: str, condition: str, drawn: tuple[str, ...]) -> str:
    return f"""
SELECT r.item_ids, r.scores, r.reasons, r.sources,
       (SELECT json_group_object(i.item_id, i.title) FROM json_each(r.item_ids) AS e JOIN items AS i ON i.item_id = e.value),
       r.reason, r.shortfall, r.run_id, r.version, r.generated_at, r.valid_until, {drawn_columns("r", drawn)}
FROM {view} AS r WHERE {condition}
"""  # noqa: S608  names come from definitions


def _list_queries(view: str, condition: str) -> tuple[str, str]:
    """Return the query of a list, and the one for a view that an earlier release has made."""
    return _list_query(view, condition, definition(view).column_names), _list_query(view, condition, ())


READ_USER = _list_queries("recommendations", "r.user_id = ?")
READ_SURFACE = _list_queries("surface_lists", "r.surface = ? AND r.user_id = ?")
READ_SIMILAR = """
SELECT s.item_ids, s.scores,
       (SELECT json_group_object(i.item_id, i.title) FROM json_each(s.item_ids) AS e JOIN items AS i ON i.item_id = e.value),
       s.reason, s.run_id, s.version, s.generated_at, s.valid_until
FROM similar_items AS s WHERE s.item_id = ?
"""
READ_POPULAR = """
SELECT l.rank, l.item_id, (SELECT i.title FROM items AS i WHERE i.item_id = l.item_id), l.score,
       l.run_id, l.version, l.generated_at, l.valid_until
FROM popular_items AS l WHERE l."window" = ? AND l.rank <= ? ORDER BY l.rank
"""
READ_LISTS = {
    name: f"""
SELECT t.{definition(name).key[0]}, t.{ids}, t.scores,
       (SELECT json_group_object(i.item_id, i.title) FROM json_each(t.{ids}) AS e JOIN items AS i ON i.item_id = e.value),
       t.run_id, t.version, t.generated_at, t.valid_until
FROM json_each(?) AS k JOIN {name} AS t ON t.{definition(name).key[0]} = k.value ORDER BY k.key
"""  # noqa: S608  names come from definitions
    for name, ids in LISTED.items()
}
READ_TRENDING = """
SELECT l.rank, l.item_id, (SELECT i.title FROM items AS i WHERE i.item_id = l.item_id), l.score, l.window_days,
       l.run_id, l.version, l.generated_at, l.valid_until
FROM trending AS l WHERE l.rank <= ? ORDER BY l.rank
"""
