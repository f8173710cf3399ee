// A round with RabbitMQ's Java client: java -cp amqp-client.jar:slf4j-api.jar JavaClient.java URL
import com.rabbitmq.client.*;
import java.io.IOException;
import java.util.*;
import java.util.concurrent.*;

public class JavaClient {
  static final String QUEUE = "clients.java", GRAVE = "clients.java.grave", EXCHANGE = "clients.java.headers";
  static final int COUNT = 50;

  static void equal(Object got, Object want, String what) {
    if (!Objects.deepEquals(got, want)) {
      System.err.println(what + ": got " + got + ", want " + want);
      System.exit(1);
    }
  }

  interface Call { void on(Channel channel) throws IOException; }

  /** Runs a call that must close its channel with the code. */
  static void refused(Connection connection, int code, Call call) throws IOException {
    try {
      call.on(connection.createChannel());
    } catch (IOException e) {
      Method reason = ((ShutdownSignalException) e.getCause()).getReason();
      equal(((AMQP.Channel.Close) reason).getReplyCode(), code, "refusal");
      return;
    }
    equal("no refusal", code, "refusal");
  }

  static GetResponse take(Channel channel, String queue) throws IOException {
    GetResponse got = null;
    for (long until = System.nanoTime() + 20_000_000_000L; got == null && System.nanoTime() < until; ) {
      got = channel.basicGet(queue, true);
    }
    return got;
  }

  public static void main(String[] args) throws Exception {
    ConnectionFactory factory = new ConnectionFactory();
    factory.setUri(args[0]);
    factory.setRequestedHeartbeat(5);
    Connection connection = factory.newConnection("clients");
    Channel channel = connection.createChannel();
    channel.queueDeclare(GRAVE, true, false, false, null);
    channel.queueDeclare(QUEUE, true, false, false,
        Map.of("x-dead-letter-exchange", "", "x-dead-letter-routing-key", GRAVE, "x-max-priority", 3));
    channel.exchangeDeclare(EXCHANGE, "headers", true);
    channel.queueBind(QUEUE, EXCHANGE, "", Map.of("x-match", "all", "kind", "yes"));
    channel.queuePurge(QUEUE);
    channel.queuePurge(GRAVE);

    // Confirmed publishes of every size, with headers of all types; one is returned
    Map<String, Object> headers = new TreeMap<>();
    headers.put("kind", "yes");
    headers.put("int", 7);
    headers.put("long", 1L << 40);
    headers.put("double", 1.5);
    headers.put("float", 2.5f);
    headers.put("bool", true);
    headers.put("byte", (byte) -3);
    headers.put("short", (short) -300);
    headers.put("date", new Date(1700000000000L));
    headers.put("decimal", new java.math.BigDecimal("12.34"));
    headers.put("void", null);
    headers.put("list", List.of(1, 2L, true));
    AMQP.BasicProperties properties = new AMQP.BasicProperties.Builder()
        .deliveryMode(2).messageId("m").correlationId("c").timestamp(new Date(1700000000000L)).headers(headers).build();
    BlockingQueue<String> returned = new LinkedBlockingQueue<>();
    channel.addReturnListener((code, text, exchange, key, p, body) -> returned.add(code + " " + new String(body)));
    channel.confirmSelect();
    List<byte[]> bodies = new ArrayList<>(List.of(new byte[0], "x".getBytes(), "y".repeat(200_000).getBytes()));
    for (int i = 0; i < COUNT; i++) bodies.add(("message " + i).getBytes());
    for (byte[] body : bodies) channel.basicPublish(EXCHANGE, "", properties, body);
    channel.basicPublish(EXCHANGE, "", true, false, MessageProperties.TEXT_PLAIN, "unroutable".getBytes());
    channel.waitForConfirmsOrDie(20_000);
    equal(returned.poll(20, TimeUnit.SECONDS), "312 unroutable", "returned message");

    // Consume them in order: the first is given back once, the last is rejected
    channel.basicQos(1);
    List<byte[]> seen = Collections.synchronizedList(new ArrayList<>());
    CountDownLatch all = new CountDownLatch(bodies.size());
    String tag = channel.basicConsume(QUEUE, false, new DefaultConsumer(channel) {
      boolean givenBack;

      @Override
      public void handleDelivery(String consumer, Envelope envelope, AMQP.BasicProperties got, byte[] body) throws IOException {
        if (!givenBack) {
          givenBack = true;
          channel.basicNack(envelope.getDeliveryTag(), false, true);
          return;
        }
        equal(envelope.isRedeliver(), seen.isEmpty(), "redelivered");
        for (String key : headers.keySet()) {
          Object value = got.getHeaders().get(key);
          equal(value instanceof LongString ? value.toString() : value, headers.get(key), "header " + key);
        }
        equal(got.getMessageId() + got.getTimestamp().getTime(), "m1700000000000", "properties");
        seen.add(body);
        if (seen.size() == bodies.size()) channel.basicReject(envelope.getDeliveryTag(), false);
        else channel.basicAck(envelope.getDeliveryTag(), false);
        all.countDown();
      }
    });
    equal(all.await(60, TimeUnit.SECONDS), true, "all messages came");
    channel.basicCancel(tag);
    for (int i = 0; i < bodies.size(); i++) equal(seen.get(i), bodies.get(i), "body " + i);
    GetResponse dead = take(channel, GRAVE);
    Map<?, ?> death = (Map<?, ?>) ((List<?>) dead.getProps().getHeaders().get("x-death")).get(0);
    equal(death.get("reason").toString(), "rejected", "dead letter");

    // A transaction, rolled back and committed; a call with its answer
    Channel transaction = connection.createChannel();
    transaction.txSelect();
    transaction.basicPublish("", QUEUE, null, "rolled back".getBytes());
    transaction.txRollback();
    for (int priority : new int[] {0, 3}) {
      transaction.basicPublish("", QUEUE, new AMQP.BasicProperties.Builder().priority(priority).build(), new byte[] {(byte) priority});
    }
    equal(channel.basicGet(QUEUE, true), null, "before the commit");
    transaction.txCommit();
    equal(take(channel, QUEUE).getBody(), new byte[] {3}, "the higher priority");
    equal(take(channel, QUEUE).getBody(), new byte[] {0}, "the lower priority");
    Channel serving = connection.createChannel();
    RpcServer server = new RpcServer(serving) {
      @Override
      public byte[] handleCall(byte[] request, AMQP.BasicProperties reply) { return ("answer to " + new String(request)).getBytes(); }
    };
    Thread thread = new Thread(() -> { try { server.mainloop(); } catch (IOException e) { /* the connection is closed */ } });
    thread.setDaemon(true);
    thread.start();
    RpcClient client = new RpcClient(connection.createChannel(), "", server.getQueueName(), 20_000);
    equal(client.stringCall("call"), "answer to call", "answer");

    // Errors close the channel and nothing else
    refused(connection, 404, c -> c.queueDeclarePassive("clients.nope"));
    refused(connection, 406, c -> c.queueDeclare(QUEUE, false, false, false, null));
    refused(connection, 403, c -> c.queueDeclare("amq.mine", false, false, false, null));

    channel.queueDelete(QUEUE);
    channel.queueDelete(GRAVE);
    channel.exchangeDelete(EXCHANGE);
    connection.close();
    System.out.println(bodies.size() + " confirmed messages in order, one returned, one given back, one dead, a transaction, a call, three errors as they should be");
    System.exit(0);
  }
}
