package broker

import (
	"strconv"
	"strings"

	"github.com/millrace-mq/millrace/server/amqp"
)

// maxExpiration is the longest time to live, in milliseconds (PUB-07).
const maxExpiration = 315360000000

// checkExpiration refuses what is no time and notes what is (PUB-07). Errors are *amqp.Error.
func checkExpiration(p *Publication) error {
	p.expiration = -1
	if !p.Header.Has(amqp.PropertyExpiration) {
		return nil
	}
	text := string(p.Header.Expiration())
	ms, reason := parseExpiration(text)
	if reason != "" {
		return amqp.Errorf(amqp.PreconditionFailed, amqp.BasicPublishID, "invalid expiration '%s': %s", text, reason)
	}
	p.expiration = int64(ms)
	return nil
}

// checkUser refuses another user's id (PUB-06). Errors are *amqp.Error.
func (c *Client) checkUser(p *Publication) error {
	h := &p.Header
	if !h.Has(amqp.PropertyUserID) || string(h.UserID()) == c.user.Name {
		return nil
	}
	if user, _ := c.vhost.broker.access.State().User(c.user.Name); user.MayImpersonate() {
		return nil
	}
	return amqp.Errorf(amqp.PreconditionFailed, amqp.BasicPublishID,
		"user_id property set to '%s' but authenticated user was '%s'", h.UserID(), c.user.Name)
}

// parseExpiration reads milliseconds as RabbitMQ does: a sign and leading zeroes are welcome, anything
// behind the digits is not. reason is not empty if the text is refused, and says why in RabbitMQ's terms.
func parseExpiration(text string) (ms uint64, reason string) {
	digits := strings.TrimLeft(text, "+-")
	if len(text)-len(digits) > 1 {
		return 0, "no_integer"
	}
	end := 0
	for end < len(digits) && '0' <= digits[end] && digits[end] <= '9' {
		end++
	}
	if end == 0 {
		return 0, "no_integer"
	}
	if rest := digits[end:]; rest != "" {
		return 0, "{leftover_string," + strconv.Quote(rest) + "}"
	}
	significant := strings.TrimLeft(digits, "0")
	if text[0] == '-' && significant != "" {
		return 0, "{value_negative,-" + significant + "}"
	}
	ms, err := strconv.ParseUint(digits, 10, 64)
	if err != nil || ms > maxExpiration {
		return 0, "{value_too_large," + significant + "}"
	}
	return ms, ""
}

// expirationOf is what a message that was checked once says of its expiration, negative for nothing.
func expirationOf(h *amqp.Header) int64 {
	if !h.Has(amqp.PropertyExpiration) {
		return -1
	}
	ms, reason := parseExpiration(string(h.Expiration()))
	if reason != "" {
		return -1
	}
	return int64(ms)
}
