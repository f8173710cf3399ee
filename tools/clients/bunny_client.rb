# A round with bunny: ruby bunny_client.rb URL
require "bunny"
require "timeout"

QUEUE = "clients.bunny"
COUNT = 200

def equal(got, want, what)
  abort "#{what}: got #{got.inspect}, want #{want.inspect}" unless got == want
end

connection = Bunny.new(ARGV.fetch(0), heartbeat: 5, automatically_recover: false)
connection.start
channel = connection.create_channel
channel.confirm_select
exchange = channel.headers("clients.bunny.headers", durable: true)
queue = channel.queue(QUEUE, durable: true)
queue.purge
queue.bind(exchange, arguments: { "x-match" => "all", "kind" => "yes" })

# Confirmed publishes through a headers exchange, every second one routed
bodies = ["", "x", "y" * 200_000] + (1..COUNT).map { |i| "message #{i}" }
bodies.each do |body|
  exchange.publish(body, persistent: true, headers: { "kind" => "yes", "n" => 1 }, message_id: "m")
  exchange.publish(body, persistent: true, headers: { "kind" => "no" })
end
equal(channel.wait_for_confirms, true, "confirms")
equal(queue.message_count, bodies.size, "message count")

returned = Queue.new
exchange.on_return { |info, _properties, body| returned << [info.reply_code, body] }
exchange.publish("unroutable", mandatory: true, headers: {})
channel.wait_for_confirms
equal(Timeout.timeout(20) { returned.pop }, [312, "unroutable"], "returned message")

# Consume them in order, with manual acks; the first is given back once
channel.prefetch(20)
seen = Queue.new
given_back = false
consumer = queue.subscribe(manual_ack: true) do |delivery, properties, body|
  if !given_back
    given_back = true
    equal(delivery.redelivered?, false, "redelivered")
    channel.nack(delivery.delivery_tag, false, true)
  else
    seen << [body, properties.headers["kind"], properties.message_id, delivery.redelivered?]
    channel.ack(delivery.delivery_tag)
  end
end
got = Timeout.timeout(60) { bodies.map { seen.pop } }
equal(got.map { |row| row[1..2] }.uniq, [["yes", "m"]], "properties")
equal(got.map(&:first).sort, bodies.sort, "bodies")
equal(got.select { |row| row[3] }.map(&:first), [""], "redelivered messages")
consumer.cancel

# The server cancels the consumers of a queue that goes
cancelled = Queue.new
short = channel.queue("clients.bunny.short")
short.subscribe_with(Bunny::Consumer.new(channel, short).tap { |c| c.on_cancellation { cancelled << true } })
connection.create_channel.queue_delete("clients.bunny.short")
Timeout.timeout(20) { cancelled.pop }

# Errors close the channel and nothing else
{ Bunny::NotFound => -> (c) { c.queue("clients.nope", passive: true) },
  Bunny::PreconditionFailed => -> (c) { c.queue(QUEUE, durable: false) },
  Bunny::AccessRefused => -> (c) { c.queue_declare("amq.mine") } }.each do |error, call|
  begin
    call.(connection.create_channel)
    abort "#{error} was not raised"
  rescue error
  end
end

queue.delete
exchange.delete
connection.close
puts "#{bodies.size} confirmed messages by their headers, one returned, one given back, a consumer cancelled, three errors as they should be"
