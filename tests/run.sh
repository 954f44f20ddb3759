#!/usr/bin/env bash
# Installs what the tests need and runs every one of them; stops at the first that fails.
#
# Needs Rust, Python 3 and Node with npm, and no rights of root. What it installs goes into the build directory
# (`target`, or CARGO_TARGET_DIR); nothing else on the machine is touched.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

readonly buf_version=1.75.0
readonly build_dir=${CARGO_TARGET_DIR:-target}
readonly tools=$build_dir/test-tools

usage() {
    cat <<'TEXT'
Usage: tests/run.sh [quick]

  (nothing)   everything: formatting, lints, files, licences, contract, documentation, Rust tests, Python client
  quick       the Rust tests alone

cargo-nextest runs the Rust tests where it is installed, `cargo test` where it is not.
CARGO_TARGET_DIR says where to build; `target` if it is not set.
TEXT
}

passed=0

# step HEADING COMMAND...: runs a command under a heading, and ends the run if it fails.
step() {
    local heading=$1 code=0 began=$SECONDS
    shift
    printf '\n== %s\n   $ %s\n' "$heading" "$*"
    "$@" || code=$?
    if ((code != 0)); then
        printf '\nFAILED: %s (exit code %d)\n   $ %s\nsteps: %d passed, 1 failed\n' "$heading" "$code" "$*" "$passed" >&2
        exit 1
    fi
    passed=$((passed + 1))
    printf '   ok, %d s\n' $((SECONDS - began))
}

# need HINT COMMAND...: ends the run if a tool is not there.
need() {
    local hint=$1
    shift
    if ! "$@" >/dev/null 2>&1; then
        printf 'missing: this does not run: %s\nhint: %s\n' "$*" "$hint" >&2
        exit 1
    fi
}

rust_tests() {
    if cargo nextest --version >/dev/null 2>&1; then
        step "Rust tests" cargo nextest run --locked --no-fail-fast
        step "Rust examples in the documentation" cargo test --locked --doc --quiet
    else
        step "Rust tests" cargo test --locked --no-fail-fast
    fi
}

# Set up once for each set of versions; a set-up that was cut off is begun anew.
python_client() {
    local requirements=tests/python/requirements.txt versions
    versions=$(cksum <"$requirements" | cut -d ' ' -f 1)
    venv=$tools/python-$versions
    if [[ ! -e $venv/complete ]]; then
        rm -rf "$venv"
        step "Python environment" python3 -m venv "$venv"
        step "Python packages" "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --requirement "$requirements"
        touch "$venv/complete"
    fi
}

buf_binary() {
    local dir=$tools/buf-$buf_version
    buf=$(realpath -m "$dir/node_modules/.bin/buf")
    if [[ ! -x $buf ]]; then
        mkdir -p "$dir"
        step "buf" npm install --prefix "$dir" --no-save --no-audit --no-fund --ignore-scripts --loglevel error \
            "@bufbuild/buf@$buf_version"
    fi
}

everything() {
    need "install Rust, https://rustup.rs" cargo --version
    need "rustup component add rustfmt" cargo fmt --version
    need "rustup component add clippy" cargo clippy --version
    need "install Python 3.10 or later with venv" python3 -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 10))'
    need "install Node with npm" npm --version
    mkdir -p "$tools"

    step "Formatting" cargo fmt --check
    step "Files" python3 .ci/files.py
    step "Licences and sources of dependencies" python3 .ci/licences.py

    buf_binary
    step "Contract: lint" "$buf" lint proto
    step "Contract: formatting" "$buf" format --diff --exit-code proto

    step "Lints" cargo clippy --locked --all-targets -- --deny warnings
    # Written for who reads the code, so that links to private items lead somewhere.
    step "Documentation of the code" env "RUSTDOCFLAGS=-Dwarnings -Arustdoc::private_intra_doc_links" \
        cargo doc --locked --no-deps --document-private-items --quiet
    rust_tests

    python_client
    # The binary that the Rust tests have just run.
    step "Python client" env "GENQUOTA_BINARY=$build_dir/debug/genquota" \
        "$venv/bin/python" -B -m unittest discover --start-directory tests/python
}

case ${1-} in
    "") everything ;;
    quick) rust_tests ;;
    -h | --help) usage && exit ;;
    *) usage >&2 && exit 64 ;;
esac

printf '\nAll passed in %d s.\nsteps: %d passed, 0 failed\n' "$SECONDS" "$passed"
