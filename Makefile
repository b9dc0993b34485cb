# Everything runs from the project's own environment; nothing else is needed beside Python, Go and root.
PY := .venv/bin/python
# As the parts are built (build.sh), so that vet and test find in Go's cache what that left there.
export CGO_ENABLED := 0
export GOFLAGS += -trimpath -buildvcs=false
# What the machine lacks is said before anything is built on it: LOOK COMMAND, or LOOK COMMAND vm.
LOOK := @command -v python3 >/dev/null || { echo "Python 3.11 is missing: install python3."; exit 1; }; \
	python3 -m tests.host
.PHONY: demo test chaos k8s-minors mutants check region clean image lock docs bench-operator bench-gate fresh
.PHONY: check-style check-types check-go release pins debs volumes clusters integrations sweep sequences
.PHONY: bench-cluster bench-programs bench-logging examples examples-big

demo:                       ## the whole story in a simulated AWS region; writes build/demo.json (IN=vm, DEMO="--jobs 100")
	$(LOOK) "make demo" $(IN)
	@$(MAKE) --no-print-directory .venv/ready
	$(PY) -m $(if $(filter vm,$(IN)),tests.vm demo,tests.region demo $(DEMO))

fresh:                      ## a minimal Debian in a virtual machine, a clean clone, `make demo`; build/fresh.json
	$(LOOK) "make fresh" vm
	@$(MAKE) --no-print-directory .venv/ready
	$(PY) -m tests.vm fresh

volumes:                    ## a shared volume's life in virtual machines: build/volumes.json (VOLUMES="any_user full")
	$(LOOK) "make volumes" vm
	@$(MAKE) --no-print-directory .venv/ready
	$(PY) -m tests.vm volumes $(VOLUMES)

test:                       ## parts first, then style, types, import contracts and every test
	$(LOOK) "make test"
	@$(MAKE) --no-print-directory .venv/ready
	$(PY) -m tests.region.parts
	$(MAKE) --no-print-directory check
	$(PY) -m pytest --numprocesses=3 --durations=40 --durations-min=10 --ignore=tests/region/clusters --ignore=tests/integrations
	$(PY) -m bench.operator gate

clusters:                   ## further clusters in regions of their own: a controller lost in every way, a volume's server, builds on the cluster
	$(LOOK) "make clusters"
	@$(MAKE) --no-print-directory .venv/ready
	$(PY) -m tests.region.parts
	$(PY) -m pytest --numprocesses=2 --durations=20 --durations-min=10 $(or $(CLUSTERS:%=tests/region/clusters/test_%.py),tests/region/clusters)

integrations:               ## central logging beside what it works with: OpenSearch's own engine from Maven's jars
	$(LOOK) "make integrations"
	@$(MAKE) --no-print-directory .venv/ready
	$(PY) -m pytest --durations=10 --durations-min=10 tests/integrations

examples:                   ## the programs of examples/, each to its result in a region: build/examples.json (EXAMPLES="dask")
	$(LOOK) "make examples"
	@$(MAKE) --no-print-directory .venv/ready
	$(PY) -m tests.examples $(EXAMPLES)

examples-big:               ## the same with Spark and Ray, whose packages are 600 MB
	$(LOOK) "make examples-big"
	@$(MAKE) --no-print-directory .venv/ready
	$(PY) -m tests.examples --large

chaos: .venv/ready          ## what may go wrong around the operator goes wrong; build/chaos.json (CHAOS="--only NAME")
	$(PY) -m tests.chaos $(CHAOS)

k8s-minors: .venv/ready     ## the operator on other minors of Kubernetes; build/k8s-minors.json (MINORS="--only 1.36")
	$(PY) -m tests.minors $(MINORS)

sweep: .venv/ready          ## commands that change a cluster, disturbed at each of their calls: build/sweep.json (SWEEP="--only 'create: *'")
	$(PY) -m tests.sweep $(SWEEP)

sequences: .venv/ready      ## random clusters come, live and go, held to a model; build/sequences.json (SEQUENCES="--seed 7 --count 300")
	$(PY) -m tests.sequences $(SEQUENCES)

mutants: .venv/mutants/ready ## faults put into the product, which its tests must notice; build/mutants.json (MUTANTS="--seed 7 --only sizing")
	PYTHONPATH=.venv/mutants $(PY) -m tests.mutants $(MUTANTS)

check: .venv/ready          ## what takes seconds: formatting, lint, types, imports, Go; side by side
	@$(MAKE) --no-print-directory --jobs=3 --output-sync=target check-style check-types check-go

check-style:
	.venv/bin/ruff format --check . && .venv/bin/ruff check . && .venv/bin/lint-imports

check-types:
	.venv/bin/mypy

check-go:
	cd tests/region/parts/go && test -z "$$(gofmt -l . ../go-minors ../go-nfs ../go-volume ../go-logging)" && go vet ./... && go test -vet=off ./internal/...
	cd tests/region/parts/go-nfs && go vet . && go test -vet=off .
	cd tests/region/parts/go-volume && go vet .

region: .venv/ready         ## bring the simulated region up and stay beside it (see docs/architecture.md)
	$(PY) -m tests.region up

clean: .venv/ready          ## take the region down and remove what was built in the checkout
	$(PY) -m tests.region down; rm -rf build dist .mypy_cache .ruff_cache .pytest_cache

image: .venv/ready          ## the operator's image as an archive, tagged dev: build/clusterous-operator.tar
	$(PY) -m release.image build/clusterous-operator.tar

release: .venv/ready        ## wheel, sdist, chart, image, their sums and an SBOM of this commit, in dist/
	$(PY) -m release

pins: .venv/ready           ## sums and digests of what clusters are made of, from their publishers: images/pins.json
	$(PY) -m release.pins

lock: .venv/ready           ## the part of requirements.lock that the operator's image needs
	$(PY) -m release.locks

debs: .venv/ready           ## Debian's packages of the volume server's image, by their hashes (on a Debian)
	$(PY) -m release.debs

docs: .venv/ready           ## the pages that are made from the program
	$(PY) docs/commands.py && $(PY) docs/picture.py && $(PY) docs/cluster_file.py

bench-operator: .venv/ready ## the operator against its bound and a peer; build/bench/operator.json
	$(PY) -m bench.operator run $(BENCH)

bench-gate: .venv/ready     ## a few quick runs, held to bench/operator/gate.json
	$(PY) -m bench.operator gate

bench-cluster:              ## a cluster's life held to its goals; build/bench/create.json, life.json (BENCH="life")
	$(LOOK) "make bench-cluster"
	@$(MAKE) --no-print-directory .venv/ready
	$(PY) -m bench.cluster $(BENCH)

bench-programs:             ## daily work with programs, beside the plain tools; build/bench/programs.json
	$(LOOK) "make bench-programs"
	@$(MAKE) --no-print-directory .venv/ready
	$(PY) -m bench.programs

bench-logging:              ## central logging's light stack held to its goals; build/bench/logging.json (BENCH="light")
	$(LOOK) "make bench-logging"
	@$(MAKE) --no-print-directory .venv/ready
	$(PY) -m bench.logs $(BENCH)

.venv/ready: requirements.lock pyproject.toml
	python3 -m venv .venv
	.venv/bin/python -m pip install --quiet --no-compile --require-hashes --requirement requirements.lock
	.venv/bin/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	touch $@

.venv/mutants/ready: .venv/ready tests/mutants/requirements.txt
	rm -rf .venv/mutants
	$(PY) -m pip install --quiet --no-compile --no-deps --require-hashes --target .venv/mutants --requirement tests/mutants/requirements.txt
	touch $@
