#!/bin/sh
# Checks a running server against its own description: validates the document, then has schemathesis send what the description says
# and what it forbids to every operation of both listeners.
#
#   crates/oust-server/tests/schemathesis.sh [OUST]     OUST: the binary, target/debug/oust by default
#
# EXAMPLES: test cases an operation (default 50). VENV: a virtual environment to use, and to make if it is not there.
# Exit codes: 0 all held, 1 something did not, 77 not run, since the packages cannot be had.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../../.." && pwd)
oust=${1:-${CARGO_TARGET_DIR:-$root/target}/debug/oust}
work=$(mktemp -d)
venv=${VENV:-$work/venv}
pids=
trap 'kill $pids 2>/dev/null || true; rm -rf "$work"' EXIT

[ -x "$oust" ] || { echo "no $oust: cargo build -p oust-server, or name the binary" >&2; exit 1; }
[ -x "$venv/bin/python" ] || python3 -m venv "$venv" || { echo "skipped: python3 has no venv" >&2; exit 77; }
if ! "$venv/bin/python" -m pip install --quiet --disable-pip-version-check \
    "schemathesis==4.32.5" "openapi-spec-validator==0.9.0" > "$work/pip" 2>&1; then
    cat "$work/pip" >&2
    # Whatever else pip fails by is a fault.
    grep -Eq 'Retrying \(|ConnectionError|ProxyError|timed out' "$work/pip" || exit 1
    echo "skipped: the registry of schemathesis cannot be reached" >&2
    exit 77
fi

cat > "$work/oust.toml" <<'TOML'
[server]
admin_tokens = ["admin-token"]
[[site]]
hosts = ["h.test"]
origins = ["http://127.0.0.1:1"]
[[site]]
hosts = ["stage.test"]
origins = ["http://127.0.0.1:1"]
environment = "staging"
[[account]]
name = "acme"
hosts = ["h.test", "stage.test"]
azion = { tokens = ["azion-token"], url = "1000000/1s", wildcard = "1000000/1s" }
naver = { access_key = "naver-key", secret_key = "naver-secret", edge_id = 7 }
medianova = { organization = "550e8400-e29b-41d4-a716-446655440000", resources = { "660f9511-f30c-52e5-b827-557766551111" = "h.test" }, tokens = ["medianova-token"], api_key = "medianova-key", api_secret = "medianova-secret" }
cdnetworks = { user = "cdn-user", api_key = "cdn-key", access_key = "cdn-ak", secret_key = "cdn-sk", rate = "1000000/1s" }
imagekit = { private_key = "imagekit-key", monthly = 1000000 }
TOML

: > "$work/log"
any=127.0.0.1:0
env -u OUST_LOG "$oust" serve --config "$work/oust.toml" --listen $any --admin $any --api $any 2> "$work/log" &
server=$!
pids=$server
address() { sed -n "s/.* $1 addr=\([0-9.:]*\).*/\1/p" "$work/log"; }
tries=0
until [ -n "$(address admin)" ]; do
    kill -0 "$server" 2>/dev/null && [ $tries -lt 200 ] || { cat "$work/log" >&2; exit 1; }
    tries=$((tries + 1))
    sleep 0.05
done
admin=http://$(address admin) api=http://$(address api)

"$venv/bin/python" - "$api" > "$work/openapi.json" <<'PY'
import sys, urllib.request
sys.stdout.write(urllib.request.urlopen(sys.argv[1] + "/openapi.json").read().decode())
PY
"$venv/bin/openapi-spec-validator" "$work/openapi.json"

export PYTHONPATH="$here" SCHEMATHESIS_HOOKS=schemathesis_hooks PYTHONDONTWRITEBYTECODE=1
cd "$work"
failed=0
for tag in admin azion naver medianova cdnetworks imagekit; do
    base=$api
    [ $tag != admin ] || base=$admin
    echo "== $tag"
    "$venv/bin/schemathesis" run "$work/openapi.json" --url "$base" --include-tag $tag \
        --checks not_a_server_error,status_code_conformance,response_schema_conformance,content_type_conformance \
        --phases examples,coverage,fuzzing --max-examples "${EXAMPLES:-50}" --seed 1 --request-timeout 10 \
        --suppress-health-check all --warnings off --continue-on-failure --no-color || failed=1
done

# Whatever came, it is still there, and goes when it is told to.
kill -TERM "$server"
wait "$server" || { echo "the server ended badly:" >&2; tail "$work/log" >&2; failed=1; }
exit $failed
