"""Queries of look-ups, each a single one by an index."""

from __future__ import annotations

from hybridrec.versions.publications import LISTED, definition, drawn_columns

# The views are locked in the order in which a query names them, and a switch replaces them in that of PUBLISHED: `items` comes last.
TITLES = "(SELECT json_object_agg(i.item_id, i.title) FROM hybridrec.items AS i WHERE i.item_id = ANY ({}.item_ids))"


def _list_query(view: str, condition: str, drawn: tuple[str, ...]) -> str:
    return f"""
SELECT r.item_ids, r.scores, r.reasons, r.sources, {TITLES.format("r")},
       r.reason, r.shortfall, r.run_id, r.version, r.generated_at, r.valid_until, {drawn_columns("r", drawn)}
FROM hybridrec.{view} AS r WHERE {condition}
"""  # noqa: S608  names come from definitions


def _list_queries(view: str, condition: str) -> tuple[str, str]:
    """Return the query of a list, and the one for a view that an earlier release has made."""
    return _list_query(view, condition, definition(view).column_names), _list_query(view, condition, ())


READ_USER = _list_queries("recommendations", "r.user_id = %s")
READ_SURFACE = _list_queries("surface_lists", "r.surface = %s AND r.user_id = %s")
READ_SIMILAR = f"""
SELECT s.item_ids, s.scores, {TITLES.format("s")}, s.reason, s.run_id, s.version, s.generated_at, s.valid_until
FROM hybridrec.similar_items AS s WHERE s.item_id = %s
"""  # noqa: S608
READ_POPULAR = """
SELECT l.rank, l.item_id, (SELECT i.title FROM hybridrec.items AS i WHERE i.item_id = l.item_id), l.score,
       l.run_id, l.version, l.generated_at, l.valid_until
FROM hybridrec.popular_items AS l WHERE l."window" = %s AND l.rank <= %s ORDER BY l.rank
"""
READ_LISTS = {
    name: f"""
SELECT t.{definition(name).key[0]}, t.{ids}, t.scores,
       (SELECT json_object_agg(i.item_id, i.title) FROM hybridrec.items AS i WHERE i.item_id = ANY (t.{ids})),
       t.run_id, t.version, t.generated_at, t.valid_until
FROM hybridrec.{name} AS t WHERE t.{definition(name).key[0]} = ANY (%s::text[])
"""  # noqa: S608  names come from definitions
    for name, ids in LISTED.items()
}
READ_TRENDING = """
SELECT l.rank, l.item_id, (SELECT i.title FROM hybridrec.items AS i WHERE i.item_id = l.item_id), l.score, l.window_days,
       l.run_id, l.version, l.generated_at, l.valid_until
FROM hybridrec.trending AS l WHERE l.rank <= %s ORDER BY l.rank
"""
