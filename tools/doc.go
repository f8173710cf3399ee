// Package tools answers what is in a log: it holds the bodies of the command line's subcommands that
// work on a data folder. Each takes its arguments and streams and returns an exit code: 0 when all is
// well, 1 when what was asked for failed or faults were found, 2 when the arguments are off.
//
// Nothing here changes a data folder, and nothing needs the broker to be stopped.
package tools
