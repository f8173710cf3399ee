#!/usr/bin/env bash
# A round with the command line tools of librabbitmq: amqp_tools.sh URL
set -euo pipefail
url=$1
queue=clients.amqp-tools
count=20

# fail MESSAGE
fail() { echo "$1" >&2; exit 1; }

amqp-delete-queue -u "$url" -q $queue >/dev/null 2>&1 || true
[ "$(amqp-declare-queue -u "$url" -d -q $queue)" = $queue ] || fail "amqp-declare-queue does not give the queue's name"

# amqp-publish: one by argument, one from standard input, the rest line by line
amqp-publish -u "$url" -r $queue -p -b "by argument"
printf 'from standard input' | amqp-publish -u "$url" -r $queue -p -C text/plain
seq 1 $count | amqp-publish -u "$url" -e amq.direct -r nowhere -l
seq 1 $count | amqp-publish -u "$url" -r $queue -p -l

# amqp-get: settles what it gets; 2 tells that the queue is empty
for want in "by argument" "from standard input"; do
	got=$(amqp-get -u "$url" -q $queue)
	[ "$got" = "$want" ] || fail "amqp-get gave '$got', want '$want'"
done

# amqp-consume: a command for each message, with acknowledgements
got=$(amqp-consume -u "$url" -q $queue -p 3 -c $count cat | tr -d '\n')
want=$(seq 1 $count | tr -d '\n')
[ "$got" = "$want" ] || fail "amqp-consume gave '$got', want '$want'"
code=0
amqp-get -u "$url" -q $queue >/dev/null || code=$?
[ $code -eq 2 ] || fail "amqp-get from an empty queue: exit code $code"

# A consumer that binds a queue of its own to an exchange
amqp-consume -u "$url" -e amq.topic -r 'clients.*' -c 1 cat >"${TMPDIR:-/tmp}/amqp-tools.$$" &
consumer=$!
while kill -0 $consumer 2>/dev/null; do
	amqp-publish -u "$url" -e amq.topic -r clients.hello -b "hello"
done
wait $consumer
[ "$(cat "${TMPDIR:-/tmp}/amqp-tools.$$")" = hello ] || fail "amqp-consume on an exchange did not get its message"
rm -f "${TMPDIR:-/tmp}/amqp-tools.$$"

amqp-delete-queue -u "$url" -q $queue >/dev/null
if amqp-get -u "$url" -q $queue >/dev/null 2>&1; then fail "amqp-get from a deleted queue succeeds"; fi
echo "$((count + 3)) messages through declare, publish, get, consume and delete"
