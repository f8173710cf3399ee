package render

import "github.com/millrace-mq/millrace/server/amqp"

// property is one that a message has.
type property struct {
	name  string
	value any // as in a field table
}

// decodeProperties returns the properties that are there, in the order of the protocol.
func decodeProperties(raw []byte) ([]property, error) {
	header, err := amqp.ParseHeader(raw)
	if err != nil {
		return nil, err
	}
	p, err := header.Properties()
	if err != nil {
		return nil, err
	}
	found := make([]property, 0, 14)
	for _, known := range [...]struct {
		bit   amqp.Property
		name  string
		value any
	}{
		{amqp.PropertyContentType, "content_type", p.ContentType},
		{amqp.PropertyContentEncoding, "content_encoding", p.ContentEncoding},
		{amqp.PropertyHeaders, "headers", p.Headers},
		{amqp.PropertyDeliveryMode, "delivery_mode", p.DeliveryMode},
		{amqp.PropertyPriority, "priority", p.Priority},
		{amqp.PropertyCorrelationID, "correlation_id", p.CorrelationID},
		{amqp.PropertyReplyTo, "reply_to", p.ReplyTo},
		{amqp.PropertyExpiration, "expiration", p.Expiration},
		{amqp.PropertyMessageID, "message_id", p.MessageID},
		{amqp.PropertyTimestamp, "timestamp", p.Timestamp},
		{amqp.PropertyType, "type", p.Type},
		{amqp.PropertyUserID, "user_id", p.UserID},
		{amqp.PropertyAppID, "app_id", p.AppID},
		{amqp.PropertyClusterID, "cluster_id", p.ClusterID},
	} {
		if header.Has(known.bit) {
			found = append(found, property{known.name, known.value})
		}
	}
	return found, nil
}
