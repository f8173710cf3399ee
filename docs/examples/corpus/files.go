package main

import (
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"

	amqp "github.com/rabbitmq/amqp091-go"
)

// file is a path below the tree, with slashes.
type file string

// group is the folder at the top that the file is in.
func (f file) group() string {
	if top, _, below := strings.Cut(string(f), "/"); below {
		return top
	}
	return "files" // those at the top itself
}

// key is the routing key of the file's lines.
func (f file) key() string {
	key := strings.ReplaceAll(string(f), "/", ".")
	if path.Dir(string(f)) == "." {
		key = f.group() + "." + key
	}
	return key[:min(len(key), 255)]
}

// list finds the regular files of the tree, or of some entries of it.
func list(tree string, only []string) ([]file, error) {
	var files []file
	err := fs.WalkDir(os.DirFS(tree), ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		top, _, _ := strings.Cut(name, "/")
		if name != "." && only != nil && !slices.Contains(only, top) {
			if entry.IsDir() {
				return fs.SkipDir
			}
			return nil
		}
		if entry.Type().IsRegular() {
			files = append(files, file(name))
		}
		return nil
	})
	return files, err
}

// groups are the names of the queues.
func groups(files []file) []string {
	var names []string
	for _, f := range files {
		if !slices.Contains(names, f.group()) {
			names = append(names, f.group())
		}
	}
	return names
}

const exchange = "corpus"

func queueName(group string) string { return "corpus." + group }

// topology is the exchange and the queues, for as long as they are needed.
type topology struct {
	conn    *amqp.Connection
	channel *amqp.Channel
	queues  []string
}

func declare(url string, files []file) (*topology, error) {
	conn, err := amqp.Dial(url)
	if err != nil {
		return nil, err
	}
	t := &topology{conn: conn}
	if t.channel, err = conn.Channel(); err != nil {
		return nil, err
	}
	if err := t.channel.ExchangeDeclare(exchange, "topic", true, false, false, false, nil); err != nil {
		return nil, err
	}
	for _, group := range groups(files) {
		name := queueName(group)
		if _, err := t.channel.QueueDeclare(name, true, false, false, false, nil); err != nil {
			return nil, err
		}
		if err := t.channel.QueueBind(name, group+".#", exchange, false, nil); err != nil {
			return nil, err
		}
		t.queues = append(t.queues, name)
	}
	return t, nil
}

func (t *topology) remove() {
	for _, name := range t.queues {
		_, _ = t.channel.QueueDelete(name, false, false, false)
	}
	_ = t.channel.ExchangeDelete(exchange, false, false)
	_ = t.conn.Close()
}
