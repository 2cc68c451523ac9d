# `make run` and `make test` do all the set-up themselves; the rest is for people who work on guard.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
PYTHON ?= $(shell for p in python3.13 python3.12 python3.11 python3; do if "$$p" -c 'import sys,venv; sys.exit(not (3,11) <= sys.version_info[:2] < (3,14))' >/dev/null 2>&1; then echo "$$p"; break; fi; done)
BIN := .venv/bin
# Twice quiet: errors are shown, remarks about folders that a machine's pip was told to look into are not.
PIP := $(BIN)/python -m pip install --quiet --quiet --disable-pip-version-check
ARGS ?=

.PHONY: run test test-bots lint types floors pytest pytest-waiting pytest-computing packs errors bench fuzz soak chaos faults blackhole pairs ledger-points power-loss restart ledger-machine ccxt-next lock clean test-bots-futures test-bots-spot test-bots-nautilus test-bots-hummingbot

run: .venv/kernel
	@$(BIN)/guard run $(ARGS)

test: lint types floors pytest packs

# Real bots, each in an environment of its own, against the embedded exchange; ARGS="-k pairlist" takes some of it. They mostly wait
# for their own loops, so that they go side by side; what each said comes when it is through.
FUTURES := tests/bots/test_freqtrade_futures.py
test-bots: .venv/kernel tests/bots/.venv/ready tests/bots/.venv-nautilus/ready tests/bots/.venv-hummingbot/ready
	@$(MAKE) --no-print-directory -j4 --output-sync=target test-bots-futures test-bots-spot test-bots-nautilus test-bots-hummingbot

# Exit code 5: nothing there is meant by ARGS.
test-bots-futures: .venv/kernel tests/bots/.venv/ready
	$(BIN)/pytest -s $(FUTURES) $(ARGS) || [ $$? -eq 5 ]

test-bots-spot: .venv/kernel tests/bots/.venv/ready
	$(BIN)/pytest -s tests/bots --ignore $(FUTURES) $(ARGS) || [ $$? -eq 5 ]

tests/bots/.venv/ready: tests/bots/requirements.txt | .venv/ready
	@$(PYTHON) -m venv --clear tests/bots/.venv
	@$(BIN)/uv pip install --quiet --python tests/bots/.venv/bin/python --no-config --system-certs -r $< \
		|| tests/bots/.venv/bin/python -m pip install --quiet --quiet --disable-pip-version-check -r $<
	@touch $@

lint: .venv/ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: .venv/ready
	$(BIN)/mypy

floors: .venv/ready
	$(BIN)/lint-imports

# Most tests of the first part wait for processes and sockets, most of the second one compute: side by side they take half the time.
WAITING := tests/cli tests/connectors tests/e2e tests/faults
pytest: .venv/kernel
	@$(MAKE) --no-print-directory -j2 pytest-waiting pytest-computing

pytest-waiting: .venv/kernel
	@$(BIN)/pytest $(WAITING) | sed -u 's/^/waiting: /'

pytest-computing: .venv/kernel
	@$(BIN)/pytest $(addprefix --ignore=,$(WAITING)) | sed -u 's/^/computing: /'

packs: .venv/kernel
	$(BIN)/guard rules check rules
	$(BIN)/guard rules test rules

# docs/errors is made of the corpus of broken files; a test tells when it is old.
errors: .venv/ready
	PYTHONPATH=tests $(BIN)/python -m dsl.error_pages docs/errors

# What guard is held against lives in an environment of its own, which no test and no run of guard needs.
bench: .venv/kernel tests/bench/.venv/ready
	@$(BIN)/guard bench --peers tests/bench $(addprefix --tapes ,$(wildcard ../shared/data/pump_trades)) $(ARGS)

# Each fuzzer of the rule language for so long; SEED=2 takes another course, TARGETS="pack yaml" some of them.
SECONDS ?= 60
SEED ?= 1
TARGETS ?=
fuzz: .venv/ready
	@PYTHONPATH=tests $(BIN)/python -m fuzz.long $(SECONDS) $(SEED) $(TARGETS)

