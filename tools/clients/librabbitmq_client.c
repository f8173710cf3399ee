// A round with librabbitmq: librabbitmq_client HOST PORT
#include <amqp.h>
#include <amqp_tcp_socket.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { COUNT = 50, LARGE = 200000 };

static amqp_connection_state_t conn;
static amqp_bytes_t queue, grave, exchange, key;

static void die(const char *format, ...) {
  va_list args;
  va_start(args, format);
  vfprintf(stderr, format, args);
  va_end(args);
  fputc('\n', stderr);
  exit(1);
}

static void ok(const char *what) {
  amqp_rpc_reply_t reply = amqp_get_rpc_reply(conn);
  if (reply.reply_type != AMQP_RESPONSE_NORMAL) die("%s: reply type %d", what, reply.reply_type);
}

static void publish(amqp_channel_t channel, amqp_bytes_t to, amqp_bytes_t routing, int mandatory, uint8_t priority, amqp_bytes_t body) {
  amqp_table_entry_t entries[3];
  memset(entries, 0, sizeof entries);
  entries[0].key = amqp_cstring_bytes("text");
  entries[0].value.kind = AMQP_FIELD_KIND_UTF8;
  entries[0].value.value.bytes = amqp_cstring_bytes("Grüße");
  entries[1].key = amqp_cstring_bytes("number");
  entries[1].value.kind = AMQP_FIELD_KIND_I64;
  entries[1].value.value.i64 = INT64_C(1) << 40;
  entries[2].key = amqp_cstring_bytes("yes");
  entries[2].value.kind = AMQP_FIELD_KIND_BOOLEAN;
  entries[2].value.value.boolean = 1;
  amqp_basic_properties_t properties;
  memset(&properties, 0, sizeof properties);
  properties._flags = AMQP_BASIC_DELIVERY_MODE_FLAG | AMQP_BASIC_PRIORITY_FLAG | AMQP_BASIC_HEADERS_FLAG;
  properties.delivery_mode = 2;
  properties.priority = priority;
  properties.headers.num_entries = 3;
  properties.headers.entries = entries;
  int status = amqp_basic_publish(conn, channel, to, routing, mandatory, 0, &properties, body);
  if (status != AMQP_STATUS_OK) die("publish: %s", amqp_error_string2(status));
}

// frame waits for a method on a channel and returns it.
static amqp_method_t method(amqp_channel_t channel, amqp_method_number_t want) {
  amqp_frame_t frame;
  struct timeval patience = {20, 0};
  int status = amqp_simple_wait_frame_noblock(conn, &frame, &patience);
  if (status != AMQP_STATUS_OK) die("waiting for %s: %s", amqp_method_name(want), amqp_error_string2(status));
  if (frame.frame_type != AMQP_FRAME_METHOD || frame.channel != channel || frame.payload.method.id != want)
    die("frame of type %d on channel %d, want %s", frame.frame_type, frame.channel, amqp_method_name(want));
  return frame.payload.method;
}

static void wait_for_confirms(uint64_t last) {
  for (uint64_t confirmed = 0; confirmed < last;) {
    amqp_basic_ack_t *ack = method(1, AMQP_BASIC_ACK_METHOD).decoded;
    confirmed = ack->delivery_tag;
  }
}

static void equal(amqp_bytes_t got, amqp_bytes_t want, const char *what) {
  if (got.len != want.len || memcmp(got.bytes, want.bytes, got.len) != 0) die("%s: another body, of %zu octets", what, got.len);
}

static amqp_message_t get(amqp_bytes_t from) {
  amqp_rpc_reply_t reply;
  int tries = 0;
  do {
    reply = amqp_basic_get(conn, 1, from, 1);
    if (reply.reply_type != AMQP_RESPONSE_NORMAL) die("basic.get: reply type %d", reply.reply_type);
  } while (reply.reply.id != AMQP_BASIC_GET_OK_METHOD && ++tries < 100000);
  amqp_message_t message;
  reply = amqp_read_message(conn, 1, &message, 0);
  if (reply.reply_type != AMQP_RESPONSE_NORMAL) die("content: reply type %d", reply.reply_type);
  return message;
}

static void declare(void) {
  queue = amqp_cstring_bytes("clients.c");
  grave = amqp_cstring_bytes("clients.c.grave");
  exchange = amqp_cstring_bytes("clients.c.direct");
  key = amqp_cstring_bytes("key");
  amqp_table_entry_t entries[3];
  memset(entries, 0, sizeof entries);
  entries[0].key = amqp_cstring_bytes("x-dead-letter-exchange");
  entries[0].value.kind = AMQP_FIELD_KIND_UTF8;
  entries[0].value.value.bytes = amqp_empty_bytes;
  entries[1].key = amqp_cstring_bytes("x-dead-letter-routing-key");
  entries[1].value.kind = AMQP_FIELD_KIND_UTF8;
  entries[1].value.value.bytes = grave;
  entries[2].key = amqp_cstring_bytes("x-max-priority");
  entries[2].value.kind = AMQP_FIELD_KIND_I32;
  entries[2].value.value.i32 = 3;
  amqp_table_t arguments = {3, entries};
  amqp_exchange_declare(conn, 1, exchange, amqp_cstring_bytes("direct"), 0, 1, 0, 0, amqp_empty_table);
  ok("exchange.declare");
  amqp_queue_declare(conn, 1, grave, 0, 1, 0, 0, amqp_empty_table);
  ok("queue.declare");
  amqp_queue_declare(conn, 1, queue, 0, 1, 0, 0, arguments);
  ok("queue.declare with arguments");
  amqp_queue_bind(conn, 1, queue, exchange, key, amqp_empty_table);
  ok("queue.bind");
  amqp_queue_purge(conn, 1, queue);
  amqp_queue_purge(conn, 1, grave);
  ok("queue.purge");
}

