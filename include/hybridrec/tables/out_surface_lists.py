"""The published lists of the surfaces besides the night's own one."""

from hybridrec.tables import Column, Table
from hybridrec.tables.out_recommendations import TABLE as LISTS

TABLE = Table(
    name="out_surface_lists",
    doc="One row per surface of [surfaces.<name>] and user, in the form of recommendations; empty without such surfaces.",
    columns=(
        Column("surface", "string", "Surface, as hybridrec.toml names it."),
        Column("user_id", "string", "Identifies the user; empty for the list of unknown users."),
        *LISTS.columns[1:],
    ),
    key=("surface", "user_id"),
)
