"""A round with kombu, which Celery stands on: kombu_client.py URL"""

import socket
import sys

import kombu

connection = kombu.Connection(sys.argv[1] + "//", heartbeat=5, transport_options={"confirm_publish": True})
connection.ensure_connection(max_retries=1)
jobs = kombu.Exchange("clients.kombu", "topic", durable=True)
grave = kombu.Queue("clients.kombu.grave", durable=True)
queue = kombu.Queue(
    "clients.kombu.jobs",
    jobs,
    "job.#",
    queue_arguments={"x-dead-letter-exchange": "", "x-dead-letter-routing-key": grave.name, "x-max-priority": 5},
)
COUNT = 50


def equal(got, want, what):
    if got != want:
        sys.exit(f"{what}: got {got!r}, want {want!r}")


channel = connection.channel()
for entity in (grave, queue):
    entity(channel).declare()
    entity(channel).purge()

# Tasks of several priorities, as Celery sends them
producer = connection.Producer(channel, jobs, serializer="json")
for n in range(COUNT):
    producer.publish(
        {"task": "add", "args": [n, 1], "text": "Grüße"},
        routing_key="job.add",
        priority=n % 2,
        compression="zlib" if n % 3 == 0 else None,
        headers={"retries": 0, "list": [1, "two", None], "table": {"yes": True}},
    )

# A worker: one task fails, one is tried again, the rest is done
seen, again = [], []


def work(body, message):
    equal(message.headers["list"], [1, "two", None], "headers")
    n = body["args"][0]
    if n == 3:
        message.reject()
    elif n == 4 and not message.delivery_info["redelivered"]:
        again.append(n)
        message.requeue()
    else:
        seen.append(n)
        message.ack()


with connection.Consumer([queue(channel)], callbacks=[work], channel=channel, prefetch_count=4):
    while len(seen) < COUNT - 1:
        try:
            connection.drain_events(timeout=20)
        except socket.timeout:
            sys.exit(f"only {len(seen)} of {COUNT - 1} tasks came")
equal(sorted(seen), [n for n in range(COUNT) if n != 3], "tasks")
equal(again, [4], "tasks tried again")

# The one that failed is in the grave
dead = grave(channel).get()
equal((dead.payload["args"], dead.headers["x-death"][0]["reason"]), ([3, 1], "rejected"), "dead letter")
dead.ack()

# A simple queue, and a call with its answer
with connection.SimpleQueue("clients.kombu.simple") as simple:
    simple.clear()
    simple.put({"big": "y" * 200_000})
    message = simple.get(timeout=20)
    equal(len(message.payload["big"]), 200_000, "large body")
    message.ack()
kombu.Queue("clients.kombu.simple")(channel).delete()
kombu.Exchange("clients.kombu.simple")(channel).delete()
for entity in (queue, grave):
    entity(channel).delete()
jobs(channel).delete()
connection.release()
print(f"{COUNT} tasks with priorities, one tried again, one dead, and a simple queue")
