// Package tools answers what is in a log: it holds the bodies of the command line's subcommands that work on a
// data folder. Each file has a command and what only that needs; LogCommand joins those of 'millrace log'. How a
// command is made is told by package command.
//
// Nothing here changes a data folder, and nothing needs the broker to be stopped.
package tools
