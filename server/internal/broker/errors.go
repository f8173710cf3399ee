package broker

import (
	"errors"

	"github.com/millrace-mq/millrace/router"
	"github.com/millrace-mq/millrace/server/amqp"
)

// exchangeError words a router's error about an exchange as RabbitMQ does (chapter 27).
func (vh *VHost) exchangeError(method amqp.MethodID, err error, name string) error {
	var mismatch router.Mismatch
	var wrongType router.WrongType
	switch {
	case errors.As(err, &mismatch):
		return vh.inequivalent(method, "exchange", name, mismatch)
	case errors.As(err, &wrongType): // EXCH-08
		return amqp.Errorf(amqp.PreconditionFailed, method,
			"invalid type '%s' for arg '%s' in exchange '%s' in vhost '%s'", wrongType.Type, wrongType.Arg, name, vh.Name)
	}
	return vh.routerError(method, err)
}

// bindingError words a router's error about a binding.
func (vh *VHost) bindingError(method amqp.MethodID, err error, b *router.Binding) error {
	if errors.Is(err, router.ErrDefaultExchange) || b.Source == "" {
		return amqp.Errorf(amqp.AccessRefused, method, "operation not permitted on the default exchange")
	}
	return vh.routerError(method, err)
}

func (vh *VHost) routerError(method amqp.MethodID, err error) error {
	var noExchange router.NoExchange
	var noQueue router.NoQueue
	var unknownType router.UnknownType
	var refused router.Refused
	switch {
	case errors.Is(err, router.ErrDefaultExchange):
		return amqp.Errorf(amqp.AccessRefused, method, "operation not permitted on the default exchange")
	case errors.As(err, &noExchange):
		return vh.noExchange(method, noExchange.Name)
	case errors.As(err, &noQueue):
		return vh.noQueue(method, noQueue.Name)
	case errors.As(err, &unknownType): // EXCH-02
		return amqp.Errorf(amqp.PreconditionFailed, method, "unknown exchange type '%s'", unknownType.Type)
	case errors.As(err, &refused):
		return amqp.Errorf(amqp.PreconditionFailed, method, "%s", refused.Text)
	}
	return err
}

func (vh *VHost) noQueue(method amqp.MethodID, name string) *amqp.Error {
	return amqp.Errorf(amqp.NotFound, method, "no queue '%s' in vhost '%s'", name, vh.Name)
}

func (vh *VHost) noExchange(method amqp.MethodID, name string) *amqp.Error {
	return amqp.Errorf(amqp.NotFound, method, "no exchange '%s' in vhost '%s'", name, vh.Name)
}

// inequivalent words a redeclaration that does not fit (EXCH-06, QUEUE-08).
func (vh *VHost) inequivalent(method amqp.MethodID, kind, name string, m router.Mismatch) *amqp.Error {
	return amqp.Errorf(amqp.PreconditionFailed, method,
		"inequivalent arg '%s' for %s '%s' in vhost '%s': received %s but current is %s",
		m.Arg, kind, name, vh.Name, m.Received, m.Current)
}

// locked is the answer to the use of another connection's exclusive queue (QUEUE-09).
func (vh *VHost) locked(method amqp.MethodID, name string) *amqp.Error {
	return amqp.Errorf(amqp.ResourceLocked, method,
		"cannot obtain exclusive access to locked queue '%s' in vhost '%s'. It could be originally declared on another "+
			"connection or the exclusive property value does not match that of the original declaration.", name, vh.Name)
}

// reservedQueue is the answer to a declaration of a name that the broker keeps to itself (QUEUE-05).
func reservedQueue(name string) *amqp.Error {
	return amqp.Errorf(amqp.AccessRefused, amqp.QueueDeclareID, "queue name '%s' contains reserved prefix 'amq.*'", name)
}
