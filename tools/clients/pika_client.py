"""A round with pika: pika_client.py URL"""

import sys

import pika
import pika.exceptions

QUEUE, EXCHANGE, COUNT = "clients.pika", "clients.pika.topics", 200
parameters = pika.URLParameters(sys.argv[1] + "/%2F?heartbeat=5")


def equal(got, want, what):
    if got != want:
        sys.exit(f"{what}: got {got!r}, want {want!r}")


def refused(code, call, **arguments):
    """Runs a call that must close its channel with the code."""
    channel = connection.channel()
    try:
        getattr(channel, call)(**arguments)
    except pika.exceptions.ChannelClosedByBroker as close:
        equal(close.reply_code, code, call)
    else:
        sys.exit(f"{call} was not refused")


connection = pika.BlockingConnection(parameters)
channel = connection.channel()
channel.confirm_delivery()
channel.exchange_declare(EXCHANGE, "topic", durable=True)
channel.queue_declare(QUEUE, durable=True)
channel.queue_purge(QUEUE)
channel.queue_bind(QUEUE, EXCHANGE, "a.#")

# Confirmed publishes of every size, with properties
properties = pika.BasicProperties(
    content_type="text/plain",
    delivery_mode=2,
    priority=3,
    correlation_id="c",
    message_id="m",
    timestamp=1700000000,
    headers={"text": "Grüße", "number": 7, "big": 2**40, "list": [1, "two", None], "table": {"yes": True}},
)
bodies = [b"", b"x", b"y" * 200_000] + [b"message %d" % i for i in range(COUNT)]
for body in bodies:
    channel.basic_publish(EXCHANGE, "a.b.c", body, properties, mandatory=True)
try:
    channel.basic_publish(EXCHANGE, "b", b"unroutable", properties, mandatory=True)
    sys.exit("an unroutable message was not returned")
except pika.exceptions.UnroutableError as error:
    equal(error.messages[0].body, b"unroutable", "returned message")

# Consume them in order; the first is given back once
channel.basic_qos(prefetch_count=20)
seen, again = [], False
for method, got, body in channel.consume(QUEUE, inactivity_timeout=20):
    if method is None:
        sys.exit(f"only {len(seen)} messages came")
    if not again:
        again = True
        equal(method.redelivered, False, "redelivered")
        channel.basic_nack(method.delivery_tag, requeue=True)
        channel.cancel()
        break
for method, got, body in channel.consume(QUEUE, inactivity_timeout=20):
    if method is None:
        sys.exit(f"only {len(seen)} messages came")
    equal(got.headers, properties.headers, "headers")
    equal((got.message_id, got.timestamp, got.priority), ("m", 1700000000, 3), "properties")
    equal(method.routing_key, "a.b.c", "routing key")
    seen.append(body)
    channel.basic_ack(method.delivery_tag)
    if len(seen) == len(bodies):
        break
channel.cancel()
equal(seen, bodies, "bodies")

# Get, purge, counts
channel.basic_publish("", QUEUE, b"one", properties)
channel.basic_publish("", QUEUE, b"two", properties)
method, _, body = channel.basic_get(QUEUE, auto_ack=True)
equal((body, method.message_count), (b"one", 1), "basic.get")
equal(channel.queue_declare(QUEUE, passive=True).method.message_count, 1, "message count")
equal(channel.queue_purge(QUEUE).method.message_count, 1, "purged")
equal(channel.basic_get(QUEUE), (None, None, None), "get from an empty queue")

# Errors close the channel and nothing else
refused(404, "queue_declare", queue="clients.nope", passive=True)
refused(406, "queue_declare", queue=QUEUE, durable=False)
refused(403, "queue_declare", queue="amq.mine")
owner = pika.BlockingConnection(parameters)
own = owner.channel().queue_declare("", exclusive=True).method.queue
refused(405, "queue_purge", queue=own)
owner.close()

channel.queue_delete(QUEUE)
channel.exchange_delete(EXCHANGE)
connection.close()
print(f"{len(bodies)} confirmed messages in order, one returned, one given back, four errors as they should be")
