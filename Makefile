# make serve   build everything and serve the starter policy on 127.0.0.1:8081 (admin 127.0.0.1:6070)
# make test    the whole suite
# make help    the rest

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# What the engine links, and nothing else. The interpreter's headers come with it, except from Debian's own python3.
PACKAGES := g++ libnghttp2-dev libvectorscan-dev zlib1g-dev libssl-dev libpcre2-dev libbrotli-dev libxml2-dev libmaxminddb-dev
ifeq ($(shell $(PYTHON) -c 'import sys; print(sys.base_prefix)' 2>/dev/null),/usr)
PACKAGES += python3-dev python3-venv
endif
# End-to-end tests and benchmarks start these.
TEST_PACKAGES := redis-server openssl curl nginx haproxy caddy wrk nghttp2-client modsecurity-crs sqlmap
# The fuzzers' compiler: any clang++ that is there, else Debian's.
CLANGXX = $(firstword $(foreach name,clang++ $(patsubst %,clang++-%,21 20 19 18 17 16 15 14),$(shell command -v $(name) 2>/dev/null)))
FUZZ_PACKAGES = $(if $(CLANGXX),,clang)
# Of each fuzzer.
SECONDS ?= 60
CXX := $(shell command -v ccache >/dev/null 2>&1 && echo "ccache g++" || echo g++)
CC := $(shell command -v ccache >/dev/null 2>&1 && echo "ccache gcc" || echo gcc)
export CXX CC

.PHONY: help serve build test lint format sanitize fuzz bench clean client-wheel layer system system-test system-fuzz

help:
	@echo 'make serve     build and serve the starter policy; edit it while it runs'
	@echo 'make build     leaves $(BIN)/ratelimitd'
	@echo 'make test      all tests'
	@echo 'make lint      ruff, mypy, clang-format, buf'
	@echo 'make format    rewrite the code the way lint wants it'
	@echo 'make sanitize  the native and load-shaped tests under ASan+UBSan, then TSan'
	@echo 'make fuzz      the fuzzers, SECONDS=60 of each target; ARGS=http2 for one alone'
	@echo 'make bench     every figure of the README, in one run; needs a quiet machine'
	@echo 'make layer     the client alone, without a compiler: a wheel and a Lambda layer in dist/; GRPC=1 with gRPC'
	@echo 'make clean     everything that can be made again'

serve: build
	RATELIMITD_CACHE_DIR=$${RATELIMITD_CACHE_DIR:-build/cache} $(BIN)/ratelimitd serve

# Everything below is incremental: run it as often as you like.
build: system $(VENV)/.runtime
	@mkdir -p build
	@$(BIN)/python setup.py -q build_ext --inplace >build/build.log 2>&1 || { cat build/build.log; exit 1; }

$(VENV)/.runtime: pyproject.toml
	@echo 'building (two minutes the first time)...'
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo 'ratelimitd needs Python 3.11 or later: make PYTHON=/path/to/python3.11 ...'; exit 1; }
	@$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install -q --disable-pip-version-check 'setuptools>=77' 'cython>=3.3,<4' 'grpcio-tools>=1.70'
	$(BIN)/pip install -q --disable-pip-version-check --no-build-isolation -e .
	@touch $@

$(VENV)/.dev: $(VENV)/.runtime
	$(BIN)/pip install -q --disable-pip-version-check --no-build-isolation -e '.[dev]'
	@touch $@

# Installs what is missing when it may, else says exactly what to install.
define install
	@missing=$$(for p in $(1); do dpkg-query -W -f '$${Status}' $$p 2>/dev/null | grep -q 'install ok' || echo $$p; done); \
	[ -z "$$missing" ] && exit 0; \
	if [ "$$(id -u)" = 0 ]; then run=; elif sudo -n true 2>/dev/null; then run=sudo; \
	else echo "missing system packages; run: sudo apt-get install -y" $$missing; exit 1; fi; \
	echo "installing" $$missing; \
	$$run apt-get update -qq && DEBIAN_FRONTEND=noninteractive $$run apt-get install -y -qq --no-install-recommends $$missing >/dev/null
endef

system:
	$(call install,$(PACKAGES))

system-test: system
	$(call install,$(TEST_PACKAGES))

system-fuzz: system
	$(call install,$(FUZZ_PACKAGES))

test: system-test build $(VENV)/.dev
	$(BIN)/python -m pytest -q -n auto --dist loadgroup $(ARGS)

lint: build $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	git ls-files '*.cc' '*.h' | xargs $(BIN)/clang-format --dry-run -Werror
	cd proto && ../$(BIN)/buf lint

format: build $(VENV)/.dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	git ls-files '*.cc' '*.h' | xargs $(BIN)/clang-format -i

sanitize: system-test build $(VENV)/.dev
	BIN=$(BIN) .ci/sanitize address,undefined
	BIN=$(BIN) .ci/sanitize thread

fuzz: system build $(VENV)/.dev
	@$(MAKE) --no-print-directory -s system-fuzz || true  # tests.fuzz says it loudly
	$(BIN)/python -m tests.fuzz --seconds $(SECONDS) $(ARGS)

bench: system-test build $(VENV)/.dev
	$(BIN)/python -m benchmarks.run $(ARGS)

# Neither needs more than Python and pip. LAYER_PYTHON and LAYER_PLATFORM matter with GRPC=1 only.
LAYER_PYTHON ?= 3.13
LAYER_PLATFORM ?= manylinux2014_x86_64
client-wheel:
	@rm -f dist/ratelimitd_client-*.whl
	@$(PYTHON) -m pip wheel -q --disable-pip-version-check --no-deps -w dist packaging/client
	@ls dist/ratelimitd_client-*.whl

layer: client-wheel
	@$(PYTHON) packaging/layer.py $(if $(GRPC),--grpc --python $(LAYER_PYTHON) --platform $(LAYER_PLATFORM)) \
		dist/ratelimitd_client-*.whl dist/ratelimitd-layer$(if $(GRPC),-grpc).zip

clean:
	rm -rf $(VENV) build dist *.egg-info ratelimitd/v1 ratelimitd/_descriptors.binpb
	find ratelimitd -name '*.so' -delete
	find . -name __pycache__ -prune -exec rm -rf {} +
