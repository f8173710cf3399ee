package main

import (
	"context"
	"io"

	"github.com/millrace-mq/millrace/benchmarks"
	"github.com/millrace-mq/millrace/tools"
)

func logCommand(ctx context.Context, args []string, in io.Reader, out, errOut io.Writer) int {
	return tools.Log(ctx, args, in, out, errOut)
}

func bench(ctx context.Context, args []string, in io.Reader, out, errOut io.Writer) int {
	return benchmarks.Run(ctx, args, in, out, errOut)
}
