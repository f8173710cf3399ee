// Package control answers what an operator may ask of a running broker, on the machine that it runs on: HTTP over a
// unix socket in its data folder. Whoever may write to the socket, which is the folder's owner and root, may ask
// anything; there are no passwords. For now there is one thing to ask:
//
//	POST /backup {"to": "/srv/backup/monday"}
//	200 {"version": "0.1.0", "first": 1, "last": 4711, "index_mark": 4700, "time": "…"}
//
// Any other answer is {"error": "…"}: 409 if nothing was begun, 500 if it came to nothing and has been tidied up.
//
// The package knows no broker: it is given an Operator. The server listens with Listen and runs Serve, which has a
// goroutine for each connection, as net/http has; Close ends them and waits. Tools ask through a Client:
//
//	c, err := control.Dial("/var/lib/millrace")
//	done, err := c.Backup(ctx, "/srv/backup/monday")
package control