static void consume(amqp_bytes_t *bodies, int n) {
  amqp_basic_qos(conn, 1, 0, 1, 0);
  ok("basic.qos");
  amqp_basic_consume(conn, 1, queue, amqp_cstring_bytes("tag"), 0, 0, 0, amqp_empty_table);
  ok("basic.consume");
  int given_back = 0;
  for (int i = 0; i < n;) {
    amqp_envelope_t envelope;
    struct timeval patience = {20, 0};
    amqp_rpc_reply_t reply = amqp_consume_message(conn, &envelope, &patience, 0);
    if (reply.reply_type != AMQP_RESPONSE_NORMAL) die("message %d did not come", i);
    if (!given_back) { // the first comes twice
      given_back = 1;
      amqp_basic_nack(conn, 1, envelope.delivery_tag, 0, 1);
    } else {
      equal(envelope.message.body, bodies[i], "delivery");
      if (envelope.redelivered != (i == 0)) die("message %d: redelivered is %d", i, envelope.redelivered);
      if (envelope.message.properties.headers.num_entries != 3) die("message %d: headers are missing", i);
      if (++i == n) amqp_basic_reject(conn, 1, envelope.delivery_tag, 0); // the last one dies
      else amqp_basic_ack(conn, 1, envelope.delivery_tag, 0);
    }
    amqp_destroy_envelope(&envelope);
  }
  amqp_basic_cancel(conn, 1, amqp_cstring_bytes("tag"));
  ok("basic.cancel");
}

static void transact(void) {
  amqp_channel_open(conn, 2);
  amqp_tx_select(conn, 2);
  publish(2, amqp_empty_bytes, queue, 0, 0, amqp_cstring_bytes("rolled back"));
  amqp_tx_rollback(conn, 2);
  publish(2, amqp_empty_bytes, queue, 0, 0, amqp_cstring_bytes("low"));
  publish(2, amqp_empty_bytes, queue, 0, 3, amqp_cstring_bytes("high"));
  amqp_tx_commit(conn, 2);
  ok("tx.commit");
  const char *want[] = {"high", "low"};
  for (int i = 0; i < 2; i++) {
    amqp_message_t message = get(queue);
    equal(message.body, amqp_cstring_bytes(want[i]), want[i]);
    amqp_destroy_message(&message);
  }
}

int main(int argc, char **argv) {
  if (argc != 3) die("usage: librabbitmq_client HOST PORT");
  conn = amqp_new_connection();
  amqp_socket_t *tcp = amqp_tcp_socket_new(conn);
  if (tcp == NULL || amqp_socket_open(tcp, argv[1], atoi(argv[2])) != AMQP_STATUS_OK) die("cannot connect");
  if (amqp_login(conn, "/", 0, 131072, 5, AMQP_SASL_METHOD_PLAIN, "guest", "guest").reply_type != AMQP_RESPONSE_NORMAL) die("login");
  amqp_channel_open(conn, 1);
  ok("channel.open");
  declare();

  // Confirmed publishes of every size; one is returned
  amqp_confirm_select(conn, 1);
  ok("confirm.select");
  amqp_bytes_t bodies[COUNT];
  for (int i = 0; i < COUNT; i++) {
    bodies[i] = amqp_bytes_malloc(i == 1 ? LARGE : 16);
    memset(bodies[i].bytes, 'y', bodies[i].len);
    snprintf(bodies[i].bytes, 16, "message %d", i);
    publish(1, exchange, key, 0, 0, bodies[i]);
  }
  wait_for_confirms(COUNT);
  publish(1, exchange, amqp_cstring_bytes("nowhere"), 1, 0, amqp_cstring_bytes("unroutable"));
  method(1, AMQP_BASIC_RETURN_METHOD);
  amqp_message_t returned;
  if (amqp_read_message(conn, 1, &returned, 0).reply_type != AMQP_RESPONSE_NORMAL) die("returned message");
  equal(returned.body, amqp_cstring_bytes("unroutable"), "returned message");
  amqp_destroy_message(&returned);
  wait_for_confirms(COUNT + 1);

  consume(bodies, COUNT);
  amqp_message_t dead = get(grave);
  equal(dead.body, bodies[COUNT - 1], "dead letter");
  amqp_destroy_message(&dead);
  transact();

  // An error closes the channel and nothing else
  amqp_channel_open(conn, 3);
  amqp_queue_declare(conn, 3, amqp_cstring_bytes("clients.nope"), 1, 0, 0, 0, amqp_empty_table);
  amqp_rpc_reply_t refusal = amqp_get_rpc_reply(conn);
  if (refusal.reply_type != AMQP_RESPONSE_SERVER_EXCEPTION || refusal.reply.id != AMQP_CHANNEL_CLOSE_METHOD ||
      ((amqp_channel_close_t *)refusal.reply.decoded)->reply_code != 404)
    die("a missing queue was not refused with 404");

  amqp_queue_delete(conn, 1, queue, 0, 0);
  amqp_queue_delete(conn, 1, grave, 0, 0);
  amqp_exchange_delete(conn, 1, exchange, 0);
  ok("deletions");
  if (amqp_connection_close(conn, AMQP_REPLY_SUCCESS).reply_type != AMQP_RESPONSE_NORMAL) die("connection.close");
  amqp_destroy_connection(conn);
  printf("%d confirmed messages in order, one returned, one given back, one dead, a transaction, an error as it should be\n", COUNT);
  return 0;
}
