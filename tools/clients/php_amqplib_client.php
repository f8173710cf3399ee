<?php
// A round with php-amqplib: php php_amqplib_client.php URL
require_once 'PhpAmqpLib/autoload.php';

use PhpAmqpLib\Connection\AMQPStreamConnection;
use PhpAmqpLib\Exception\AMQPProtocolChannelException;
use PhpAmqpLib\Message\AMQPMessage;
use PhpAmqpLib\Wire\AMQPTable;

const QUEUE = 'clients.php';
const GRAVE = 'clients.php.grave';
const COUNT = 50;

function equal($got, $want, string $what): void
{
    if ($got !== $want) {
        fwrite(STDERR, "$what: got " . var_export($got, true) . ', want ' . var_export($want, true) . "\n");
        exit(1);
    }
}

/** Runs a call that must close its channel with the code. */
function refused(AMQPStreamConnection $connection, int $code, callable $call): void
{
    try {
        $call($connection->channel());
    } catch (AMQPProtocolChannelException $close) {
        equal($close->getCode(), $code, 'refusal');
        return;
    }
    equal('no refusal', $code, 'refusal');
}

$url = parse_url($argv[1]);
$connection = new AMQPStreamConnection($url['host'], $url['port'], $url['user'], $url['pass'], '/');
$channel = $connection->channel();
$channel->exchange_declare('clients.php', 'direct', false, true, false);
$channel->queue_declare(GRAVE, false, true, false, false);
$channel->queue_declare(QUEUE, false, true, false, false, false, new AMQPTable([
    'x-dead-letter-exchange' => '', 'x-dead-letter-routing-key' => GRAVE, 'x-max-priority' => 3,
]));
$channel->queue_bind(QUEUE, 'clients.php', 'key');
$channel->queue_purge(QUEUE);
$channel->queue_purge(GRAVE);

// Confirmed publishes of every size, with properties; one is returned
$acked = 0;
$returned = null;
$channel->set_ack_handler(function () use (&$acked) { $acked++; });
$channel->set_return_listener(function ($code, $text, $exchange, $key, $message) use (&$returned) {
    $returned = [$code, $message->body];
});
$channel->confirm_select();
$headers = ['text' => 'Grüße', 'number' => 7, 'yes' => true, 'list' => [1, 'two'], 'table' => ['k' => 'v']];
$bodies = ['', 'x', str_repeat('y', 200000)];
for ($i = 0; $i < COUNT; $i++) {
    $bodies[] = "message $i";
}
foreach ($bodies as $body) {
    $channel->basic_publish(new AMQPMessage($body, [
        'delivery_mode' => 2, 'message_id' => 'm', 'application_headers' => new AMQPTable($headers),
    ]), 'clients.php', 'key');
}
$channel->basic_publish(new AMQPMessage('unroutable'), 'clients.php', 'nowhere', true);
$channel->wait_for_pending_acks_returns(20);
equal($acked, count($bodies) + 1, 'confirms');
equal($returned, [312, 'unroutable'], 'returned message');

// Consume them in order, one at a time: the first is given back once, the last is rejected
$channel->basic_qos(0, 1, false);
$seen = [];
$givenBack = false;
$channel->basic_consume(QUEUE, 'tag', false, false, false, false, function ($message) use (&$seen, &$givenBack, $bodies, $headers) {
    if (!$givenBack) {
        $givenBack = true;
        $message->nack(true);
        return;
    }
    equal($message->isRedelivered(), count($seen) === 0, 'redelivered');
    equal($message->get('application_headers')->getNativeData(), $headers, 'headers');
    $seen[] = $message->body;
    count($seen) === count($bodies) ? $message->reject(false) : $message->ack();
});
while (count($seen) < count($bodies)) {
    $channel->wait(null, false, 20);
}
$channel->basic_cancel('tag');
equal($seen, $bodies, 'bodies');
for ($until = microtime(true) + 20; !($dead = $channel->basic_get(GRAVE)) && microtime(true) < $until;);
equal($dead->body, $bodies[count($bodies) - 1], 'dead letter');
equal($dead->get('application_headers')->getNativeData()['x-death'][0]['reason'], 'rejected', 'reason');
$dead->ack();

// A transaction, rolled back and committed
$transaction = $connection->channel();
$transaction->tx_select();
$transaction->basic_publish(new AMQPMessage('rolled back'), '', QUEUE);
$transaction->tx_rollback();
foreach ([0 => 'low', 3 => 'high'] as $priority => $body) {
    $transaction->basic_publish(new AMQPMessage($body, ['priority' => $priority]), '', QUEUE);
}
equal($channel->basic_get(QUEUE), null, 'before the commit');
$transaction->tx_commit();
$got = [];
for ($until = microtime(true) + 20; count($got) < 2 && microtime(true) < $until;) {
    if ($message = $channel->basic_get(QUEUE, true)) {
        $got[] = $message->body;
    }
}
equal($got, ['high', 'low'], 'messages of the transaction by priority');

// Errors close the channel and nothing else
refused($connection, 404, fn ($c) => $c->queue_declare('clients.nope', true));
refused($connection, 406, fn ($c) => $c->queue_declare(QUEUE, false, false));
refused($connection, 403, fn ($c) => $c->queue_declare('amq.mine', false));

$channel->queue_delete(QUEUE);
$channel->queue_delete(GRAVE);
$channel->exchange_delete('clients.php');
$connection->close();
echo count($bodies), " confirmed messages in order, one returned, one given back, one dead, a transaction, three errors as they should be\n";
