#!/bin/bash
# CDNetworks' documented client, as it is printed, against a running server: the vendor has no SDK in a registry.
#
#   cdnetworks.sh BASE USER API_KEY [HOST [HOST2]]
#
# BASE is the server, such as http://127.0.0.1:8082. The account must have both hosts; without them those of the document are purged. Then the
# task is asked for until it is finished. Needs curl and openssl. Exit status: 0 all as documented, 1 something was not, 2 bad usage,
# 77 curl or openssl is not there, so that nothing is known.
set -u

usage() {
    sed -n '4,8s/^# \{0,3\}//p' "$0" >&2
    exit 2
}
[ $# -ge 3 ] && [ $# -le 5 ] || usage
command -v curl >/dev/null && command -v openssl >/dev/null || exit 77

base=${1%/}
username=$2
apiKey=$3
host=${4:-domain.info}
host2=${5:-test.domain2.com}

fail() {
    echo "failed: $1" >&2
    [ $# -lt 2 ] || printf '%s\n' "$2" >&2
    exit 1
}

# Date and password, as documented.
sign() {
    date=$(env LANG="en_US.UTF-8" date -u "+%a, %d %b %Y %H:%M:%S GMT")
    password=$(echo -en "$date" | openssl dgst -sha1 -hmac "$apiKey" -binary | openssl enc -base64)
}

# Value of a header field of an answer.
field() {
    printf '%s\n' "$1" | tr -d '\r' | sed -n "s/^$2: *//ip" | head -n 1
}

sign
answer=$(curl -sS -i --url "$base/cdn/purges" \
    -X "POST" \
    -u "$username:$password" \
    -H "Date: $date" \
    -H "Accept: application/json" \
    -d '{
  "fileUrls": [
    "http://'"$host"'/i/image/gallery/123.jpg",
    "http://'"$host2"'/2.txt?q1=1&q2=3"
  ],
  "fileHeaders": [
    {
      "name": "customheader1",
      "value": "test1"
    },
    {
      "name": "customheader2",
      "value": "test2"
    }
  ],
  "action": "invalidate",
  "target": "production"
}') || fail "the server does not answer"

printf '%s\n' "$answer" | head -n 1 | grep -q '^HTTP/[0-9.]* 201' || fail "the purge is not accepted" "$answer"
[ "$(field "$answer" content-type)" = "application/json;charset=utf-8" ] || fail "Content-Type" "$answer"
[ "$(field "$answer" content-length)" = 0 ] || fail "the answer has a body" "$answer"
[ -n "$(field "$answer" x-cnc-request-id)" ] || fail "x-cnc-request-id" "$answer"
location=$(field "$answer" location)
echo "$location" | grep -Eq '^https?://[^/]+/cdn/purges/[0-9a-f]{24}$' || fail "Location" "$answer"
echo "accepted: $location"

for _ in $(seq 60); do
    sign
    status=$(curl -sS --url "$base/cdn/purges/${location##*/}" -u "$username:$password" -H "Date: $date") ||
        fail "the server does not answer"
    case $status in
    *'"status":"finished"'*)
        echo "finished: $status"
        exit 0
        ;;
    *'"status":"waiting"'* | *'"status":"inprogress"'*) sleep 0.5 ;;
    *) fail "the task is not known" "$status" ;;
    esac
done
fail "the task is not finished after 30 seconds" "$status"
