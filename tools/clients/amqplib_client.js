// A round with amqplib: node amqplib_client.js URL
const amqplib = require("amqplib");
const assert = require("assert");

const QUEUE = "clients.amqplib";
const COUNT = 200;

// refused runs a call that must close its channel with the code.
async function refused(connection, code, call) {
  const channel = await connection.createChannel();
  const closed = new Promise((resolve) => channel.once("error", resolve));
  await assert.rejects(call(channel));
  assert.strictEqual((await closed).code, code);
}

async function main(url) {
  const connection = await amqplib.connect(url + "/?heartbeat=5");
  const channel = await connection.createConfirmChannel();
  await channel.assertQueue(QUEUE, { durable: true });
  await channel.purgeQueue(QUEUE);
  await channel.bindQueue(QUEUE, "amq.fanout", "");

  // Confirmed publishes of every size, with properties
  const bodies = [Buffer.alloc(0), Buffer.from("x"), Buffer.alloc(200000, "y")];
  for (let i = 0; i < COUNT; i++) bodies.push(Buffer.from(`message ${i}`));
  const headers = { text: "Grüße", number: 7, list: [1, "two"], table: { yes: true } };
  for (const body of bodies) {
    channel.publish("amq.fanout", "key", body, { persistent: true, headers, messageId: "m", correlationId: "c" });
  }
  await channel.waitForConfirms();
  const returned = new Promise((resolve) => channel.once("return", resolve));
  channel.publish("", "clients.nowhere", Buffer.from("unroutable"), { mandatory: true });
  assert.strictEqual((await returned).content.toString(), "unroutable");
  await channel.waitForConfirms();

  // Consume them in order, one at a time; the first is given back once
  await channel.prefetch(1);
  const seen = [];
  await new Promise((resolve, reject) => {
    let givenBack = false;
    channel.consume(QUEUE, (message) => {
      try {
        assert.strictEqual(message.fields.redelivered, givenBack && seen.length === 0);
        if (!givenBack) {
          givenBack = true;
          return channel.nack(message, false, true);
        }
        assert.deepStrictEqual(message.properties.headers, headers);
        assert.strictEqual(message.properties.messageId, "m");
        seen.push(message.content);
        channel.ack(message);
        if (seen.length === bodies.length) resolve();
      } catch (error) {
        reject(error);
      }
    }, { consumerTag: "tag" }).catch(reject);
  });
  await channel.cancel("tag");
  assert.deepStrictEqual(seen, bodies);
  assert.strictEqual(await channel.get(QUEUE), false);
  assert.strictEqual((await channel.checkQueue(QUEUE)).messageCount, 0);

  // A call and its answer through a queue of the caller's own
  const own = await channel.assertQueue("", { exclusive: true });
  const answer = new Promise((resolve) => channel.consume(own.queue, resolve, { noAck: true }));
  channel.sendToQueue(own.queue, Buffer.from("answer"), { correlationId: "call" });
  assert.strictEqual((await answer).properties.correlationId, "call");

  // Errors close the channel and nothing else
  await refused(connection, 404, (ch) => ch.checkQueue("clients.nope"));
  await refused(connection, 406, (ch) => ch.assertQueue(QUEUE, { durable: false }));
  await refused(connection, 403, (ch) => ch.assertQueue("amq.mine"));

  await channel.deleteQueue(QUEUE);
  await connection.close();
  console.log(`${bodies.length} confirmed messages in order, one returned, one given back, three errors as they should be`);
}

main(process.argv[2]).catch((error) => {
  console.error(error);
  process.exit(1);
});