# A connector's life in a short time: ROUNDS of lost and renewed connections and of markets that come and go, and what is left.
ROUNDS ?= 250
MESSAGES ?= 2000
soak: .venv/ready
	@PYTHONPATH=tests/connectors/guard_ccxt:connectors:. $(BIN)/python -m soak $(ROUNDS) $(MESSAGES)

# Whatever may happen to a connection, in any order, for so many SEEDS; no trade may come twice or be missing without a GAP.
SEEDS ?= 3
chaos: .venv/ready
	@PYTHONPATH=tests/connectors/guard_ccxt:connectors:. $(BIN)/python -m chaos 1 $(SEEDS)

# The connector's tests against another ccxt (the newest, or VERSION=4.6.1), in an environment of its own; what guard runs with stays.
VERSION ?=
NEXT := tests/connectors/.venv-next
ccxt-next: .venv/ready
	@$(PYTHON) -m venv --clear $(NEXT)
	@$(BIN)/uv pip install --quiet --python $(NEXT)/bin/python --no-config --system-certs -r <($(BIN)/python -m pip freeze --exclude-editable --exclude ccxt)
	@$(BIN)/uv pip install --quiet --python $(NEXT)/bin/python --no-config --system-certs --upgrade 'ccxt$(if $(VERSION),==$(VERSION))'
	@$(NEXT)/bin/python -c 'import ccxt; print("ccxt", ccxt.__version__)'
	@PYTHONPATH=.:connectors $(NEXT)/bin/python -m pytest -q tests/connectors/guard_ccxt $(ARGS)

# The connector through every fault of the embedded exchange, SEEDS seeds on each of its dialects, and held against what happened;
# SEEDS=7-9 takes those, DIALECTS=gate FAULTS=mute,late some of it, TIER=generic leaves every frame to ccxt, TIER=auto none that has
# a decoder; as it is, odd seeds take the one, even seeds the other. JOBS processes lead RUNS connectors each at a time. What came of
# it is added to the file RESULTS, where one is named; what stands there is not done again. SEEDS=50 takes about 20 quiet minutes.
TIER ?= both
JOBS ?= 2
RUNS ?= 14
RESULTS ?=
DIALECTS ?=
FAULTS ?=
faults: .venv/ready
	@PYTHONPATH=tests JOBS=$(JOBS) RUNS=$(RUNS) RESULTS="$(RESULTS)" $(BIN)/python -m faults.feed_matrix $(SEEDS) "$(DIALECTS)" "$(FAULTS)" $(TIER)

# Half-open TCP by the kernel: the loopback of a network namespace goes down and up again under connections that stand.
blackhole: .venv/ready
	@PYTHONPATH=tests unshare -rn $(BIN)/python -m faults.feed_blackhole

# 80 markets on each of three embedded exchanges in one process: start, burst, reconnect, resync.
PAIRS ?= 80
pairs: .venv/ready
	@PYTHONPATH=tests $(BIN)/python -m faults.feed_many $(PAIRS)

# Every call by which the ledger reaches the disk, killed or failed, one run for each; STRIDE=10 takes every tenth.
STRIDE ?= 1
ledger-points: .venv/ready
	@PYTHONPATH=tests:connectors:. $(BIN)/python -m faults.ledger_points $(STRIDE)

# What the disk may hold when the machine stops, in STATES states; a ledger that does not sync has to lose some.
STATES ?= 2000
power-loss: .venv/ready
	@PYTHONPATH=tests:connectors:. $(BIN)/python -m faults.power_loss $(STATES)

# From the start of a guard that was killed with -9 to its first correct answer, KILLS times.
KILLS ?= 20
restart: .venv/ready
	@PYTHONPATH=tests:connectors:. $(BIN)/python -m e2e.restart $(KILLS)

# The ledger and the committer against a reference in plain Python, STEPS steps.
STEPS ?= 10000
ledger-machine: .venv/ready
	@PYTHONPATH=tests:connectors:. $(BIN)/python -m store.machine $(STEPS)
