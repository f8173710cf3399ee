// Package render shows records of the log: as lines for people, as a JSON object a line, as raw bodies, or as hex
// dumps. It decodes bodies by their content type and encoding when it is asked to, never beyond a limit. It reads no
// log and knows no topology: names of queues and virtual hosts come from its caller. The tools call it. One goroutine
// uses a Renderer.
//
// # JSON
//
// Every object has
//
//	lsn          number of the record
//	time         when the log took it in, RFC 3339 with milliseconds, UTC
//	kind         publish, settle, horizon, topology, catalogue, route-set
//	vhost        name of the virtual host, or # and its number if the name is not known; not of what belongs to none
//
// and, by its kind,
//
//	publish      exchange, routing_key, queues (names, or # and a number), transient, dead_lettered (if so), properties, size (octets of the
//	             body), and one of body (text), body_base64 (what is no UTF-8) or json (with decoding: the body's own JSON);
//	             body_note, if the body could not be decoded or was cut
//	settle       queue, queue_id, reason, ranges (pairs of first and last), span (record numbers within them: some may
//	             belong to other queues)
//	horizon      queue, queue_id, to
//	topology     change: the fields of the change, op is what it does
//	catalogue    entries: the same, one for each thing that exists
//	route-set    set, queues
//
// What a name or a header holds that is no UTF-8 is an object {"base64": "…"}. Properties have the names of AMQP with
// underscores: content_type, content_encoding, headers, delivery_mode, priority, correlation_id, reply_to, expiration,
// message_id, timestamp, type, user_id, app_id, cluster_id; those that are absent are left out. In headers integers
// and floats are numbers, timestamps are RFC 3339, decimals numbers, octets {"base64": "…"}, void is null; not-a-number
// and infinities are text. Hashes of passwords are never shown. A payload that cannot be decoded gives error and
// payload_base64.
//
//	r := render.New(os.Stdout, render.Config{Format: render.JSON, Decode: true})
//	err := r.Write(render.Entry{Record: cursor.Record(), Time: when, Queues: queues})
package render
