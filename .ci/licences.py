"""Checks what the build is made of: licences, sources, and crates that must be there once.

Reads `cargo metadata` and nothing else, so it needs no network once the crates are fetched. It knows nothing of security
advisories: these need a database that is not in any package registry.
"""

import json
import re
import subprocess
import sys
from collections import defaultdict

# Permissive, and asking for no more than a notice.
ALLOWED = {
    "0BSD",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "ISC",
    "MIT",
    "Unicode-3.0",
    "Unlicense",
    "Zlib",
}
# Two versions of one of these do not fit together: their types meet in one API, or they are the whole wire.
SINGLE = {"h2", "http", "hyper", "prost", "prost-types", "redb", "rustls", "tokio", "tonic", "tower-layer", "tower-service"}
# How the source of a crate begins that comes from a registry, and not from a path or a repository.
REGISTRY = "registry+"


def is_allowed(expression):
    """True: the SPDX expression can be met by allowed licences alone. An old `/` means OR."""
    tokens = re.findall(r"[()]|[^\s()]+", expression.replace("/", " OR "))

    def alternatives():
        allowed = together()
        while tokens and tokens[0] == "OR":
            tokens.pop(0)
            allowed = together() or allowed
        return allowed

    def together():
        allowed = one()
        while tokens and tokens[0] == "AND":
            tokens.pop(0)
            allowed = one() and allowed
        return allowed

    def one():
        name = tokens.pop(0)
        if name == "(":
            allowed = alternatives()
            tokens.pop(0)
            return allowed
        if tokens and tokens[0] == "WITH":
            name = f"{name} WITH {tokens[1]}"
            del tokens[:2]
        return name in ALLOWED

    allowed = alternatives()
    if tokens:
        raise ValueError(f"not understood: {expression}")
    return allowed


def self_test():
    """A check of money's licences that lets everything through would look just like one that works."""
    good = ["MIT", "MIT OR GPL-3.0", "MIT/Apache-2.0", "(MIT OR GPL-3.0) AND Unicode-3.0", "Apache-2.0 WITH LLVM-exception"]
    bad = ["GPL-3.0", "MIT AND GPL-3.0", "(GPL-3.0 OR LGPL-3.0) AND MIT", "Apache-2.0 WITH other"]
    assert all(map(is_allowed, good)) and not any(map(is_allowed, bad))


def main():
    self_test()
    command = ["cargo", "metadata", "--format-version", "1", "--locked"]
    metadata = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
    own = set(metadata["workspace_members"])
    problems = []
    versions = defaultdict(set)
    for package in metadata["packages"]:
        name = f"{package['name']} {package['version']}"
        versions[package["name"]].add(package["version"])
        if package["id"] not in own and not (package["source"] or "").startswith(REGISTRY):
            problems.append(f"{name}: not from the registry: {package['source'] or 'a path'}")
        if not package["license"]:
            problems.append(f"{name}: names no licence")
        elif not is_allowed(package["license"]):
            problems.append(f"{name}: licence `{package['license']}`")
    for crate in sorted(SINGLE):
        if len(versions[crate]) > 1:
            problems.append(f"{crate}: more than one version: {', '.join(sorted(versions[crate]))}")
    for problem in problems:
        print(problem, file=sys.stderr)
    print(f"   {len(metadata['packages'])} packages, {len(problems)} problems")
    return bool(problems)


if __name__ == "__main__":
    sys.exit(main())
