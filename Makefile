# The commands of this project, the same at home and in CI. `make` alone lists them.
#
#   PYTHON=python3.13 VENV=.venv-3.13 make test     use another Python than the first one found

VENV ?= .venv
PYTHON ?= $(shell for python in python3 python3.14 python3.13 python3.12 python3.11; do \
	$$python -c "import sys; sys.exit(sys.version_info < (3, 11))" 2>/dev/null && echo $$python && exit; done)
BIN := $(VENV)/bin
CPUS := $(shell python3 -c "import os; print(os.cpu_count() or 2)" 2>/dev/null || echo 2)
# Test files that run in parallel: two more than there are processors, because each waits now and then.
JOBS ?= $(shell expr $(CPUS) + 2)
PYTEST = -m pytest --numprocesses $(JOBS) --dist loadfile --no-loadscope-reorder
COMPILE = $(VENV)-lock/bin/uv pip compile --quiet --universal --python-version 3.11 \
	--generate-hashes --no-emit-index-url --custom-compile-command "make lock" $(LOCK_FLAGS)

.DEFAULT_GOAL := help
.PHONY: help demo up shop test coverage test-quick test-faults test-shops test-lowest bench model docs check audit format \
	lock clean
# Tests start hundreds of processes, which start a fifth faster from compiled files. This overrides the shell's setting.
test coverage test-quick test-faults test-shops test-lowest: export PYTHONDONTWRITEBYTECODE =

help: ## List the commands
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  make \1\t/' | expand -t 20

demo: $(BIN)/.run ## Run a demo shop for half a minute on embedded servers; ARGS="--orders 500 --seconds 60"
	@$(BIN)/orders demo $(ARGS)

up: $(BIN)/.run ## Run Redis, worker, beat, the operators' page and Flower until Ctrl-C
	@$(BIN)/orders up $(ARGS)

shop: $(BIN)/.dev ## Run an example shop; ARGS=django, flask or fastapi
	@$(BIN)/python -m examples.shops.$(or $(ARGS),django)

test: $(BIN)/.dev ## Run the tests; ARGS="-k sweep"
	$(BIN)/python $(PYTEST) -m "not faults and not shops" $(ARGS)

coverage: $(BIN)/.dev ## Run the tests and report their coverage; a quarter slower
	@$(BIN)/coverage erase
	$(BIN)/coverage run $(PYTEST) -m "not faults and not shops" $(ARGS)
	@$(BIN)/coverage combine --quiet
	@$(BIN)/coverage report $(if $(ARGS),--fail-under=0)

test-quick: $(BIN)/.dev ## Run the tests that need no worker and no database server
	$(BIN)/python $(PYTEST) -m quick $(ARGS)

# Without coverage: `make coverage` covers enough without these tests, and what they break must run at full speed.
test-faults: $(BIN)/.dev ## Test failures of processes, servers and clocks, whole deployments and races; ARGS="-k beat"
	$(BIN)/python $(PYTEST) -m faults $(ARGS)

# They install packages, each into an environment of its own.
test-shops: $(BIN)/.dev ## Test with shop software as packaged: django-oscar, pretix; ARGS="-k oscar"
	$(BIN)/python $(PYTEST) -m shops $(ARGS)

# What depends on the packages: private parts, drivers, clients, Celery's processes, the two frameworks.
LOWEST = tests/unit tests/canaries tests/integration/aio tests/integration/schedule tests/integration/store \
	tests/integration/web tests/integration/cli tests/integration/test_commit.py tests/integration/test_publisher.py \
	tests/contrib/django/test_conf.py tests/contrib/django/test_transactions.py tests/contrib/flask/test_hooks.py \
	tests/contrib/flask/test_settings.py tests/contrib/flask/test_worker.py tests/acceptance/test_system.py