# Other people's bots, each in an environment of its own that holds nothing of guard's; FIND_LINKS=folder takes packages from there.
FIND_LINKS ?=
NAUTILUS := tests/bots/.venv-nautilus
test-bots-nautilus: $(NAUTILUS)/ready
	@$(NAUTILUS)/bin/python tests/bots/nautilus_check.py

$(NAUTILUS)/ready: tests/bots/requirements-nautilus.txt
	@$(PYTHON) -m venv --clear $(NAUTILUS)
	@$(NAUTILUS)/bin/python -m pip install --quiet --quiet --disable-pip-version-check $(addprefix --find-links ,$(FIND_LINKS)) -r $<
	@touch $@

# Hummingbot is not built: its published source is read, and its orchestrator is run alone.
HUMMINGBOT := tests/bots/.venv-hummingbot
test-bots-hummingbot: $(HUMMINGBOT)/ready
	@$(HUMMINGBOT)/bin/python tests/bots/hummingbot_check.py $(HUMMINGBOT)/source/hummingbot-*/

$(HUMMINGBOT)/ready: tests/bots/requirements-hummingbot.txt
	@$(PYTHON) -m venv --clear $(HUMMINGBOT)
	@$(HUMMINGBOT)/bin/python -m pip install --quiet --quiet --disable-pip-version-check -r $<
	@mkdir -p $(HUMMINGBOT)/source
	@# pip asks a source for its metadata before it keeps it; these stand in for what would compile all of Hummingbot meanwhile.
	@at=$$($(HUMMINGBOT)/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))'); mkdir -p $$at/Cython; touch $$at/Cython/__init__.py; \
		echo 'def cythonize(*_, **__): return []' > $$at/Cython/Build.py; echo 'def get_include(): return ""' > $$at/numpy.py
	@$(HUMMINGBOT)/bin/python -m pip download --quiet --quiet --disable-pip-version-check --no-deps --no-build-isolation \
		--no-binary hummingbot --dest $(HUMMINGBOT)/source $(addprefix --find-links ,$(FIND_LINKS)) hummingbot==20260922
	@tar -xzf $(HUMMINGBOT)/source/hummingbot-20260922.tar.gz -C $(HUMMINGBOT)/source
	@touch $@

tests/bench/.venv/ready: tests/bench/requirements.txt | .venv/ready
	@$(PYTHON) -m venv --clear tests/bench/.venv
	@$(BIN)/uv pip install --quiet --python tests/bench/.venv/bin/python --no-config --system-certs -r $< \
		|| tests/bench/.venv/bin/python -m pip install --quiet --quiet --disable-pip-version-check -r $<
	@touch $@

.venv/ready: requirements.lock pyproject.toml
	@test -n "$(PYTHON)" || { echo "guard needs Python 3.11, 3.12 or 3.13 with venv; none was found on PATH" >&2; exit 1; }
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv --clear .venv
	@$(PIP) uv==0.13.9 || echo "uv could not be installed; pip does its work, which takes a few minutes" >&2
	@$(BIN)/uv pip sync --quiet --python $(BIN)/python --no-config --system-certs requirements.lock \
		|| { echo "uv could not install what guard needs; pip tries" >&2; $(PIP) --require-hashes -r requirements.lock; }
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --no-config --no-deps --no-build-isolation --editable . \
		|| $(PIP) --no-deps --no-build-isolation --editable .
	@touch $@

# The kernel as wheels have it: compiled ahead of time. Without a C compiler it runs in Python, with the same bits.
.venv/kernel: hatch_build.py $(wildcard guard/features/kernel/*.py) | .venv/ready
	@$(BIN)/python hatch_build.py || echo "the kernel could not be built ahead of time; it runs in Python" >&2
	@touch $@

lock: pyproject.toml
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-emit-find-links \
		--no-header --extra fast --extra record --extra reload --extra dev pyproject.toml -o requirements.lock

clean:
	rm -rf .venv tests/bench/.venv tests/bots/.venv $(NAUTILUS) $(HUMMINGBOT) $(NEXT) .mypy_cache .ruff_cache .pytest_cache .hypothesis dist build
