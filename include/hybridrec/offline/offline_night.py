"""The order of the jobs of a night over a folder of data, from the data to judged lists."""

from __future__ import annotations

import json
import logging
import os
import shutil
from dataclasses import asdict
from pathlib import Path

from hybridrec.base import extensions
from hybridrec.base.config import SplitMethod
from hybridrec.base.settings import Settings
from hybridrec.evaluation.promotion import write_policy_of
from hybridrec.execution import spark
from hybridrec.ingest.quality import accept_checked
from hybridrec.offline.data import adapt, add_named_by_events
from hybridrec.offline.exported_lists import write_candidates, write_recommendations
from hybridrec.offline.steps import Steps
from hybridrec.runs.run import MANIFEST, SPLITS, Run
from hybridrec.storage import store

log = logging.getLogger(__name__)
SOURCE, RUN = "files", "benchmark"
ANY_RATING = 0.01
SEARCH_SECONDS = 120  # for all models together, on each core
TABLES = ("core_items", "core_users", "core_events")


class Night:
    """One pass over a folder; see hybridrec.offline."""

    def __init__(self, data: Path, out: Path, split: SplitMethod, k: int) -> None:
        self.data, self.out, self.split, self.k = data, out, split, k
        self.settings = Settings.from_env()
        self.delivery = self.settings.home / "delivery"
        environment = {"HYBRIDREC_HOME": str(self.settings.home), spark.SESSION_VARIABLE: RUN, "HYBRIDREC_THREADS": "1"}
        environment |= {"HYBRIDREC_FILES": str(self.delivery)}
        self.steps = Steps(out / "logs", environment, self.settings.threads)

    def run(self) -> None:
        """Run all steps; the Spark server is always stopped."""
        self.out.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(self.settings.home, ignore_errors=True)
        self.settings.home.mkdir(parents=True)
        try:
            self._ingest()
            self._prepare()
            self._search()
            self._fit()
            self._judge()
            self._write()
        finally:
            spark.stop_server(self.settings, RUN)

    def _ingest(self) -> None:
        with self.steps.step("read the data"):
            adapt(self.data, self.delivery, self.split)
            (self.settings.home / "hybridrec.toml").write_text(self._options())
            self._add_named_by_events()
        self.steps.run("land", [("land_source", "--source", SOURCE)])
        for table in TABLES:
            self.steps.run(f"clean {table}", [("clean_table", "--source", SOURCE, "--table", table)])
            accept_checked(self.settings, SOURCE, table)  # the evaluation has used the data

    def _add_named_by_events(self) -> None:
        """Add the named items on the night's Spark server, which is started for it; this process's session ends here."""
        os.environ[spark.SESSION_VARIABLE] = RUN
        session = spark.session()
        add_named_by_events(session, self.delivery)
        session.stop()

    def _options(self) -> str:
        """Return the options that differ from a night: split, depth, any number of events per day, every rating is a hit.

        The latter is how public test sets are made, and the night's own judgement has to agree with theirs.
        """
        night = {"split": f'"{self.split}"', "rules_depth": self.k, "max_events_per_day": 1_000_000_000, "liked_from": ANY_RATING}
        return "[night]\n" + "".join(f"{name} = {value}\n" for name, value in night.items())

    def _prepare(self) -> None:
        self._open()
        for name in ("build_interactions", "build_features"):
            self.steps.run(name.replace("_", " "), [(name, "--run-id", RUN)])

    def _search(self) -> None:
        searched = [name for name, module in extensions.modules("models").items() if getattr(module, "SEARCH", {})]
        seconds = SEARCH_SECONDS * self.steps.at_once // max(len(searched), 1)
        commands = [("tune_model", "--run-id", RUN, "--model", name, "--seconds", str(seconds)) for name in searched]
        self.steps.run("search options", commands, optional=True)
        (Run.open(RUN).folder / MANIFEST).unlink()  # to be opened with what was found: the tables so far depend on no model's options
        self._open()

    def _open(self) -> None:
        self.steps.run("open run", [("open_run", "--run-id", RUN, "--source", SOURCE, "--no-publish")])

    def _fit(self) -> None:
        models = Run.open(RUN).manifest.models
        commands = [("train_model", "--run-id", RUN, "--model", name, "--split", split) for name in models for split in SPLITS]
        self.steps.run("train models", commands, optional=True)
        for split in SPLITS:
            self.steps.run(f"generate candidates {split}", [("generate_candidates", "--run-id", RUN, "--split", split)])

    def _judge(self) -> None:
        self.steps.run("check leaks", [("check_leaks", "--run-id", RUN)])
        self.steps.run("train ranker", [("train_ranker", "--run-id", RUN)])
        self.steps.run("evaluate", [("evaluate", "--run-id", RUN)])
        run = Run.open(RUN)
        with run.staged("promotion") as folder:  # there is no champion to compare with
            write_policy_of(run, folder / "policy")
        self.steps.run("rank candidates", [("rank_candidates", "--run-id", RUN)])

    def _write(self) -> None:
        run = Run.open(RUN)
        with self.steps.step("write recommendations"):
            n_rows = write_recommendations(run, self.out / "recommendations.parquet", self.k)
        with self.steps.step("write candidates"):
            write_candidates(run, self.out, self.k, self.steps.at_once)
        self.steps.run("write report", [("write_report", "--run-id", RUN)])
        shutil.copyfile(run.artefact("report") / "report.html", self.out / "report.html")
        report = json.loads((run.artefact("report") / "report.json").read_text())
        store.write_json(self.out / "report.json", report | {"stages": [asdict(step) for step in self.steps.done]})
        self._say_costs(n_rows)

    def _say_costs(self, n_rows: int) -> None:
        for step in self.steps.done:
            log.info("%-36s %7.1f s %7.0f MiB", step.name, step.seconds, step.peak_mib)
        seconds = sum(step.seconds for step in self.steps.done)
        peak = max(step.peak_mib for step in self.steps.done)
        log.info("%d rows in %s; %.0f s, at most %.0f MiB at a time", n_rows, self.out / "recommendations.parquet", seconds, peak)