test-lowest: ## Run tests on the oldest packages that pyproject.toml allows, in .venv-lowest; ARGS="tests/unit"
	@$(MAKE) --no-print-directory VENV=$(VENV)-lowest $(VENV)-lowest/bin/.lowest
	$(VENV)-lowest/bin/python $(PYTEST) $(or $(ARGS),$(LOWEST))

bench: $(BIN)/.bench ## Measure this project and its peers; ARGS="--quick"
	@$(BIN)/python -m benchmarks $(ARGS)

docs: $(BIN)/.docs ## Build the documentation site, build/docs/index.html; a broken link is an error
	$(BIN)/mypy docs
	$(BIN)/sphinx-build --conf-dir docs --doctree-dir build/.doctrees --fresh-env --fail-on-warning --keep-going --nitpicky \
		--quiet . build/docs

model: $(BIN)/.bench ## Simulate larger deployments from measured costs; ARGS="run.json"
	@$(BIN)/python -m benchmarks.model $(ARGS)

check: $(BIN)/.dev ## Check style, types, import directions and dependencies
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/deptry .

audit: $(BIN)/.dev ## Check the pinned packages for known vulnerabilities
	@.ci/audit $(BIN)

format: $(BIN)/.dev ## Format the code
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

lock: ## Regenerate requirements/*.txt; LOCK_FLAGS=--upgrade
	$(PYTHON) -m venv $(VENV)-lock
	$(VENV)-lock/bin/pip install --quiet --require-hashes -r requirements/lock.txt
	$(COMPILE) pyproject.toml --extra embedded --extra web --group build -o requirements/run.txt
	$(COMPILE) pyproject.toml --all-extras --group build --group test --group check \
		-o requirements/dev.txt
	$(COMPILE) pyproject.toml --extra embedded --extra postgresql --group build --group bench -o requirements/bench.txt
	$(COMPILE) pyproject.toml --extra metrics --extra mysql --extra postgresql --extra web --extra webhooks --group build \
		-o requirements/image.txt
	$(COMPILE) pyproject.toml --all-extras --group build --group check --group docs -o requirements/docs.txt
	$(COMPILE) --group lock -o requirements/lock.txt
	$(COMPILE) pyproject.toml --extra django --extra postgresql --group oscar -o requirements/oscar.txt
	$(COMPILE) pyproject.toml --extra django --group pretix -o requirements/pretix.txt
	$(COMPILE) pyproject.toml --resolution lowest-direct --upgrade --all-extras --group build --group test \
		-o requirements/lowest.txt
	$(COMPILE) --group oldest -o requirements/oldest.txt
	$(COMPILE) --no-deps --group scheduler -o requirements/scheduler.txt

clean: ## Remove everything that the other commands created
	rm -rf $(VENV) $(VENV)-lock $(VENV)-lowest .orders build dist .coverage* .hypothesis .mypy_cache .pytest_cache .ruff_cache

$(BIN)/.run: requirements/run.txt pyproject.toml
	$(call install,run)

$(BIN)/.dev: requirements/dev.txt pyproject.toml
	$(call install,dev)
	@touch $(BIN)/.run

$(BIN)/.lowest: requirements/lowest.txt pyproject.toml
	$(call install,lowest)

$(BIN)/.bench: requirements/bench.txt pyproject.toml
	$(call install,bench)

$(BIN)/.docs: requirements/docs.txt pyproject.toml
	$(call install,docs)

# uv takes a quarter of pip's time. If only pip is configured with an index, pip installs.
uv = $(BIN)/uv pip install --quiet --python $(BIN)/python --compile-bytecode $(1) \
	|| $(BIN)/pip install --quiet --disable-pip-version-check $(1)

define install
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer is required, but none is on PATH: set PYTHON=…" >&2; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "Installing requirements/$(1).txt into $(VENV) …"
	@$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements/lock.txt
	@$(call uv,--require-hashes -r requirements/$(1).txt)
	@$(call uv,--no-deps --no-build-isolation --editable .)
	@touch $(BIN)/.$(1)
endef
