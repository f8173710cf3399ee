package amqp

// Method is a method with its arguments. All methods are pointers to the structs of this package; a type
// switch tells them apart.
type Method interface {
	// ID returns the method's class and method id.
	ID() MethodID
	// Append appends the payload of a METHOD frame: the two ids and the arguments.
	Append(dst []byte) []byte

	decode(d *decoder)
}

// DecodeMethod decodes the payload of a METHOD frame. Nothing in the result is borrowed. Octets left
// over behind the last argument are an error, as too few are. Errors are of type *Error.
//
// The methods of which there is one a message have a Decode method of their own, which allocates
// nothing.
func DecodeMethod(payload []byte) (Method, error) {
	if len(payload) < methodHeadSize {
		return nil, methodError(payload, faultShort)
	}
	id := PeekMethod(payload)
	kind, ok := methods[id]
	if !ok {
		return nil, UnimplementedMethod(id)
	}
	m := kind.make()
	d := methodDecoder(payload)
	d.copy = true
	m.decode(&d)
	if err := d.finish(); err != nil {
		return nil, err
	}
	return m, nil
}

// methodDecoder returns a decoder of the arguments in a METHOD frame's payload.
func methodDecoder(payload []byte) decoder {
	return decoder{buf: payload, off: min(methodHeadSize, len(payload))}
}
