# SPDX-License-Identifier: Apache-2.0
# The few commands a person types. Meson does the building (meson.build); tools/setup brings what is missing.
#
#   make            the program and the library, in build/
#   make demo       train, evaluate and ask a model of 263,149 flights
#   make test       all tests, of a release build and of one with the address and undefined-behaviour sanitizers
#   make bench      the workloads of bench/README.md, or BENCH="a kernel_gemm" alone
#   make install    into /usr/local; PREFIX=/usr and DESTDIR=/somewhere are honoured
#   make docs       the pages of docs/reference from the public headers
#   make format     lay out the changed sources by .clang-format
#   make lint       compile with clang too, and check layout, layers and scripts
#   make clean      remove the build folders

BUILD = build
SANITIZED = build-sanitize
PREFIX = /usr/local
# More arguments for "meson setup", such as -Dbuildtype=debug.
MESON_FLAGS =

PROGRAM = $(BUILD)/src/cli/pilaster

.PHONY: all setup demo test bench install docs format lint clean
.NOTPARALLEL:

all: setup $(BUILD)/build.ninja
	ninja -C $(BUILD)

setup:
	@tools/setup build

# "meson setup" once; from then on ninja runs Meson by itself when a meson.build has changed.
$(BUILD)/build.ninja: | setup
	meson setup $(BUILD) --prefix=$(PREFIX) $(MESON_FLAGS)

# Without cmocka a build folder is made without tests. This turns them on, once.
$(BUILD)/with-tests: | $(BUILD)/build.ninja
	meson setup --reconfigure $(BUILD) -Dtests=enabled >$@.log || { cat $@.log; exit 1; }
	mv $@.log $@

# At -O1 the sanitizers find the same and the tests run several times as fast as at -O0.
$(SANITIZED)/build.ninja: | setup
	meson setup $(SANITIZED) -Dbuildtype=debugoptimized -Doptimization=1 -Db_sanitize=address,undefined \
	    -Db_lundef=false -Dtests=enabled $(MESON_FLAGS)

demo: setup $(BUILD)/build.ninja
	ninja -C $(BUILD) src/cli/pilaster
	tools/demo $(PROGRAM) $(BUILD)/demo

test:
	@tools/setup build test
	@$(MAKE) --no-print-directory test-run

.PHONY: test-run
test-run: $(BUILD)/with-tests $(SANITIZED)/build.ninja
	ninja -C $(BUILD)
	ninja -C $(SANITIZED)
	tools/run-tests $(BUILD) $(SANITIZED)

bench: setup $(BUILD)/build.ninja
	ninja -C $(BUILD) src/cli/pilaster bench-programs
	bench/run $(BUILD) $(BENCH)

install: setup $(BUILD)/build.ninja
	ninja -C $(BUILD)
	meson configure $(BUILD) -Dprefix=$(PREFIX)
	meson install -C $(BUILD) --quiet
	@if [ -z "$(DESTDIR)" ] && [ "$$(id -u)" = 0 ]; then ldconfig || true; fi

docs:
	tools/reference

format:
	@tools/setup format
	tools/lint --fix

lint:
	@tools/setup build test lint
	tools/lint

clean:
	rm -rf $(BUILD) $(SANITIZED) build-clang
