#!/usr/bin/env bash
# Writes the gRPC client of genquota to a directory, so that LiteLLM's own grpcio 1.67 can load it.
#
# Usage: make_client.sh DIRECTORY
# PYTHON names the interpreter that has grpcio-tools 1.67.1: what newer tools write, that grpcio refuses to load.
set -euo pipefail
directory=${1:?usage: make_client.sh DIRECTORY}
protos=$(cd "$(dirname "${BASH_SOURCE[0]}")/../../proto" && pwd)
mkdir -p "$directory"
"${PYTHON:-python3}" -m grpc_tools.protoc -I "$protos" --python_out="$directory" --grpc_python_out="$directory" \
    "$protos"/genquota/v1/*.proto
