"""Do the work of the PostgreSQL image's entry point for Debian's server: an empty data folder is set up, then init scripts run once."""

from __future__ import annotations

import shlex
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

from hybridrec_local.daemon import CannotStart

SECONDS = 120


def programs() -> list[str]:
    """Return the folder with the programs of the newest version that this machine has; Debian does not put it on the path."""
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name))
    return [str(folders[-1])] if folders else []


def initialise(environment: Mapping[str, str], user: str | None, address: str, scripts: Path) -> None:
    """Set up the folder PGDATA unless that was done. environment: of the service, see the image's own description.

    user: whom root becomes for it. scripts: folder with the files of /docker-entrypoint-initdb.d.
    """
    data = Path(environment["PGDATA"])
    if (data / "PG_VERSION").exists():
        return
    if not programs():
        raise CannotStart("PostgreSQL is not on this machine; run .ci/install postgresql")
    superuser = environment["POSTGRES_USER"]
    password = Path(environment["POSTGRES_PASSWORD_FILE"])
    client = dict(environment) | {"PGHOST": address, "PGUSER": superuser, "PGDATABASE": superuser, "PGPASSWORD": password.read_text()}

    def run(*command: str) -> None:
        done = subprocess.run(
            command, cwd=data, env=client, user=user, group=user, capture_output=True, text=True, timeout=SECONDS, check=False
        )
        if done.returncode:
            raise CannotStart(f"{command[0]} has failed:\n{done.stdout}{done.stderr}")

    try:
        options = shlex.split(environment.get("POSTGRES_INITDB_ARGS", ""))
        run("initdb", f"--username={superuser}", f"--pwfile={password}", *options)
        # the image has a folder for sockets; this machine's belongs to its own server
        with (data / "postgresql.auto.conf").open("a") as out:
            out.write("unix_socket_directories = ''\n")
        run("pg_ctl", "--wait", f"--log={data}/init.log", f"--options=-c listen_addresses={address}", "start")
        for script in sorted(scripts.iterdir()):
            run("psql", "--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1", f"--file={script}")
        run("pg_ctl", "--wait", "--mode=fast", "stop")
    except BaseException:
        subprocess.run(
            ["pg_ctl", "--wait", "--mode=immediate", "stop"], env=client, user=user, group=user, capture_output=True, check=False
        )
        for entry in data.iterdir():  # what is half done would pass for done
            shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
        raise
