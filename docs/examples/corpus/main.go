// Command corpus sends a tree of files through a broker, one message a
// line, and writes what comes out into another tree: the two are the same,
// byte for byte.
//
//	go run . --tree "$(go env GOROOT)/src" --out /tmp/copy
//
// Every line is a persistent message, published with confirms and routed by
// a topic exchange on the path of its file: net/http/server.go is
// net.http.server.go, and a queue for each folder at the top takes
// "net.#". One consumer a queue writes the files.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"time"
)

func main() {
	url := flag.String("url", "amqp://guest:guest@127.0.0.1:5672/", "broker to use")
	tree := flag.String("tree", "", "folder to send")
	out := flag.String("out", "", "folder to write; it must not exist")
	only := flag.String("only", "", "send only these entries of the folder, separated by commas")
	flag.Parse()

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, *url, *tree, *out, *only); err != nil {
		fmt.Fprintln(os.Stderr, "corpus:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, url, tree, out, only string) error {
	if tree == "" || out == "" {
		return fmt.Errorf("--tree and --out are needed")
	}
	var wanted []string
	if only != "" {
		wanted = strings.Split(only, ",")
	}
	files, err := list(tree, wanted)
	if err != nil {
		return err
	}
	if err := os.Mkdir(out, 0o755); err != nil {
		return err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)

	begin := time.Now()
	topology, err := declare(url, files)
	if err != nil {
		return err
	}
	defer topology.remove()
	collected := collect(ctx, cancel, url, out, files)
	lines, err := publish(ctx, url, tree, files)
	if err != nil {
		cancel(err)
		<-collected
		return context.Cause(ctx)
	}
	published := time.Since(begin)
	<-collected
	if err := context.Cause(ctx); err != nil {
		return err
	}
	fmt.Printf("%d lines of %d files published and confirmed in %v (%.0f a second), all consumed after %v\n",
		lines, len(files), published.Round(time.Millisecond), float64(lines)/published.Seconds(),
		time.Since(begin).Round(time.Millisecond))
	return nil
}
