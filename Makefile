# The main commands are `make demo` and `make test`; both work in a new checkout.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/ready
BENCH_VENV := .venv-bench
BENCH_READY := $(BENCH_VENV)/ready
# Options for `make bench`, such as BENCH=--quick; python -m benchmarks --help lists them.
BENCH ?=
# Rows of `make matrix`; without them it runs everything.
ROWS ?=

# Container images often set this, and then each of the many processes of the tests would compile the package again.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo test matrix faults rolling suites bench lint docs servers clean

demo: $(READY)
	$(BIN)/python examples/demo.py

test: $(READY) servers
	$(BIN)/pytest --numprocesses 2 --dist loadgroup

# Every test on every target, of which `make test` leaves out some (tests/doses.py), and then the rows of tests/versions.
# `make matrix ROWS="postgresql-18 python-3.14"` runs only these rows.
matrix: $(READY) servers
	$(if $(ROWS),,AXON_MATRIX=1 $(BIN)/pytest --numprocesses 2 --dist loadgroup)
	$(BIN)/python -m tests.versions $(ROWS)

# The fault tests with their full load, one hour at most; `make test` runs them with a smaller load.
faults: $(READY) servers
	AXON_FAULTS=1 timeout 3600 $(BIN)/pytest tests/faults tests/migrations/test_schema_lock.py -rP --show-capture=stdout

# The whole conformance suite of the previous release on the new schema; `make test` runs one file of it.
rolling: $(READY) servers
	AXON_ROLLING=1 $(BIN)/pytest tests/rolling

# The tests of openai-agents, from its source distribution, with AxonSession in place of its SQLiteSession. Tests of
# SQLiteSession's own attributes and tables are left out.
suites: $(READY)
	rm -rf build/suites && mkdir -p build/suites
	$(BIN)/pip download --quiet --no-deps --no-binary openai-agents --constraint constraints.txt --dest build/suites openai-agents
	tar --extract --gzip --file build/suites/openai_agents-*.tar.gz --directory build/suites --strip-components 1
	cd build/suites && PYTHONPATH=$(CURDIR):$(CURDIR)/tests/integrations/suites:. $(CURDIR)/$(BIN)/python -m pytest \
		-p axon_sessions -p no:randomly --quiet @$(CURDIR)/tests/integrations/suites/openai_agents.txt

# Takes 45 minutes and writes to docs/. With BENCH=--quick: a few minutes, writes to build/benchmarks/.
bench: $(BENCH_READY) servers
	$(BENCH_VENV)/bin/python -m benchmarks $(BENCH)

lint: $(READY) docs
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/check-jsonschema --builtin-schema vendor.github-workflows .github/workflows/databases.yml
	$(BIN)/check-jsonschema --builtin-schema vendor.compose-spec compose.yaml
	$(BIN)/check-jsonschema --builtin-schema vendor.github-issue-forms $(addprefix .github/ISSUE_TEMPLATE/,bug.yml feature.yml database.yml)
	$(BIN)/check-jsonschema --builtin-schema vendor.github-issue-config .github/ISSUE_TEMPLATE/config.yml

# Builds the documentation site into build/site/. A warning is an error.
docs: $(READY)
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict --quiet

# Prepares the database servers for the tests. Missing servers are listed here and again at the end of the tests.
servers: $(READY)
	@$(BIN)/python -m tests.servers

$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "Python 3.11 or later is needed: make PYTHON=…"; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { echo "python3-venv is missing: installing it, which needs root"; \
		export DEBIAN_FRONTEND=noninteractive; apt-get update -qq && apt-get install -y -qq python3-venv \
		&& $(PYTHON) -m venv $(VENV); }
	$(BIN)/python -m pip install --quiet --disable-pip-version-check 'pip>=25.1'
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[all,demo]' --group test --group lint --group docs
	@touch $(READY)

# A separate environment, because the compared packages have many dependencies.
$(BENCH_READY): pyproject.toml benchmarks/constraints.txt
	$(PYTHON) -m venv $(BENCH_VENV)
	$(BENCH_VENV)/bin/python -m pip install --quiet --disable-pip-version-check 'pip>=25.1'
	$(BENCH_VENV)/bin/python -m pip install --quiet --constraint benchmarks/constraints.txt \
		--editable '.[postgresql,mysql]' --group bench --group bench-advanced-alchemy --group bench-langgraph \
		--group bench-openai-agents
	@touch $(BENCH_READY)

clean:
	rm -rf $(VENV) $(BENCH_VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis dist build
