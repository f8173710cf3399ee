// Package server wires a broker to its listeners: a Config in, a running server out.
//
//	s, err := server.Open(server.Config{Data: "/var/lib/millrace", Listen: "127.0.0.1:5672"})
//	go s.Serve()
//	...
//	err = s.Shutdown()
//
// It runs one goroutine for each listener, which accepts, and one for each connection, which becomes the
// session's reader; Shutdown waits for all of them.
package server
