// Package republish answers how messages get to a broker: to which exchange or queues, how fast, and what is known to have
// arrived. Messages come as package archive has them, one after the other, and go out as the octets that they are.
//
// Nothing is lost in silence: each publish is mandatory and confirmed. A [Sender] keeps a window of publishes that wait
// for their confirm, counts what came back because it reached no queue, stops at the first that the broker refuses, and
// notes in a [Progress] file up to which record all is confirmed. Who goes on from there sends some messages twice, and
// leaves none out.
//
//	s, err := republish.Open(ctx, republish.Config{Address: address, Pace: republish.Pace{Speed: 10}})
//	for … {
//		err = s.Send(ctx, message)
//	}
//	result, err := s.Finish()
//
// It knows no log and no command line. A Sender has one user and two connections: one for publishing, with a goroutine
// that reads (package client), and one that asks whether exchanges and queues are there, before the first message goes to
// them: a publish to an exchange that is not there would close the channel with all that is under way.
package republish
