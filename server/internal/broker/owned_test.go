package broker_test

import (
	"fmt"
	"testing"

	"github.com/millrace-mq/millrace/server/internal/broker"
)

func TestExclusiveQueuesThatAreDeletedAreForgotten(t *testing.T) {
	f := open(t)
	c := f.client()
	c.queue(broker.QueueDeclaration{Name: "stays", Exclusive: true})
	for n := range 1000 {
		name := c.queue(broker.QueueDeclaration{Name: fmt.Sprint(n), Exclusive: true})
		if _, err := c.DeleteQueue(name, false, false); err != nil {
			t.Fatal(err)
		}
	}
	if n := c.Owned(); n > 40 {
		t.Errorf("%d exclusive queues are remembered, one exists", n)
	}
	other := f.client()
	c.close()
	want(t, "what stayed exists", other.exists("stays"), false)
}
